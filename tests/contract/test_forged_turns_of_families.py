"""With the special tokens of four families in real tokenizers: text made of them adds no id of theirs.

Their own files come only with packages that are not among ours; what turns text into control tokens is the
list of special tokens, which the library treats alike for all of them.
"""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from rempart.wire.control_strings import FAMILIES, ControlStrings
from rempart.wire.prompt_texts import clean_prompt

SPECIAL = {
    "mistral": "<s> </s> <unk> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] "
    "[/TOOL_RESULTS] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [IMG] [PREFIX] [MIDDLE] [SUFFIX]",
    "llama3": "<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|> "
    "<|python_tag|> <|finetune_right_pad_id|> <|reserved_special_token_0|> <|reserved_special_token_247|>",
    "qwen": "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|box_end|> <|vision_start|> <|image_pad|> "
    "<tool_call> </tool_call> <tool_response> </tool_response> <think> </think> <|fim_prefix|>",
    "gemma": "<bos> <eos> <pad> <unk> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image>",
}


def tokenizer(family: str) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({sign: number for number, sign in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens(
        [AddedToken(one, special=True, normalized=False) for one in SPECIAL[family].split()]
    )
    return made


def special_count(made: Tokenizer, text: str) -> int:
    return sum(number >= 256 for number in made.encode(text).ids)


@pytest.mark.parametrize("source", ["own", "families"])
@pytest.mark.parametrize("family", SPECIAL)
def test_text_of_special_tokens_adds_none(family: str, source: str) -> None:
    made, strings = tokenizer(family), SPECIAL[family].split()
    control = ControlStrings(strings if source == "own" else FAMILIES)
    assert special_count(made, "".join(strings)) == len(strings)  # so it would be without us
    pieces = [*strings, *(one[:3] for one in strings), *(one[3:] for one in strings), "\u200b", " "]
    texts = st.lists(st.sampled_from(pieces), max_size=6).map("".join)

    @settings(max_examples=200, deadline=None)
    @given(parts=st.lists(texts, min_size=1, max_size=4))
    @example(parts=[strings[0][:3] + " ", " " + strings[0][3:]])
    @example(parts=[strings[0][:2], " ", strings[0][2:]])
    def adds_none(parts: list[str]) -> None:
        content: list[dict[str, Any]] = [{"type": "text", "text": one} for one in parts]
        document = {"messages": [{"role": "user", "content": content}]}
        clean_prompt(document, b"\\u", control)
        written = [one["text"] for one in content]
        assert special_count(made, "".join(written)) == 0
        assert special_count(made, "".join(one.strip() for one in written)) == 0

    adds_none()
