"""Looking at native code from a child process."""

import pytest

from rempart.cli.checks.probe import ProbeFailed, ask_child


def test_what_the_child_prints_last_is_the_answer() -> None:
    assert ask_child('print("noise"); print(\'{"a": 1}\')') == {"a": 1}


@pytest.mark.parametrize(
    ("code", "text", "signal"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it died of signal 4", 4),
        ("raise ImportError('no such thing')", "ImportError: no such thing", 0),
        ("import sys; sys.exit(3)", "it ended with exit code 3", 0),
        ("print('hello')", "it printed 'hello'", 0),
        ("pass", "it ended with exit code 0", 0),
    ],
)
def test_a_child_without_an_answer_says_how_it_ended(code: str, text: str, signal: int) -> None:
    with pytest.raises(ProbeFailed, match=text) as caught:
        ask_child(code)
    assert caught.value.signal == signal


def test_a_child_that_hangs_is_ended() -> None:
    with pytest.raises(ProbeFailed, match=r"did not end within 0.2 s"):
        ask_child("import time; time.sleep(60)", 0.2)
