"""The programs that serve models."""

from typing import Any

import pytest

from rempart.cli.checks.probe import ProbeFailed
from rempart.cli.checks.runners import find_program, programs
from rempart.settings.model import Model

LLAMA = Model(name="a", source="demo")
COMMAND = Model(name="mine", kind="command", command=["serve-it", "{port}"])


def failing(text: str, signal: int = 0) -> Any:
    def ask(code: str) -> Any:
        raise ProbeFailed(text, signal=signal)

    return ask


@pytest.mark.parametrize(
    ("text", "signal", "found", "remedy"),
    [
        (
            "ModuleNotFoundError: No module named 'xllamacpp'",
            0,
            "is not installed",
            "rempart[local]",
        ),
        ("it died of signal 4", 4, "this CPU lacks instructions", "Build it for this machine"),
        (
            "ImportError: libgomp.so.1: cannot open",
            0,
            "cannot be imported: ImportError: libgomp",
            "Install it anew.",
        ),
    ],
)
def test_a_llama_cpp_that_does_not_load_is_told_by_cause(
    text: str, signal: int, found: str, remedy: str
) -> None:
    (finding,) = programs([LLAMA], ask=failing(text, signal))
    assert finding.level == "error"
    assert found in finding.found
    assert remedy in finding.remedy


def test_the_llama_cpp_of_this_machine_loads() -> None:
    (finding,) = programs([LLAMA])
    assert (finding.level, finding.found.startswith("llama_cpp: xllamacpp ")) == ("ok", True)


@pytest.mark.parametrize("kind", ["vllm", "transformers"])
def test_a_missing_program_is_an_error(kind: Any) -> None:
    model = Model(name="x", kind=kind, source="o/n")
    (finding,) = programs([model], find=lambda name: None)
    assert (finding.level, "pip install" in finding.remedy) == ("error", True)
    assert programs([model], find=lambda name: f"/bin/{name}")[0].level == "ok"


def test_a_command_that_is_not_there_is_an_error() -> None:
    (finding,) = programs([COMMAND])
    assert (finding.level, finding.found) == (
        "error",
        "command: there is no program serve-it (mine)",
    )
    assert programs([COMMAND], find=lambda name: "/bin/serve-it")[0].level == "ok"


def test_only_what_the_models_need_is_looked_at() -> None:
    far = Model(name="far", kind="upstream", base_urls=["http://h/v1"])
    assert programs([far], find=lambda name: None, ask=failing("x")) == []


def test_the_programs_of_this_environment_come_first() -> None:
    assert find_program("python")
    assert find_program("no-such-program") is None
