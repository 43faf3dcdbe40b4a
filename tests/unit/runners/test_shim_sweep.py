"""Sweeping: strangers among our children are ended, those we know are not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.runner_processes import is_alive, until
from rempart.runners.shim import children_of
from rempart.runners.shim_sweep import sweep_leftovers, sweep_orphans

ORPHANS_COME_TO_US = """
import os, subprocess, sys, time
from rempart.runners.shim import children_of
from rempart.runners.shim_sweep import become_subreaper, sweep_orphans
become_subreaper()
known = subprocess.Popen(["/bin/sleep", "600"])
subprocess.run(["/bin/sh", "-c", "setsid sleep 601 & setsid sleep 602 &"])
deadline = time.monotonic() + 20
swept = set()
while len(swept) < 2 and time.monotonic() < deadline:
    swept.update(sweep_orphans({known.pid}))
for _ in range(100):
    sweep_orphans({known.pid})
    time.sleep(0.01)
left = [os.path.exists(f"/proc/{pid}") for pid in swept]
print(len(swept), any(left), known.poll())
known.kill()
known.wait()
"""


def test_orphans_come_to_a_subreaper_which_ends_and_reaps_them() -> None:
    """In a process of its own, since a subreaper stays one."""
    made = subprocess.run(
        [sys.executable, "-c", ORPHANS_COME_TO_US], capture_output=True, text=True, check=True
    )
    assert made.stdout == "2 False None\n"


def test_only_a_stranger_of_another_session_is_ended() -> None:
    """Such as main's own helper that reads the configuration anew while runners are swept."""
    with (
        subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as known,
        subprocess.Popen(["/bin/sleep", "600"]) as of_ours,
        subprocess.Popen(["/bin/sleep", "601"], start_new_session=True) as stranger,
    ):
        others = {pid for pid in children_of(os.getpid()) if pid != stranger.pid}
        assert sweep_orphans(others - {of_ours.pid}) == [stranger.pid]
        until(lambda: not is_alive(stranger.pid), "the stranger is gone")
        assert is_alive(known.pid)
        assert is_alive(of_ours.pid)
        known.kill()
        of_ours.kill()


def test_leftovers_are_told_by_their_whole_environment_variable() -> None:
    def start(value: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["/bin/sleep", "600"], env={"A": "1", "MARK": value})

    with start("/run/one") as ours, start("/run/one/more") as another:
        until(lambda: b"/run/one" in Path(f"/proc/{ours.pid}/environ").read_bytes(), "it runs")
        assert sweep_leftovers(("MARK", "/run/one")) == [ours.pid]
        assert ours.wait(20) == -signal.SIGKILL
        assert another.poll() is None
        another.kill()
