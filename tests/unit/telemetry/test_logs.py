"""Every event is one whole line, or is lost and counted; nothing that writes one waits or fails."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.base.secret import Secret
from rempart.telemetry.logs import LINE_BYTES_MAX, Level, Log, rotate, text_line

AT = "2026-11-24T16:00:00.000Z"


class StoppedClock:
    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return datetime(2026, 11, 24, 16, tzinfo=UTC)


class Written:
    """A log, what it wrote to its file, and how many lines it lost."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.dropped = 0
        options = {"console": "off", **options}
        self.log = Log(
            clock=StoppedClock(), process="worker-1", file=path, on_dropped=self.drop, **options
        )

    def drop(self) -> None:
        self.dropped += 1

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    found = Written(tmp_path / "logs" / "api.log")
    yield found
    found.log.close()


def test_a_line_is_json_with_the_moment_the_level_the_event_and_who_writes(
    written: Written,
) -> None:
    written.log.info("request", id="0199", status=200, model="é", none=None)
    assert written.lines == [
        {
            "at": AT,
            "level": "info",
            "event": "request",
            "process": "worker-1",
            "id": "0199",
            "status": 200,
            "model": "é",
            "none": None,
        }
    ]
    assert written.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_lines_below_the_level_are_not_written(tmp_path: Path, level: str, count: int) -> None:
    written = Written(tmp_path / "api.log", level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(written.log, name)("event")
    assert [line["level"] for line in written.lines] == ["debug", "info", "warning", "error"][
        -count:
    ]
    assert [written.log.is_on(one) for one in Level].count(True) == count
    written.log.close()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.builds(object)
    | st.builds(Secret, st.just("hunter2")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(), min_size=1).map("x_".__add__), values, max_size=4))
def test_whatever_the_fields_are_one_line_is_written(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    written = Written(tmp_path_factory.mktemp("logs") / "api.log")
    written.log.write(Level.INFO, "event", fields)
    written.log.close()
    (line,) = written.lines
    assert line["event"] == "event"
    assert len(line) == 4 + len(fields)
    assert written.dropped == 0
    assert b"hunter2" not in written.path.read_bytes()
    shown = text_line({"at": AT, "level": "info", "event": "event", "process": "main", **fields})
    assert shown.count(b"\n") == 1
    assert b"hunter2" not in shown
    assert shown.decode().strip("\n").isprintable()


def test_a_value_that_breaks_when_it_is_shown_breaks_nothing(written: Written) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    written.log.info("event", broken=Broken(), id="0199")
    (line,) = written.lines
    assert line["id"] == "0199"
    assert line["broken"] == "a Broken that cannot be shown"


def test_a_line_that_is_too_long_is_replaced_by_one_that_says_so(written: Written) -> None:
    """What finds the request is kept: numbers and short texts."""
    head = {"at": AT, "level": "info", "event": "e", "process": "worker-1", "prompt": ""}
    room = LINE_BYTES_MAX - len(json.dumps(head, separators=(",", ":")))
    written.log.info("e", prompt="x" * (room - 1))
    written.log.info("e", prompt="x" * room, id="0199", status=200, names=["a"] * 3)
    fits, replaced = written.lines
    assert len(fits["prompt"]) == room - 1
    assert replaced["line_too_long_bytes"] > LINE_BYTES_MAX
    assert (replaced["event"], replaced["id"], replaced["status"]) == ("e", "0199", 200)
    assert "prompt" not in replaced
    assert "names" not in replaced


WRITER = """
import select, sys
from pathlib import Path
from rempart.base.clock import SystemClock
from rempart.telemetry.logs import Log

log = Log(clock=SystemClock(), process=sys.argv[1], file=Path(sys.argv[2]), console="off")
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    log.info("event", number=number, text=sys.argv[1] * (number * 37 % 800))
    if number % 5 == 0 and select.select([0], [], [], 0)[0]:
        sys.stdin.readline()
        log.reopen()
print("done", flush=True)
"""


def start_writers(path: Path, count: int, lines: int) -> list["subprocess.Popen[str]"]:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, f"w{number}", str(path), str(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    return writers


def tell(writers: list["subprocess.Popen[str]"]) -> None:
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()


def test_lines_of_several_processes_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    writers = start_writers(path, 3, 2000)
    tell(writers)
    for writer in writers:
        writer.communicate()
    seen: dict[str, list[int]] = {}
    for line in path.read_bytes().splitlines():
        document = json.loads(line)
        name, number = document["process"], document["number"]
        assert document["text"] == name * (number * 37 % 800)
        seen.setdefault(name, []).append(number)
    assert seen == {f"w{number}": list(range(2000)) for number in range(3)}


def test_a_rotation_loses_no_line(tmp_path: Path) -> None:
    """Main renames and tells; each of the others goes on in the old file until it has heard it."""
    path = tmp_path / "api.log"
    writers = start_writers(path, 2, 6000)
    tell(writers)
    for count in range(1, 5):
        while len(path.read_bytes()) < 100_000 if path.exists() else True:
            os.sched_yield()
        rotate(path, keep=10)
        tell(writers)
        assert (tmp_path / f"api.log.{count}").exists()
        while not path.exists():
            os.sched_yield()
    for writer in writers:
        writer.communicate()
    seen: dict[str, list[int]] = {}
    for number in (4, 3, 2, 1, 0):
        file = tmp_path / f"api.log.{number}" if number else path
        for line in file.read_bytes().splitlines():
            document = json.loads(line)
            seen.setdefault(document["process"], []).append(document["number"])
    assert seen == {f"w{number}": list(range(6000)) for number in range(2)}


def test_a_rotation_keeps_as_many_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    for number in range(6):
        path.write_text(f"{number}")
        rotate(path, keep=3)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "api.log.1": "5",
        "api.log.2": "4",
        "api.log.3": "3",
    }
    path.write_text("6")
    rotate(path, keep=1)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"api.log.1": "6"}
    path.write_text("7")
    rotate(path, keep=0)
    assert list(tmp_path.iterdir()) == []
    rotate(path, keep=3)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_lines_that_are_counted(tmp_path: Path) -> None:
    written = Written(Path("/dev/full"))
    for _ in range(3):
        written.log.info("event")
    assert written.dropped == 3
    written.log.close()


