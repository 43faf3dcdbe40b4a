"""What is printed while a model loads is kept and passed on, even by a process that aborts."""

import subprocess
import sys

CODE = """
import os, sys
from rempart.runners.llama_cpp_server.stderr_tee import stderr_kept
with stderr_kept() as printed:
    os.write(2, b"0.01 E one\\n")
    {inside}
os.write(2, b"after\\n")
print(repr(printed()))
print(sorted(os.listdir("/proc/self/fd")))
"""


def run(inside: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE.format(inside=inside)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_is_kept_and_passed_on() -> None:
    done = run("os.write(2, b'two\\n')")
    kept, descriptors = done.stdout.splitlines()
    assert kept == repr("0.01 E one\ntwo\n")
    assert done.stderr == "0.01 E one\ntwo\nafter\n"
    assert descriptors == "['0', '1', '2', '3']", "the folder that is listed is the fourth"
    assert done.returncode == 0


def test_a_process_that_aborts_has_said_why() -> None:
    done = run("os.write(2, b'assertion failed\\n'); os.abort()")
    assert done.returncode < 0
    assert done.stderr == "0.01 E one\nassertion failed\n"


def test_an_exception_goes_on_and_standard_error_is_as_before() -> None:
    done = run("raise ValueError('x')")
    assert "ValueError: x" in done.stderr
    assert done.stderr.startswith("0.01 E one\n")


def test_it_does_not_hold_what_is_printed_for_ever() -> None:
    done = run("os.write(2, b'x' * 900_000)")
    assert len(done.stdout) < 400_000
    assert len(done.stderr) > 900_000
