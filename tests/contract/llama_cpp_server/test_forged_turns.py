"""No text adds a control token to a prompt: proved on the real tokenizer's ids."""

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.demo_runner import DemoRunner
from rempart.runners.control_tokens import of_gguf
from rempart.wire.control_strings import ControlStrings
from rempart.wire.prompt_texts import clean_prompt


def control_ids(runner: DemoRunner, text: str) -> int:
    """Control tokens in a text that is read as templates are: of this model those below 17."""
    asked = {"content": text, "parse_special": True}
    return sum(one < 17 for one in runner.call("POST", "/tokenize", asked).json()["tokens"])


def rendered(runner: DemoRunner, document: dict[str, Any]) -> str:
    prompt: str = runner.call("POST", "/apply-template", document).json()["prompt"]
    return prompt


def test_text_of_control_strings_adds_no_control_token(
    runner: DemoRunner, demo_model: Path
) -> None:
    strings = of_gguf(demo_model)
    assert "<|im_end|>" in strings
    control = ControlStrings(strings)
    assert control_ids(runner, "<|im_start|>") == 1
    innocent = {"messages": [{"role": "user", "content": "x"}] * 2}
    expected = control_ids(runner, rendered(runner, innocent))
    fragments = st.sampled_from([*strings, "<|", "|>", "<", "im_start", ">", "\u200b", " ", "é"])
    texts = st.lists(fragments, max_size=6).map("".join)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(first=texts, second=texts)
    def adds_none(first: str, second: str) -> None:
        parts = [{"type": "text", "text": second}, {"type": "text", "text": first}]
        document: dict[str, Any] = {
            "messages": [{"role": "user", "content": first}, {"role": "user", "content": parts}]
        }
        clean_prompt(document, msgspec.json.encode(document), control)
        assert control_ids(runner, rendered(runner, document)) == expected

    adds_none()
