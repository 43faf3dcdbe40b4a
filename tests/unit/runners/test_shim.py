"""No orphan, whatever dies and however the runner has forked."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.runner_processes import end, fake_command, is_alive, pids_in, until
from rempart.runners import shim

ROOT = Path(__file__).parents[3]
FORKS = {
    "none": (0, ()),
    "plain": (1, ("--fork", "plain")),
    "setsid": (1, ("--fork", "setsid")),
    "double": (1, ("--fork", "double")),
    "daemon": (1, ("--fork", "daemon")),
    "chain": (4, ("--fork", "chain")),
    "many": (6, ("--fork", "daemon") * 6),
}
"""How the runner forks, and how many processes that makes beside it."""


@dataclass
class Family:
    """A stand-in for main, its shim, the runner and what that has forked."""

    main: subprocess.Popen[str]
    shim: int
    runner: int
    pids: list[int]

    def all_gone(self) -> bool:
        return not any(is_alive(pid) for pid in [self.shim, *self.pids])


@contextlib.contextmanager
def family(tmp_path: Path, forks: str, *switches: str, stop_s: float = 0.3) -> Iterator[Family]:
    count, fork_switches = FORKS[forks]
    file = tmp_path / "pids"
    command = fake_command("--pids", file, *fork_switches, *switches)
    with subprocess.Popen(
        [sys.executable, "-m", "lab.fake_main", str(stop_s), *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as main:
        made: Family | None = None
        try:
            assert main.stdout is not None
            guard = int(main.stdout.readline())
            until(lambda: len(pids_in(file)) == count + 1, "all processes have started")
            made = Family(main, guard, pids_in(file)[0], pids_in(file))
            yield made
        finally:
            main.kill()
            until(lambda: made is None or made.all_gone(), "everything is gone after the test")
            end(pids_in(file))


def until_listening(pid: int) -> None:
    """Until a fake runner has set its signal handlers, which it does after it listens."""
    until(
        lambda: bool(int(signals_caught(pid), 16) & 1 << (signal.SIGTERM - 1)),
        "the runner handles SIGTERM",
    )


def signals_caught(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]


@pytest.mark.requirement("memory-unload", "processes")
@pytest.mark.parametrize("forks", FORKS)
@pytest.mark.parametrize("victim", ["main", "shim", "runner"])
def test_nothing_is_left_after_kill_9(victim: str, forks: str, tmp_path: Path) -> None:
    """The forks are deaf to SIGTERM, so that only force ends them."""
    with family(tmp_path, forks) as made:
        pid = {"main": made.main.pid, "shim": made.shim, "runner": made.runner}[victim]
        os.kill(pid, signal.SIGKILL)
        until(made.all_gone, f"everything is gone after the death of {victim}")
        assert victim == "main" or made.main.poll() is None


@pytest.mark.requirement("memory-unload")
@pytest.mark.parametrize("victim", ["main", "shim", "runner"])
def test_nothing_is_left_of_a_runner_that_is_deaf_to_sigterm(victim: str, tmp_path: Path) -> None:
    with family(tmp_path, "chain", "--deaf") as made:
        pid = {"main": made.main.pid, "shim": made.shim, "runner": made.runner}[victim]
        os.kill(pid, signal.SIGKILL)
        until(made.all_gone, f"everything is gone after the death of {victim}")


def test_nothing_is_left_when_main_and_the_runner_die_together(tmp_path: Path) -> None:
    with family(tmp_path, "many") as made:
        os.kill(made.runner, signal.SIGKILL)
        os.kill(made.main.pid, signal.SIGKILL)
        until(made.all_gone, "everything is gone")


def test_nothing_is_left_when_shim_and_runner_die_together(tmp_path: Path) -> None:
    with family(tmp_path, "many") as made:
        os.kill(made.shim, signal.SIGSTOP)
        os.kill(made.runner, signal.SIGKILL)
        os.kill(made.shim, signal.SIGKILL)
        until(made.all_gone, "everything is gone")


def test_main_dying_in_the_middle_of_a_long_graceful_stop_shortens_it(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    with family(tmp_path, "setsid", "--deaf-but-notes", str(asked), stop_s=600) as made:
        until_listening(made.runner)
        os.kill(made.shim, signal.SIGTERM)
        until(asked.exists, "the shim has begun to end the runner")
        os.kill(made.main.pid, signal.SIGKILL)
        until(made.all_gone, "everything is gone")


def test_a_runner_that_ends_by_itself_takes_what_it_forked_with_it(tmp_path: Path) -> None:
    with family(tmp_path, "chain", "--exit-after-s", "0.2", "--exit-status", "7") as made:
        assert made.main.stdout is not None
        assert made.main.stdout.readline() == "7\n"
        assert made.all_gone()


def run_shim(*command: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    """The shim by itself, for commands that end at once."""
    lifeline, cut = os.pipe()
    try:
        return subprocess.run(
            [
                *(sys.executable, "-I", "-S", shim.__file__, str(lifeline), "-"),
                *(str(os.getpid() if parent is None else parent), "1", "--", *command),
            ],
            pass_fds=(lifeline,),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(lifeline)
        os.close(cut)


def test_it_exits_with_the_runners_status() -> None:
    assert run_shim("/bin/sh", "-c", "exit 3").returncode == 3
    assert run_shim("/bin/sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV


def test_a_program_that_is_not_there_is_told_by_name() -> None:
    made = run_shim("/does/not/exist")
    assert made.returncode == shim.CANNOT_START
    assert made.stderr == "cannot start /does/not/exist: No such file or directory\n"


def test_it_starts_nothing_when_main_is_already_gone() -> None:
    """Main may die between starting the shim and the shim asking for its death signal."""
    made = run_shim("/bin/echo", "started", parent=1)
    assert made.returncode == shim.CANNOT_START
    assert made.stdout == ""


def test_the_runner_starts_with_plain_signals_no_privileges_to_gain_and_no_core_dump() -> None:
    status = run_shim("/bin/cat", "/proc/self/status").stdout
    assert "NoNewPrivs:\t1" in status
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    # 32 and 33 are glibc's own: under make they are ignored from the start, and nobody can change that.
    assert ignored & ~(0b11 << 31) == 0
    assert "SigBlk:\t0000000000000000" in status
    assert run_shim("/bin/cat", "/proc/self/oom_score_adj").stdout == "500\n"
    limits = run_shim("/bin/cat", "/proc/self/limits").stdout
    core = next(line for line in limits.splitlines() if line.startswith("Max core"))
    assert core.split()[4:6] == ["0", "0"]


def test_the_runner_dies_with_its_shim_even_where_nobody_sweeps() -> None:
    with guarded_sleep() as (guard, runner):
        guard.kill()
        until(lambda: not is_alive(runner), "the runner is gone")


@contextlib.contextmanager
def guarded_sleep() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A shim by itself with a runner that does nothing."""
    lifeline, cut = os.pipe()
    with subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", shim.__file__, str(lifeline), "-"),
            *(str(os.getpid()), "1", "--", "/bin/sleep", "600"),
        ],
        pass_fds=(lifeline,),
    ) as guard:
        try:
            until(lambda: shim.children_of(guard.pid) != [], "the runner is forked")
            runner = shim.children_of(guard.pid)[0]
            until(lambda: Path(f"/proc/{runner}/comm").read_text() == "sleep\n", "... and runs")
            yield guard, runner
        finally:
            os.close(lifeline)
            os.close(cut)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_does_not_reach_a_runner_by_itself(number: signal.Signals) -> None:
    """Main decides when runners end; the shim passes nothing on but SIGTERM and SIGQUIT."""
    with guarded_sleep() as (guard, _):
        guard.send_signal(number)
        guard.send_signal(signal.SIGTERM)
        assert guard.wait(20) == 128 + signal.SIGTERM


def test_the_runner_has_a_group_and_session_apart_from_ours() -> None:
    stat = run_shim("/bin/cat", "/proc/self/stat").stdout.rpartition(")")[2].split()
    group, session = int(stat[2]), int(stat[3])
    assert group not in (os.getpgrp(), session)
    assert session != os.getsid(0)


def test_children_are_found_without_the_kernels_list_of_them() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        assert child.pid in shim.children_of(os.getpid())
        assert child.pid in shim.children_by_scan(os.getpid())
        assert child.pid in shim.descendants(os.getppid())
        child.kill()
