"""The programs that serve models: are they here, and do they run on this machine?"""

import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rempart.cli.checks.finding import Finding, error, ok
from rempart.cli.checks.probe import ProbeFailed, ask_child
from rempart.settings.model import Model

_IMPORT_XLLAMACPP = """
import json
import xllamacpp
print(json.dumps({"version": xllamacpp.__version__}))
"""
PROGRAMS = {
    "vllm": ("vllm", "Install it into this environment: pip install vllm"),
    "transformers": ("transformers", "Install it: pip install 'rempart[transformers]'"),
}


def programs(
    models: Sequence[Model],
    find: Callable[[str], str | None] | None = None,
    ask: Callable[[str], Any] = ask_child,
) -> list[Finding]:
    """One finding for each kind of runner that the models need.

    Args:
        find: gives a program's path, or None where there is none; None looks on this machine.
        ask: runs code in a child and gives its JSON.
    """
    find = find or find_program
    findings = []
    kinds = {model.kind for model in models}
    if "llama_cpp" in kinds:
        findings.append(llama_cpp(ask))
    for kind, (program, remedy) in PROGRAMS.items():
        if kind in kinds:
            path = find(program)
            findings.append(
                ok("runner", f"{kind}: {path}")
                if path
                else error("runner", f"{kind}: there is no program {program}", remedy)
            )
    for model in models:
        if model.kind == "command" and model.command:
            findings.append(_command(model, find))
    return findings


def llama_cpp(ask: Callable[[str], Any]) -> Finding:
    """Whether llama.cpp's library loads; in a child, since it may die of a missing CPU feature."""
    try:
        answer = ask(_IMPORT_XLLAMACPP)
    except ProbeFailed as failed:
        if failed.signal == signal.SIGILL:
            return error(
                "runner",
                "llama_cpp: this CPU lacks instructions that xllamacpp was built with",
                "Build it for this machine: pip install --no-binary xllamacpp xllamacpp",
            )
        if "No module named 'xllamacpp'" in str(failed):
            return error(
                "runner",
                "llama_cpp: xllamacpp is not installed",
                "Install it: pip install 'rempart[local]'",
            )
        return error(
            "runner", f"llama_cpp: xllamacpp cannot be imported: {failed}", "Install it anew."
        )
    return ok("runner", f"llama_cpp: xllamacpp {answer['version']}")


def find_program(name: str) -> str | None:
    """The program of this environment, else that of the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def _command(model: Model, find: Callable[[str], str | None]) -> Finding:
    program = model.command[0]
    if find(program):
        return ok("runner", f"command: {program} ({model.name})")
    return error(
        "runner",
        f"command: there is no program {program} ({model.name})",
        "Correct models.command, or install the program.",
    )
