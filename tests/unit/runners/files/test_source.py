"""A model's source leads to one GGUF file, or to a sentence that says what to do."""

from pathlib import Path

import pytest

from rempart.runners.files.demo_model import DEMO_FILE
from rempart.runners.files.source import SourceError, resolve_source


def gguf(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


def test_a_file_is_itself(tmp_path: Path) -> None:
    file = gguf(tmp_path / "a.gguf")
    assert resolve_source(str(file), tmp_path / "models") == file


def test_a_name_in_the_data_folder_is_found(tmp_path: Path) -> None:
    file = gguf(tmp_path / "models" / "a.gguf")
    assert resolve_source("a.gguf", tmp_path / "models") == file


def test_demo_is_the_demo_models_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="models pull demo"):
        resolve_source("demo", tmp_path)
    file = gguf(tmp_path / DEMO_FILE)
    assert resolve_source("demo", tmp_path) == file


def test_a_folder_stands_for_its_only_model(tmp_path: Path) -> None:
    file = gguf(tmp_path / "m" / "a.gguf")
    gguf(tmp_path / "m" / "mmproj-a.gguf")
    assert resolve_source(str(tmp_path / "m"), tmp_path) == file


def test_a_split_model_is_its_first_part(tmp_path: Path) -> None:
    first = gguf(tmp_path / "m" / "a-00001-of-00002.gguf")
    gguf(tmp_path / "m" / "a-00002-of-00002.gguf")
    assert resolve_source(str(tmp_path / "m"), tmp_path) == first


def test_a_folder_with_several_models_is_refused_by_name(tmp_path: Path) -> None:
    gguf(tmp_path / "m" / "a.gguf")
    gguf(tmp_path / "m" / "b.gguf")
    with pytest.raises(SourceError, match=r"a\.gguf, b\.gguf"):
        resolve_source(str(tmp_path / "m"), tmp_path)


def test_a_hugging_face_folder_is_sent_to_transformers(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    with pytest.raises(SourceError, match="kind = 'transformers'"):
        resolve_source(str(tmp_path / "m"), tmp_path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "source is empty"),
        ("nowhere.gguf", "there is no file"),
        ("org/name:q4", "rempart models pull org/name:q4"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        resolve_source(source, tmp_path)


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(SourceError, match="holds no GGUF"):
        resolve_source(str(tmp_path / "m"), tmp_path)


def test_another_kind_of_file_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("<html>")
    with pytest.raises(SourceError, match="not a GGUF file"):
        resolve_source(str(tmp_path / "a.gguf"), tmp_path)
