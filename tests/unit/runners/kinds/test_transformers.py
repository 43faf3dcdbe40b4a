"""What is declared of ``transformers serve``; the real one is in tests/contract (``make test-hf``)."""

import json
from pathlib import Path

import pytest

from lab.runner_places import place
from rempart.runners.kinds.interface import LaunchError
from rempart.runners.kinds.transformers import FIELDS, IGNORES, Transformers
from rempart.settings.model import Model


def model(folder: Path, config: object, **more: object) -> Model:
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "config.json").write_text(json.dumps(config))
    program = folder / "transformers"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    values = {
        "name": "tuned",
        "kind": "transformers",
        "source": str(checkpoint),
        "env": {"PATH": str(folder)},
    }
    return Model(**(values | more))  # type: ignore[arg-type]


def test_it_answers_for_the_folder_it_was_started_with(tmp_path: Path) -> None:
    made = model(tmp_path, {"max_position_embeddings": 512}, args=["--device", "cpu"])
    launch = Transformers().launch(made, place(tmp_path))
    assert " ".join(launch.command) == (
        f"{tmp_path}/transformers serve {tmp_path}/checkpoint --host 127.0.0.1 --port 8123 "
        "--device cpu"
    )
    assert launch.replicas[0].upstream_name == f"{tmp_path}/checkpoint"


@pytest.mark.parametrize(
    ("config", "context", "length"),
    [
        ({"max_position_embeddings": 512}, None, 512),
        ({"max_position_embeddings": 512}, 128, 128),
        ({"max_position_embeddings": 512}, 4096, 512),
        ({"text_config": {"max_position_embeddings": 64}}, None, 64),
        ({}, None, None),
        ({}, 99, 99),
    ],
)
def test_the_context_is_known_since_the_program_keeps_none(
    config: object, context: int | None, length: int | None, tmp_path: Path
) -> None:
    launch = Transformers().launch(model(tmp_path, config, context=context), place(tmp_path))
    assert launch.facts.context_length == length


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    made = model(tmp_path, {})
    (tmp_path / "checkpoint" / "config.json").unlink()
    with pytest.raises(LaunchError, match="no Hugging Face checkpoint"):
        Transformers().launch(made, place(tmp_path))


def test_what_a_relay_must_repair_is_declared(tmp_path: Path) -> None:
    abilities = Transformers().abilities(model(tmp_path, {}))
    assert not abilities.sends_done
    assert not abilities.stream_usage
    assert not abilities.enforces_tool_choice
    assert abilities.fields == FIELDS
    assert {"n", "logprobs", "response_format", "tool_choice"} <= abilities.ignores
    assert not FIELDS & IGNORES
    assert "generation_config" not in FIELDS


def test_with_continuous_batching_a_hang_up_stops_nothing(tmp_path: Path) -> None:
    def decode(*args: str) -> bool:
        made = model(tmp_path, {}, args=list(args))
        return Transformers().abilities(made).endpoints["/v1/chat/completions"].decode

    assert decode()
    assert not decode("--continuous-batching")
