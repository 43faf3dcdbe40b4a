"""Counts survive whatever happens to the process that counted, and no sum ever falls."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rempart.telemetry import cells
from rempart.telemetry.cells import DROPPED, SPARE, Cells, fold, total

COUNTER = """
import os, sys
from pathlib import Path
from rempart.telemetry.cells import Cells
cells = Cells(Path(sys.argv[1]), sys.argv[2])
first, second = cells.cell('first_total{a="b"}'), cells.cell("second_total")
told = int(sys.argv[3])
for number in range(1, 10**9):
    cells.values[first] += 1
    cells.values[second] += 1
    if number == told:
        os.write(1, b"counted\\n")
"""


def counted(folder: Path, series: str) -> float:
    return total(folder).get(series, 0.0)


def count(folder: Path, process_id: str, **amounts: float) -> None:
    """One process's life."""
    own = Cells(folder, process_id)
    for name, amount in amounts.items():
        own.values[own.cell(name)] += amount
    own.close()


@pytest.mark.requirement("concurrency-monitoring")
def test_kill_9_of_a_counting_process_loses_nothing(tmp_path: Path) -> None:
    """The sum stands between what the process had told of and what it may have added since."""
    floor = 0
    for number in range(4):
        told = 1000 * (number + 1)
        child = subprocess.Popen(
            [sys.executable, "-c", COUNTER, str(tmp_path), f"worker-{number}", str(told)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"counted\n"
            child.send_signal(signal.SIGKILL)
            child.wait()
        floor += told
        before = total(tmp_path)
        assert before['first_total{a="b"}'] >= floor
        assert 0 <= before['first_total{a="b"}'] - before["second_total"] <= number + 1
        fold(tmp_path, f"worker-{number}")
        assert total(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["base.json"]


def test_no_sum_falls_while_processes_live_die_and_are_folded(tmp_path: Path) -> None:
    """Readers that only ever rise, beside one process after another that counts and is folded."""
    is_over = threading.Event()
    falls: list[tuple[float, float]] = []
    reads = [0, 0]

    def read(reader: int) -> None:
        last = 0.0
        while not is_over.is_set():
            now = counted(tmp_path, "n_total")
            if now < last:
                falls.append((last, now))
            last = now
            reads[reader] += 1

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    rng = random.Random(1)
    lives = 0
    try:
        living: list[str] = []
        while lives < 150 or min(reads) < 150:
            lives += 1
            name = f"worker-{lives}"
            count(tmp_path, name, n_total=1, other_total=2)
            living.append(name)
            if rng.random() < 0.7:
                fold(tmp_path, living.pop(rng.randrange(len(living))))
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    assert falls == []
    assert counted(tmp_path, "n_total") == lives
    assert counted(tmp_path, "other_total") == 2 * lives


amounts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**6), max_size=4)


@settings(max_examples=40)
@given(st.lists(st.tuples(amounts, st.booleans()), max_size=5))
def test_folding_changes_no_sum_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[dict[str, int], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("cells", numbered=True)
    wanted: dict[str, float] = {DROPPED: 0.0}
    for number, (own, is_folded) in enumerate(lives):
        count(folder, f"p{number}", **own)
        for name, amount in own.items():
            wanted[name] = wanted.get(name, 0.0) + amount
        if is_folded:
            fold(folder, f"p{number}")
        assert total(folder) == wanted
    for number in range(len(lives)):
        fold(folder, f"p{number}")
        fold(folder, f"p{number}")  # once more changes nothing
    assert total(folder) == (wanted if lives else {})


def test_gauges_end_with_their_process(tmp_path: Path) -> None:
    count(tmp_path, "worker-1", in_flight=3, done_total=5, **{'in_flight{a="b"}': 2})
    fold(tmp_path, "worker-1", leave_out=frozenset({"in_flight"}))
    assert total(tmp_path) == {DROPPED: 0.0, "done_total": 5.0}


def test_a_process_killed_between_its_two_files_hides_nobody_s_counts(tmp_path: Path) -> None:
    count(tmp_path, "worker-2", n_total=1)
    (tmp_path / "worker-1.names").write_text("n_total\n")
    (tmp_path / "worker-3.cells").write_bytes(b"")
    assert counted(tmp_path, "n_total") == 1
    fold(tmp_path, "worker-1")
    fold(tmp_path, "worker-3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-2.cells", "worker-2.names"]


def test_a_name_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    count(tmp_path, "worker-1", n_total=1)
    with (tmp_path / "worker-1.names").open("ab") as names:
        names.write(b"half_a_na")
    assert total(tmp_path) == {DROPPED: 0.0, "n_total": 1.0}


def test_a_crash_while_folding_counts_nobody_twice(tmp_path: Path) -> None:
    """Main died after the base was written: the files are still there."""
    count(tmp_path, "worker-1", n_total=3)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fold(tmp_path, "worker-1")
    for path, content in kept.items():
        path.write_bytes(content)
    assert counted(tmp_path, "n_total") == 3
    fold(tmp_path, "worker-1")
    assert counted(tmp_path, "n_total") == 3
    assert not list(tmp_path.glob("worker-1.*"))


def test_a_fold_is_seen_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(tmp_path, "worker-1", n_total=3)
    seen: list[float] = []
    for name in ("write_bytes", "replace", "unlink"):

        def step(path: Path, *more: object, done: object = getattr(Path, name), **given: object):  # type: ignore[no-untyped-def]
            seen.append(counted(tmp_path, "n_total"))
            return done(path, *more, **given)  # type: ignore[operator]

        monkeypatch.setattr(Path, name, step)
    fold(tmp_path, "worker-1")
    assert seen == [3.0] * 4
    assert counted(tmp_path, "n_total") == 3.0


def test_a_base_that_cannot_be_written_leaves_the_counts_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(tmp_path, "worker-1", n_total=3)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        fold(tmp_path, "worker-1")
    assert counted(tmp_path, "n_total") == 3


def test_only_the_last_folded_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "FOLDED_REMEMBERED", 3)
    for number in range(5):
        count(tmp_path, f"worker-{number}", n_total=1)
        fold(tmp_path, f"worker-{number}")
    assert cells._read_base(tmp_path).folded == ["worker-2", "worker-3", "worker-4"]
    assert counted(tmp_path, "n_total") == 5


def test_series_beyond_the_bound_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "SERIES_COUNT_MAX", 4)
    own = Cells(tmp_path, "worker-1")
    for number in range(10):
        own.values[own.cell(f"n{number}_total")] += 1
    assert own.cell("n0_total") == 1
    assert own.cell("n9_total") == SPARE
    own.close()
    assert total(tmp_path) == {DROPPED: 8.0, "n0_total": 1.0, "n1_total": 1.0, "n2_total": 1.0}


