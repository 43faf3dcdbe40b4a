"""One file from an address: resumable, bounded, checked, and under its name only when it is whole.

What has come so far lies beside the target as ``.NAME.part``, with the validator of the version it
belongs to in ``.NAME.part.json``; a later attempt asks for the rest with Range and If-Range
(RFC 9110, sections 13.1.5 and 14), so that two versions are never joined.
"""

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from rempart.base.quantities import bytes_text

BLOCK_BYTES = 1024 * 1024
SILENCE_S = 30.0
"""Without a byte for this long, the connection counts as broken."""
ATTEMPTS = 5
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")

Progress = Callable[[int, int | None], None]
"""Gets bytes so far and in all (None where the server does not say)."""


class DownloadError(Exception):
    """The file could not be fetched; the text says why and what to do."""


class _Broken(Exception):
    """The connection broke; what came is kept, and trying again may help."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """What to fetch.

    Args:
        url: http or https.
        target: where it shall lie in the end.
        bytes_max: more is refused.
        sha256: of the whole file in lower-case hexadecimal; empty: not checked.
        token: bearer token for the address's own host; redirects elsewhere do not get it.
    """

    url: str
    target: Path
    bytes_max: int
    sha256: str = ""
    token: str = ""

    @property
    def part(self) -> Path:
        """Where the bytes lie until they are all there."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def note(self) -> Path:
        """Which version the part belongs to."""
        return self.target.with_name(f".{self.target.name}.part.json")


def fetch(download: Download, progress: Progress, pause: Callable[[float], None]) -> int:
    """Fetch it, going on where an earlier attempt broke off; blocks. Gives the size in bytes.

    Args:
        pause: waits so many seconds between attempts after a broken connection.
    Raises:
        DownloadError: it could not be fetched, is too large, or is not what was expected.
    """
    if urlsplit(download.url).scheme not in ("http", "https"):
        raise DownloadError(f"{download.url}: the address must begin with http:// or https://.")
    download.target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(download) as part:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _attempt(download, part, progress)
                break
            except _Broken as broken:
                if attempt == ATTEMPTS:
                    raise DownloadError(
                        f"{download.url}: {broken}. What came is kept: run it again to go on there."
                    ) from broken
                pause(float(2 ** (attempt - 1)))
        return _finish(download, part)


@contextmanager
def _alone(download: Download) -> Iterator[IO[bytes]]:
    """The part file, open and locked: two commands must not write into it."""
    with download.part.open("ab+") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(
                f"{download.target} is being fetched by another command. Wait for it."
            ) from error
        yield part


def _attempt(download: Download, part: IO[bytes], progress: Progress) -> None:
    """One request, from where the part ends."""
    start = part.seek(0, os.SEEK_END)
    validator = _validator(download) if start else ""
    if start and not validator:
        start = 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "rempart"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with _open(download, headers) as answer:
            _take(download, part, answer, start, progress)
    except urllib.error.HTTPError as error:
        with error:
            _refused(download, error, start)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _Broken(f"the connection broke: {reason}") from error


def _refused(download: Download, error: urllib.error.HTTPError, start: int) -> None:
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        match = _CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
        if match and match[2] == str(start):
            return  # all of it was there already; only the renaming was missing
        _forget(download)
        raise _Broken("the file there has changed")
    if error.code in (408, 425, 429) or error.code >= 500:
        raise _Broken(f"the server answered {error.code}")
    remedy = {
        401: "Set HF_TOKEN to a token that may read it.",
        403: "Set HF_TOKEN to a token that may read it.",
        404: "Check the name.",
    }.get(error.code, "Check the address.")
    raise DownloadError(f"{download.url}: the server answered {error.code}. {remedy}") from error


def _take(download: Download, part: IO[bytes], answer: Any, start: int, progress: Progress) -> None:
    if start and answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None or match[1] != str(start):
            raise _Broken("the server sent another range than was asked for")
        expected = int(match[2]) if match[2] != "*" else None
    else:
        start = 0
        part.truncate(0)
        length = answer.headers.get("Content-Length", "")
        expected = int(length) if length.isdigit() else None
        _note_validator(download, answer.headers)
    _check_room(download, start, expected)
    done = start
    progress(done, expected)
    while block := answer.read(BLOCK_BYTES):
        done += len(block)
        if done > download.bytes_max:
            _forget(download)
            raise _too_large(download, done)
        part.write(block)
        progress(done, expected)
    part.flush()
    if expected is not None and done < expected:
        raise _Broken(f"the connection broke after {done} of {expected} bytes")


def _check_room(download: Download, start: int, expected: int | None) -> None:
    if expected is None:
        return
    if expected > download.bytes_max:
        raise _too_large(download, expected)
    free = shutil.disk_usage(download.target.parent).free
    if expected - start > free:
        raise DownloadError(
            f"{download.url}: it needs {bytes_text(expected - start)} more, and "
            f"{download.target.parent} has {bytes_text(free)} left. Make room there."
        )


def _too_large(download: Download, size: int) -> DownloadError:
    return DownloadError(
        f"{download.url}: it has {bytes_text(size)} or more, above the bound of "
        f"{bytes_text(download.bytes_max)}. Raise --max-size if that is right."
    )


def _finish(download: Download, part: IO[bytes]) -> int:
    """Check the whole, make it durable, give it its name."""
    size = part.seek(0, os.SEEK_END)
    if download.sha256:
        found = sha256_of(part)
        if found != download.sha256.lower():
            _forget(download)
            raise DownloadError(
                f"{download.url}: its SHA-256 is {found}, expected {download.sha256.lower()}. It was "
                "thrown away. Check the address and the expected value, then try again."
            )
    part.flush()
    os.fsync(part.fileno())
    os.replace(download.part, download.target)
    download.note.unlink(missing_ok=True)
    folder = os.open(download.target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size


def sha256_of(file: IO[bytes]) -> str:
    """The digest of a whole open file, in hexadecimal."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _validator(download: Download) -> str:
    """What If-Range may be told of the part; empty when that is not known."""
    try:
        note = json.loads(download.note.read_text())
        return str(note["validator"]) if note["url"] == download.url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _note_validator(download: Download, headers: Mapping[str, str]) -> None:
    etag = headers.get("ETag", "")
    # A weak tag does not promise equal bytes (RFC 9110, section 8.8.1).
    validator = headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
    download.note.write_text(json.dumps({"url": download.url, "validator": validator}))


def _forget(download: Download) -> None:
    download.note.unlink(missing_ok=True)
    with download.part.open("r+b") as part:
        part.truncate(0)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but neither from https to http nor with a token to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if old.scheme == "https" and new.scheme != "https":
            raise urllib.error.URLError("redirected from https to an address without it")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and old.netloc != new.netloc:
            following.remove_header("Authorization")
        return following


def _open(download: Download, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(download.url, headers=headers)  # noqa: S310 - http(s) only
    if download.token:
        request.add_header("Authorization", f"Bearer {download.token}")
    return urllib.request.build_opener(_Redirects).open(request, timeout=SILENCE_S)