FULL = """
import resource, sys
from pathlib import Path
from rempart.base.clock import SystemClock
from rempart.telemetry.logs import Log

path, dropped = Path(sys.argv[1]), []
log = Log(clock=SystemClock(), process="main", file=path, console="off")
log.on_dropped = lambda: dropped.append(1)
log.info("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, resource.RLIM_INFINITY))
log.info("cut")
log.info("lost")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info("whole")
log.info("also_whole")
print(len(dropped))
"""


def test_what_a_full_disk_leaves_of_a_line_does_not_take_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "2\n"
    first, cut, *rest = path.read_bytes().splitlines()
    assert json.loads(first)["event"] == "first"
    assert len(cut) == 30
    assert [json.loads(line)["event"] for line in rest] == ["whole", "also_whole"]


def test_a_file_that_cannot_be_opened_at_the_start_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "api.log").mkdir()
    with pytest.raises(IsADirectoryError):
        Written(tmp_path / "api.log")


def test_a_file_that_cannot_be_opened_later_leaves_the_old_one(written: Written) -> None:
    """A worker must not die because somebody took its folder away."""
    written.path.rename(written.path.with_name("api.log.1"))
    written.path.mkdir()
    written.log.reopen()
    assert written.dropped == 1
    written.log.info("event")
    assert b"event" in written.path.with_name("api.log.1").read_bytes()


def test_a_folder_that_was_taken_away_is_made_again(written: Written) -> None:
    written.path.unlink()
    written.path.parent.rmdir()
    written.log.reopen()
    written.log.info("event")
    assert len(written.lines) == 1


def test_without_a_file_only_the_console_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(clock=StoppedClock(), process="main", file=None)
    log.reopen()
    log.info("event")
    log.close()
    assert capfd.readouterr().err == "16:00:00.000 info    main      event\n"


def test_a_closed_log_writes_nowhere(written: Written) -> None:
    written.log.close()
    written.log.close()
    written.log.info("event")
    assert written.lines == []
    assert written.dropped == 0


def shown(**fields: Any) -> str:
    head = {"at": AT, "level": "info", "event": "request", "process": "worker-1"}
    return text_line(head | fields).decode()


def test_people_see_time_level_process_event_and_what_says_something() -> None:
    text = shown(
        status=200,
        ms=1.5,
        reason="it crashed",
        empty="",
        none=None,
        nothing=[],
        zero=0,
        names=["a"],
    )
    assert text == (
        '16:00:00.000 info    worker-1  request  status=200 ms=1.5 reason="it crashed" zero=0 names=["a"]\n'
    )


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\x1b[2Jb", "a\u2028b", "a\x9bb", "a\ud800b", "\u202ea"]
)
def test_what_comes_from_outside_makes_no_line_and_moves_no_cursor(text: str) -> None:
    line = shown(reason=text, inner=[text])
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert "\\" in line


def test_a_traceback_stands_below_its_line_set_in() -> None:
    assert shown(id=7, traceback="Traceback:\n  x = 1\n\x1b[0m\n") == (
        "16:00:00.000 info    worker-1  request  id=7\n    Traceback:\n      x = 1\n    \\x1b[0m\n"
    )


@pytest.mark.parametrize("console", ["text", "json"])
def test_a_line_too_long_for_a_pipe_is_cut_between_characters(
    console: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = Log(clock=StoppedClock(), process="main", file=None, console=console)
    for text in ("é" * 2000, "é" * 2001, "é" * 5000, "e" + "é" * 5000):
        log.info("event", id="0199", text=text)
    log.close()
    lines = capfdbinary.readouterr().err.splitlines(keepends=True)
    assert len(lines) == 4
    for line in lines:
        assert len(line) <= 4096
        assert line.decode().endswith("\n")
        if console == "json":
            assert json.loads(line)["id"] == "0199"


def test_a_console_that_takes_nothing_costs_lines_that_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    with open(writer, "w", closefd=True) as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        written = Written(tmp_path / "api.log", console="text")
        for number in range(60):
            written.log.info("event", text="x" * 4000, number=number)
        written.log.close()
    taken = 0
    while data := os.read(reader, 65536):
        taken += data.count(b"\n")
    os.close(reader)
    assert 1 <= taken < 60
    assert written.dropped == 60 - taken
    assert len(written.lines) == 60


def test_without_stderr_there_is_no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    log = Log(clock=StoppedClock(), process="main", file=None)
    log.info("event")
    log.close()
