"""The library's lines become one sentence that says why and what to do."""

import pytest

from rempart.runners.llama_cpp_server.load_failure import REASON_CHARACTERS_MAX, explain

MEMORY = """0.01.947.920 W llama_context: n_ctx_seq (3276800) > n_ctx_train (8192)
0.02.997.291 E ggml_aligned_malloc: insufficient memory (attempted to allocate 2880.00 MB)
0.02.997.305 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 3019
0.03.062.228 E llama_init_from_model: failed to initialize the context: failed to allocate buffer
0.03.062.250 E cmn  common_init_: failed to create context with model '/m.gguf'"""
CUT = """0.00.043.366 E llama_model_load: error: tensor 'blk.16' data is not within the file bounds, model is incomplete
0.00.043.380 E llama_model_load_from_file_impl: failed to load model"""
TEMPLATE = """0.00.829.977 E common_chat_templates_init: error: Unexpected token: %} of type 9
0.00.829.984 E common_chat_templates_init: failed to initialize chat template
0.00.830.618 E srv          init: exiting due to model loading error"""
LORA = """0.00.683.194 E llama_adapter_lora_init: failed to open '/a.gguf': No such file or directory
0.00.683.209 E cmn  common_init_: failed to load lora adapter '/a.gguf'"""
ARCHITECTURE = (
    "0.00.006.046 E llama_model_load: error loading model: unknown model architecture: 'new'"
)
OTHER = """0.00.006.537 E cmn  common_init_: failed to load model '/m.gguf'
0.00.006.046 E some_part: the moon is in the wrong house"""
ABORT = "/build/ggml.c:123: GGML_ASSERT(a == b) failed"


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (MEMORY, ["not enough memory", "2,880 MiB", "context of 4096", "Lower 'context'"]),
        (CUT, ["m.gguf is incomplete or damaged", "again"]),
        (TEMPLATE, ["chat template", "Unexpected token: %} of type 9"]),
        (LORA, ["LoRA adapter", "failed to open '/a.gguf'"]),
        (ARCHITECTURE, ["unknown model architecture: 'new'", "newer xllamacpp"]),
        (OTHER, ["m.gguf does not load: the moon is in the wrong house"]),
        (ABORT, ["GGML_ASSERT(a == b) failed"]),
        ("", ["m.gguf does not load: raised"]),
        ("0.1 W srv init: only a warning", ["raised"]),
    ],
)
def test_the_reason_is_found(printed: str, said: list[str]) -> None:
    reason = explain(printed, model="m.gguf", context=4096, raised="raised")
    for text in said:
        assert text in reason


def test_a_reason_has_a_bound() -> None:
    reason = explain("E" * 5000, model="m", context=1, raised="")
    assert len(reason) == REASON_CHARACTERS_MAX
