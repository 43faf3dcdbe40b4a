"""A runner's output: bounded in memory, whole in a file that is rotated."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.log_ring import LINE_BYTES_MAX, LogFile, LogRing


def test_the_newest_lines_are_kept_and_older_ones_counted() -> None:
    ring = LogRing(lines_max=3)
    ring.feed(b"1\n2\n3\n4\n5\n")
    assert ring.lines(10) == ["3", "4", "5"]
    assert ring.lines(2) == ["4", "5"]
    assert ring.lines(0) == []
    assert ring.dropped_count == 2


def test_bytes_are_bounded_too() -> None:
    ring = LogRing(bytes_max=100)
    for _ in range(50):
        ring.feed(b"x" * 30 + b"\n")
    assert len(ring.lines(100)) == 3


@given(st.lists(st.binary(max_size=40), max_size=20), st.data())
def test_lines_are_the_same_however_the_bytes_are_cut(
    lines: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    cut = data.draw(st.integers(0, len(whole)))
    one, two = LogRing(), LogRing()
    written = one.feed(whole)
    assert two.feed(whole[:cut]) + two.feed(whole[cut:]) == written
    assert one.lines(100) == two.lines(100)
    assert len(one.lines(100)) == len(lines)


def test_a_line_without_end_is_cut_and_its_rest_counts_when_the_runner_is_gone() -> None:
    ring = LogRing()
    ring.feed(b"y" * (LINE_BYTES_MAX + 10))
    assert ring.lines(10) == ["y" * LINE_BYTES_MAX]
    assert ring.end() == b"y" * 10 + b"\n"
    assert ring.end() == b""


def test_a_progress_bars_last_state_is_its_line() -> None:
    ring = LogRing()
    ring.feed(b"10%\r50%\r100%\r\n")
    assert ring.lines(1) == ["100%"]


def test_the_key_of_this_start_is_masked_in_memory_and_in_what_goes_to_the_file() -> None:
    ring = LogRing(hidden=("k3y",))
    assert ring.feed(b"api key k3y set\n") == b"api key ******** set\n"
    assert ring.lines(1) == ["api key ******** set"]
    ring.hide("other")
    assert ring.feed(b"k3y other\n") == b"k3y ********\n"


def test_the_file_is_rotated_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "runner-x.log"
    failures: list[OSError] = []
    file = LogFile(path, rotate_bytes=100, keep=2, on_failed=failures.append)
    for n in range(10):
        file.write(b"%d" % n * 60 + b"\n")
    file.close()
    names = sorted(one.name for one in path.parent.iterdir())
    assert names == ["runner-x.log", "runner-x.log.1", "runner-x.log.2"]
    assert path.read_bytes().startswith(b"9")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not failures


def test_a_file_that_was_there_counts_towards_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 90 + b"\n")
    file = LogFile(path, rotate_bytes=100, keep=1, on_failed=lambda error: None)
    file.write(b"y" * 5 + b"\n")
    file.write(b"z" * 50 + b"\n")
    file.close()
    assert path.read_bytes() == b"z" * 50 + b"\n"


def test_a_write_that_fails_costs_the_line_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    failures: list[OSError] = []
    file = LogFile(tmp_path / "file" / "a.log", rotate_bytes=100, keep=1, on_failed=failures.append)
    file.write(b"one\n")
    file.write(b"two\n")
    assert len(failures) == 1
    assert file.failed_count == 2
