"""The configuration is read once, is for its owner only, and never shows its key."""

import json
from pathlib import Path
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.config import (
    KEY_CHARACTERS_MIN,
    ConfigError,
    RunnerConfig,
    default_threads,
    take_config,
)

KEY = "k" * KEY_CHARACTERS_MIN
LEAST = {"model_path": "m.gguf", "alias": "m", "address": "unix:/run/r.sock", "api_key": KEY}


def written(folder: Path, document: Any, mode: int = 0o600) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    path.chmod(mode)
    return path


def test_it_is_gone_once_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST | {"slots": 3})
    config = take_config(path)
    assert (config.slots, config.batch, config.pooling) == (3, None, "mean")
    assert not path.exists()


def test_the_key_does_not_show() -> None:
    assert KEY not in repr(RunnerConfig(**LEAST))
    assert KEY not in str(RunnerConfig(**LEAST))


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"api_key": "é" * KEY_CHARACTERS_MIN},
        {"slots": 0},
        {"context": -1},
        {"batch": 0},
        {"pooling": "most"},
        {"unknown": 1},
        {"model_path": 3},
    ],
)
def test_what_makes_no_sense_is_an_error_and_gone_too(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    path = written(tmp_path, LEAST | wrong)
    with pytest.raises(ConfigError):
        take_config(path)
    assert not path.exists()


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST, mode=0o640)
    with pytest.raises(ConfigError, match="0600"):
        take_config(path)
    assert not path.exists()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        take_config(tmp_path / "none")


def test_pooling_decides_what_is_served() -> None:
    def abilities(**more: Any) -> tuple[bool, bool]:
        config = RunnerConfig(**(LEAST | more))
        return config.embeds, config.reranks

    assert abilities() == (False, False)
    assert abilities(embeddings=True) == (True, False)
    assert abilities(embeddings=True, pooling="rank") == (False, True)


def test_a_core_is_left_to_others() -> None:
    assert [default_threads(n) for n in (1, 2, 8)] == [1, 1, 7]
