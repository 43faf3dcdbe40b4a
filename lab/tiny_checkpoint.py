"""A Mistral checkpoint with random weights and a tokenizer of its own: small, real, quick to make.

Needs torch and transformers, which only the environment of ``make test-hf`` has.
"""

from pathlib import Path
from typing import Any

CONTEXT = 512
TEXT = "The quick brown fox jumps over the lazy dog. Count from one to a thousand, and say hello. "
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make(folder: Path) -> Path:
    """Write the checkpoint into ``folder``; gives it back. Takes some seconds, mostly imports."""
    import torch
    from transformers import GenerationConfig, MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    size = tokenizer(folder)
    config = MistralConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        sliding_window=None,
    )
    model: Any = MistralForCausalLM(config)
    # Random weights would come upon an end of sequence by chance; nothing is one, so that answers
    # are as long as they were asked to be.
    model.generation_config = GenerationConfig(do_sample=True, pad_token_id=0)
    model.save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> int:
    """A byte-level tokenizer with a chat template; gives the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator([TEXT] * 20, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)
