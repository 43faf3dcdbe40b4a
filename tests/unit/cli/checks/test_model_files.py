"""The models' files."""

import struct
from pathlib import Path
from typing import Any

import pytest

from rempart.cli.checks.finding import Finding
from rempart.cli.checks.model_files import CHAT_TEMPLATE, checkpoint, gguf, model_files
from rempart.settings.model import Memory, Model, Settings

MIB, GIB = 1024**2, 1024**3


def head(**pairs: str | int) -> bytes:
    """The head of a GGUF file, version 3."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    for name, value in pairs.items():
        data += text(name.replace("__", "."))
        data += (
            struct.pack("<I", 8) + text(value)
            if isinstance(value, str)
            else struct.pack("<II", 4, value)
        )
    return data


CHATTY = head(
    general__architecture="llama", tokenizer__chat_template="{{ x }}", llama__block_count=2
)


def look(source: str, tmp_path: Path, budget: int = GIB, **more: Any) -> list[Finding]:
    return gguf(Model(name="m", source=source, **more), tmp_path / "models", budget)[0]


def test_a_good_file_is_told_with_its_memory(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CHATTY)
    (finding,) = look(str(tmp_path / "m.gguf"), tmp_path)
    assert (finding.level, finding.found) == ("ok", "m: m.gguf needs about 60.0 MiB of memory")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "there is no file"),
        (b"<html>", "is not a GGUF file"),
        (CHATTY[:40], "ends in the middle"),
        (b"GGUF\x09\0\0\0", "version 9"),
    ],
)
def test_a_file_that_is_missing_or_broken_is_an_error(
    tmp_path: Path, content: bytes | None, text: str
) -> None:
    if content is not None:
        (tmp_path / "m.gguf").write_bytes(content)
    (finding,) = look(str(tmp_path / "m.gguf"), tmp_path)
    assert finding.level == "error"
    assert text in finding.found


def test_a_model_larger_than_the_budget_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CHATTY)
    (finding,) = look(str(tmp_path / "m.gguf"), tmp_path, budget=50 * MIB)
    assert finding.level == "error"
    assert "memory.budget allows 50.0 MiB" in finding.found
    assert "smaller quantization" in finding.remedy


def test_a_model_without_a_chat_template_is_warned_of(tmp_path: Path) -> None:
    assert CHAT_TEMPLATE == "tokenizer.chat_template"
    (tmp_path / "m.gguf").write_bytes(head(general__architecture="llama"))
    source = str(tmp_path / "m.gguf")
    assert [finding.check for finding in look(source, tmp_path)] == ["model", "chat_template"]
    assert [finding.check for finding in look(source, tmp_path, chat_template="t")] == ["model"]
    assert [finding.check for finding in look(source, tmp_path, embeddings=True)] == ["model"]


def test_a_lacking_part_is_named(tmp_path: Path) -> None:
    for number in (1, 3):
        (tmp_path / f"m-0000{number}-of-00003.gguf").write_bytes(CHATTY)
    (finding,) = look(str(tmp_path / "m-00001-of-00003.gguf"), tmp_path)
    assert finding.found.endswith("lacks m-00002-of-00003.gguf")
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(CHATTY)
    assert look(str(tmp_path / "m-00001-of-00003.gguf"), tmp_path)[0].level == "ok"


def test_the_demo_model_is_fetched_later(tmp_path: Path) -> None:
    assert look("demo", tmp_path)[0].level == "note"


def test_what_is_loaded_at_start_must_fit_together(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CHATTY)
    models = [Model(name=name, source=str(tmp_path / "m.gguf"), preload=True) for name in "ab"]
    settings = Settings(models=models, memory=Memory(budget="100MiB"), data_dir=str(tmp_path))
    assert [(finding.check, finding.level) for finding in model_files(settings, GIB)] == [
        ("model", "ok"), ("model", "ok"), ("memory", "error"),
    ]  # fmt: skip
    settings = Settings(models=models, memory=Memory(budget="50%"), data_dir=str(tmp_path))
    assert all(finding.level == "ok" for finding in model_files(settings, GIB))


def test_no_model_at_all_is_a_note(tmp_path: Path) -> None:
    (finding,) = model_files(Settings(data_dir=str(tmp_path)), GIB)
    assert (finding.level, finding.remedy) == ("note", "Name one: rempart serve demo")


def test_a_checkpoint_is_looked_at_piece_by_piece(tmp_path: Path) -> None:
    model = Model(name="t", kind="transformers", source=str(tmp_path))

    def findings() -> list[tuple[str, str]]:
        return [(finding.level, finding.found) for finding in checkpoint(model)]

    assert findings() == [("error", f"t: {tmp_path} has no config.json")]
    (tmp_path / "config.json").write_text("{")
    assert findings() == [("error", f"t: {tmp_path}/config.json is not JSON")]
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    assert findings() == [("error", f"t: {tmp_path} has no *.safetensors weights")]
    (tmp_path / "model.safetensors").write_text("")
    assert [level for level, _ in findings()] == ["ok", "warning"]
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    assert [level for level, _ in findings()] == ["ok"]
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "chat_template.jinja").write_text("x")
    assert [level for level, _ in findings()] == ["ok"]


def test_a_folder_that_looks_like_a_hub_name_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (finding,) = checkpoint(Model(name="v", kind="vllm", source="org/name"))
    assert finding.found == "v: org/name has no config.json"


def test_a_hub_name_of_a_kind_that_fetches_is_a_note(tmp_path: Path) -> None:
    settings = Settings(
        models=[Model(name="v", kind="vllm", source="org/name")], data_dir=str(tmp_path)
    )
    assert [finding.level for finding in model_files(settings, GIB)] == ["note"]


def test_a_download_that_broke_off_is_an_error(demo_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(demo_model.read_bytes()[:-5_000_000])
    (found,) = look(str(cut), tmp_path)
    assert found.level == "error"
    assert "4.8 MiB are missing" in found.found
