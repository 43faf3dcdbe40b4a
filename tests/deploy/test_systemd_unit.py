"""deploy/rempart.service is understood by systemd and stays tight."""

import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent.parent / "deploy" / "rempart.service"
SINCE_254 = {"RestartSteps", "RestartMaxDelaySec"}
EXPOSURE_MAX = 2.0
"""systemd's own score, from 0 (tight) to 10; a service without any measure has 9.6."""

pytestmark = pytest.mark.system


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", *arguments], capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr


@pytest.mark.requirement("deploy")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    """But for the program, which is not installed here, and keys that an older systemd skips."""
    program = tmp_path / "rempart"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/rempart/.venv/bin/rempart", str(program)))
    found = [
        line
        for line in analyze("verify", "--man=no", str(unit)).splitlines()
        if str(unit) in line or unit.name in line
    ]
    newer = [line for line in found if any(f"'{key}'" in line for key in SINCE_254)]
    assert [line for line in found if line not in newer] == []


def test_a_wrong_key_would_be_found(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("WatchdogSec=20s", "WatchdogSecs=20s"))
    assert "Unknown key" in analyze("verify", "--man=no", str(unit))


@pytest.mark.requirement("deploy")
def test_what_the_service_may_touch_stays_small() -> None:
    report = analyze("security", "--offline=yes", "--no-pager", str(UNIT))
    score = re.search(r"Overall exposure level for rempart\.service: ([0-9.]+)", report)
    assert score, report
    assert float(score[1]) <= EXPOSURE_MAX
