"""One file from a server that may break off, lie or change its mind."""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.file_server import FileServer, file_server
from rempart.runners.files import download
from rempart.runners.files.download import Download, DownloadError, fetch

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        running.files["/x.bin"] = CONTENT
        yield running


def want(server: FileServer, tmp_path: Path, path: str = "/x.bin", **more: object) -> Download:
    wanted: dict[str, object] = {
        "url": server.url + path,
        "target": tmp_path / "x.bin",
        "bytes_max": 10**6,
    }
    return Download(**(wanted | more))  # type: ignore[arg-type]  # fields by name


def get(wanted: Download) -> list[float]:
    """Fetch it; the pauses that were made."""
    pauses: list[float] = []
    assert fetch(wanted, lambda done, total: None, pauses.append) == len(CONTENT)
    assert wanted.target.read_bytes() == CONTENT
    assert sorted(path.name for path in wanted.target.parent.iterdir()) == ["x.bin"]
    return pauses


def refused(wanted: Download) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(wanted, lambda done, total: None, lambda seconds: None)
    assert not wanted.target.exists()
    return str(caught.value)


def ranges(server: FileServer) -> list[str | None]:
    return [headers.get("range") for _, headers in server.requests]


def test_a_file_is_fetched_whole_with_its_progress(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    wanted = want(server, tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest().upper())
    fetch(wanted, lambda done, total: seen.append((done, total)), lambda seconds: None)
    assert wanted.target.read_bytes() == CONTENT
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))


def test_after_a_broken_connection_it_goes_on_where_it_broke(
    server: FileServer, tmp_path: Path
) -> None:
    server.cuts = [1000, 500]
    assert get(want(server, tmp_path)) == [1.0, 2.0]
    assert ranges(server) == [None, "bytes=1000-", "bytes=1500-"]
    assert server.requests[1][1]["if-range"] == '"one"'


def test_a_later_command_goes_on_too(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [100] * download.ATTEMPTS
    assert "run it again to go on there" in refused(want(server, tmp_path))
    get(want(server, tmp_path))
    assert ranges(server)[-1] == f"bytes={100 * download.ATTEMPTS}-"


def test_two_versions_are_never_joined(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [1000]
    server.files["/x.bin"] = b"old" * 1000

    def changes(seconds: float) -> None:
        server.files["/x.bin"], server.etag = CONTENT, '"two"'

    fetch(want(server, tmp_path), lambda done, total: None, changes)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_it_begins_anew(
    server: FileServer, tmp_path: Path, etag: str
) -> None:
    server.etag, server.cuts = etag, [1000]
    get(want(server, tmp_path))
    assert ranges(server) == [None, None]


def test_a_server_without_ranges_sends_it_all_again(server: FileServer, tmp_path: Path) -> None:
    server.with_ranges, server.cuts = False, [1000]
    get(want(server, tmp_path))


def test_a_part_of_another_address_is_not_gone_on_with(server: FileServer, tmp_path: Path) -> None:
    server.files["/y.bin"] = b"y" * 5000
    server.cuts = [100] * download.ATTEMPTS
    refused(want(server, tmp_path, "/y.bin"))
    get(want(server, tmp_path))


def test_a_part_that_is_whole_is_only_renamed(server: FileServer, tmp_path: Path) -> None:
    wanted = want(server, tmp_path)
    wanted.part.write_bytes(CONTENT)
    wanted.note.write_text(json.dumps({"url": wanted.url, "validator": '"one"'}))
    get(wanted)
    assert ranges(server) == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: FileServer, tmp_path: Path) -> None:
    wanted = want(server, tmp_path)
    wanted.part.write_bytes(CONTENT + b"more")
    wanted.note.write_text(json.dumps({"url": wanted.url, "validator": '"one"'}))
    get(wanted)


def test_a_wrong_digest_throws_it_away(server: FileServer, tmp_path: Path) -> None:
    wanted = want(server, tmp_path, sha256="0" * 64)
    assert "its SHA-256 is" in refused(wanted)
    assert wanted.part.read_bytes() == b""


@pytest.mark.parametrize("with_length", [True, False])
def test_more_than_the_bound_is_refused(
    server: FileServer, tmp_path: Path, with_length: bool
) -> None:
    server.with_length = with_length
    assert "above the bound of 1000 B. Raise --max-size" in refused(
        want(server, tmp_path, bytes_max=1000)
    )


def test_a_full_disk_is_told_before_it_is_full(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 100

    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: Usage)
    assert "has 100 B left. Make room there." in refused(want(server, tmp_path))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, "answered 404. Check the name."),
        (401, "answered 401. Set HF_TOKEN"),
        (410, "Check the address."),
    ],
)
def test_a_refusal_is_told_at_once(
    server: FileServer, tmp_path: Path, status: int, text: str
) -> None:
    server.statuses = [status]
    assert text in refused(want(server, tmp_path))
    assert len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(want(server, tmp_path)) == [1.0, 2.0]


def test_nobody_there_is_told_after_some_attempts(tmp_path: Path) -> None:
    with file_server() as gone:
        pass
    assert "Connection refused" in refused(want(gone, tmp_path))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "x.bin"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    wanted = Download(url=url, target=tmp_path / "x.bin", bytes_max=1)
    assert "must begin with http:// or https://" in refused(wanted)


def test_a_token_stays_with_its_host(server: FileServer, tmp_path: Path) -> None:
    server.redirects["/here"] = "/x.bin"
    with file_server() as other:
        other.files["/x.bin"] = CONTENT
        server.redirects["/there"] = other.url.replace("127.0.0.1", "localhost") + "/x.bin"
        get(want(server, tmp_path, "/there", token="t0ken"))
        assert other.requests[0][1].get("authorization") is None
    get(want(server, tmp_path, "/here", token="t0ken"))
    assert {headers.get("authorization") for _, headers in server.requests} == {"Bearer t0ken"}


def test_a_redirect_to_a_file_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.redirects["/away"] = "file:///etc/passwd"
    assert refused(want(server, tmp_path, "/away"))


def test_two_commands_do_not_write_into_one_file(server: FileServer, tmp_path: Path) -> None:
    wanted = want(server, tmp_path)
    with wanted.part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "is being fetched by another command" in refused(wanted)