def test_a_process_id_is_never_used_twice(tmp_path: Path) -> None:
    """The second process would give the first one's names to its own cells."""
    count(tmp_path, "worker-1", n_total=1)
    with pytest.raises(FileExistsError):
        Cells(tmp_path, "worker-1")
    assert counted(tmp_path, "n_total") == 1


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    Cells(tmp_path / "metrics", "worker-1").close()
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "metrics").iterdir()} == {0o600}


def test_room_for_all_cells_is_taken_at_the_start(tmp_path: Path) -> None:
    """A hole that is filled on a full disk would kill the process (SIGBUS)."""
    Cells(tmp_path, "worker-1").close()
    found = (tmp_path / "worker-1.cells").stat()
    assert found.st_blocks * 512 >= found.st_size == (SPARE + 1) * 8


FULL = """
import resource, sys
from pathlib import Path
from rempart.telemetry.cells import Cells, total
folder, room = Path(sys.argv[1]), int(sys.argv[2])
if room:
    cells = Cells(folder, "worker-1")
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
if not room:
    cells = Cells(folder, "worker-1")
for number in range(3):
    cells.values[cells.cell(f"{'n' * 40}{number}_total")] += 1
print(cells.is_shared, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
cells.values[cells.cell("later_total")] += 1
"""


def on_a_full_disk(folder: Path, room_bytes: int) -> str:
    """A process whose files may grow to that size and no further, which then have room again."""
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), str(room_bytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_a_full_disk_at_the_start_costs_the_counts_and_nothing_else(tmp_path: Path) -> None:
    count(tmp_path, "worker-0", n_total=1)
    assert on_a_full_disk(tmp_path, 0) == "False"
    assert total(tmp_path) == {DROPPED: 0.0, "n_total": 1.0}


def test_a_name_cut_by_a_full_disk_moves_no_other(tmp_path: Path) -> None:
    """The first series fits, the second is cut in the middle, the third and what comes later is whole."""
    room_bytes = len(DROPPED) + 1 + 48 + 20
    assert on_a_full_disk(tmp_path, room_bytes) == "True"
    assert total(tmp_path) == {DROPPED: 2.0, f"{'n' * 40}0_total": 1.0, "later_total": 1.0}


def test_labels_may_have_any_character(tmp_path: Path) -> None:
    names = ['n_total{a="é"}', 'n_total{a="\u2028"}', 'n_total{a="\\n"}', 'n_total{a="\ud800"}']
    own = Cells(tmp_path, "worker-1")
    for name in names:
        own.values[own.cell(name)] += 1
    own.close()
    assert list(total(tmp_path).values()) == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_closing_lets_go_of_the_files(tmp_path: Path) -> None:
    own = Cells(tmp_path, "worker-1")
    before = len(os.listdir("/proc/self/fd"))
    own.close()
    assert len(os.listdir("/proc/self/fd")) < before
    with pytest.raises(ValueError, match="released"):
        own.values[0] += 1
