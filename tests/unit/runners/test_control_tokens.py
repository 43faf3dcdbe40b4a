"""A model's files tell its control strings."""

import json
from pathlib import Path
from typing import Any

import pytest

from rempart.runners.control_tokens import of_folder, of_gguf
from rempart.runners.files.gguf_header import GgufError


def test_a_gguf_file_tells_its_control_tokens(demo_model: Path) -> None:
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<empty_output>"} <= set(
        of_gguf(demo_model)
    )


def test_a_template_in_its_place_tells_its_marks(demo_model: Path) -> None:
    assert "[INST]" in of_gguf(demo_model, "[INST] {{ x }} [/INST]")


def test_what_is_no_gguf_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    with pytest.raises(GgufError):
        of_gguf(tmp_path / "x.gguf")


def folder(path: Path, added: list[dict[str, Any]], config: dict[str, Any]) -> Path:
    (path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def test_a_checkpoint_tells_special_tokens_and_those_its_template_writes(tmp_path: Path) -> None:
    added = [
        {"content": "<|eot_id|>", "special": True},
        {"content": "<|reserved_special_token_0|>", "special": True},
        {"content": "<|reserved_special_token_1|>", "special": True},
        {"content": "<tool_call>", "special": False},
        {"content": "<table>", "special": False},
    ]
    config = {"chat_template": "{{ x }}<tool_call>[INST]", "eos_token": {"content": "<|end|>"}}
    assert set(of_folder(folder(tmp_path, added, config))) == {
        "<|eot_id|>", "<|reserved_special_token_0|>", "<tool_call>", "[INST]", "<|end|>"
    }  # fmt: skip


def test_a_folder_that_tells_nothing_has_none(tmp_path: Path) -> None:
    assert of_folder(tmp_path) == []
    (tmp_path / "tokenizer.json").write_text("[1")
    (tmp_path / "chat_template.jinja").write_text("[INST]")
    assert of_folder(tmp_path) == []
