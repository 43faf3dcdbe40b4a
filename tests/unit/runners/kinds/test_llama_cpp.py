"""The embedded kind: its configuration reaches the runner in a file, its key nowhere else."""

import sys
from pathlib import Path

import msgspec
import pytest

from lab.runner_places import place
from rempart.runners.kinds.interface import LaunchError
from rempart.runners.kinds.llama_cpp import LlamaCpp
from rempart.runners.llama_cpp_server.config import RunnerConfig
from rempart.settings.model import Model


def gguf(path: Path) -> Path:
    path.write_bytes(b"GGUF" + bytes(20))
    return path


def model(tmp_path: Path, **more: object) -> Model:
    source = str(gguf(tmp_path / "a.gguf"))
    return Model(**({"name": "org/m", "source": source} | more))  # type: ignore[arg-type]


def config_of(model: Model, tmp_path: Path) -> RunnerConfig:
    launch = LlamaCpp().launch(model, place(tmp_path))
    (text,) = launch.files.values()
    return msgspec.json.decode(text, type=RunnerConfig)


def test_every_setting_reaches_the_configuration(tmp_path: Path) -> None:
    lora, template = tmp_path / "lora.gguf", tmp_path / "t.jinja"
    lora.touch()
    template.write_text("{{ messages }}")
    made = model(
        tmp_path,
        slots=3,
        context=4096,
        threads=5,
        gpu_layers=6,
        batch=64,
        prompt_cache_mib=7,
        loras=[str(lora)],
        chat_template=str(template),
        embeddings=True,
        pooling="cls",
        speculative="ngram",
        draft=str(gguf(tmp_path / "d.gguf")),
    )
    config = config_of(made, tmp_path)
    assert msgspec.structs.asdict(config) == {
        "model_path": str(tmp_path / "a.gguf"),
        "alias": "org/m",
        "address": f"unix:{tmp_path}/run/m-1.sock",
        "api_key": "the-key-of-this-start",
        "context": 4096,
        "slots": 3,
        "threads": 5,
        "gpu_layers": 6,
        "batch": 64,
        "prompt_cache_mib": 7,
        "loras": [str(lora)],
        "chat_template": "{{ messages }}",
        "embeddings": True,
        "pooling": "cls",
        "speculative": "ngram",
        "draft": str(tmp_path / "d.gguf"),
        "status_fd": 3,
        "calibration_dir": str(tmp_path / "data" / "calibration"),
    }
    assert (tmp_path / "data" / "calibration").is_dir()


def test_what_is_unset_is_left_to_the_runner_but_for_four_slots(tmp_path: Path) -> None:
    config = config_of(model(tmp_path), tmp_path)
    assert (config.slots, config.context, config.threads, config.batch) == (4, 0, None, None)


def test_the_command_holds_no_key_and_repr_shows_none(tmp_path: Path) -> None:
    launch = LlamaCpp().launch(model(tmp_path), place(tmp_path))
    assert launch.command[:4] == (
        sys.executable, "-P", "-m", "rempart.runners.llama_cpp_server",
    )  # fmt: skip
    assert launch.command[4:] == tuple(map(str, launch.files))
    assert "the-key-of-this-start" not in repr(launch) + " ".join(launch.command)
    (replica,) = launch.replicas
    assert (replica.api_key, replica.upstream_name) == ("the-key-of-this-start", "org/m")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": "not-there.gguf"}, "not-there.gguf"),
        ({"draft": "no-draft.gguf"}, "no-draft.gguf"),
        ({"loras": ["no-lora"]}, "loras names 'no-lora'"),
        ({"chat_template": "no-template"}, "chat_template names 'no-template'"),
    ],
)
def test_a_file_that_is_missing_is_named(
    more: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match=said):
        LlamaCpp().launch(model(tmp_path, **more), place(tmp_path))


def test_what_it_serves_follows_from_its_settings(tmp_path: Path) -> None:
    def paths(**more: object) -> set[str]:
        return set(LlamaCpp().abilities(model(tmp_path, **more)).endpoints)

    assert paths() == {"/v1/chat/completions", "/v1/completions"}
    assert "/v1/embeddings" in paths(embeddings=True)
    assert paths(embeddings=True, pooling="rank") == {"/v1/rerank"}


def test_it_reports_its_slots_and_takes_a_grammar(tmp_path: Path) -> None:
    abilities = LlamaCpp().abilities(model(tmp_path))
    assert abilities.reports_slots
    assert "grammar" in abilities.extras
    assert all(one.decode and one.prefill for one in abilities.endpoints.values())
