"""vLLM's command line; the program itself is played by a script, since the real one wants a GPU."""

from pathlib import Path

import pytest

from lab.runner_places import place
from rempart.runners.kinds.interface import LaunchError
from rempart.runners.kinds.vllm import Vllm
from rempart.settings.model import Model


def program(folder: Path) -> Path:
    path = folder / "vllm"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    return path


def test_the_key_goes_through_the_environment(tmp_path: Path) -> None:
    path = program(tmp_path)
    model = Model(
        name="big",
        kind="vllm",
        source="org/big",
        slots=8,
        context=4096,
        args=["--dtype", "bfloat16"],
        env={"PATH": str(tmp_path)},
    )
    launch = Vllm().launch(model, place(tmp_path))
    assert " ".join(launch.command) == (
        f"{path} serve org/big --host 127.0.0.1 --port 8123 --served-model-name big "
        "--max-num-seqs 8 --max-num-queued-reqs 160 --max-model-len 4096 --dtype bfloat16"
    )
    assert launch.environment["VLLM_API_KEY"] == "the-key-of-this-start"
    assert "the-key-of-this-start" not in repr(launch)
    assert launch.replicas[0].url == "http://127.0.0.1:8123"
    assert launch.starts_alone


def test_where_it_is_not_installed_the_error_says_how(tmp_path: Path) -> None:
    model = Model(name="big", kind="vllm", source="org/big", env={"PATH": str(tmp_path)})
    with pytest.raises(LaunchError, match="pip install vllm"):
        Vllm().launch(model, place(tmp_path))


def test_a_hang_up_stops_it_everywhere() -> None:
    abilities = Vllm().abilities(Model(name="big", kind="vllm", source="x"))
    assert all(one.decode and one.prefill for one in abilities.endpoints.values())
    assert "chat_template" not in abilities.extras
