"""Model files into ``DATA/models``: from a file here, an address, or a hub. Blocks; for commands.

Everything is under its name only when it is whole, so that a server never meets half a model.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from rempart.runners.files import hub
from rempart.runners.files.demo_model import DEMO_SOURCE, DemoModelError, ensure_demo_model
from rempart.runners.files.download import (
    BLOCK_BYTES,
    Download,
    DownloadError,
    Progress,
    fetch,
    sha256_of,
)
from rempart.runners.files.source import GGUF_MAGIC

_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,200}")


@dataclass(frozen=True, kw_only=True)
class Puller:
    """Fetches models into one folder.

    Args:
        models_dir: ``DATA/models``.
        bytes_max: bound for each file.
        endpoint: the hub's address.
        token: for the hub; empty for none.
        progress: gives the progress callback of a file by its name.
        report: gets lines for people.
        pause: waits so many seconds.
    """

    models_dir: Path
    bytes_max: int
    progress: Callable[[str], Progress]
    report: Callable[[str], None]
    pause: Callable[[float], None]
    endpoint: str = hub.ENDPOINT
    token: str = ""

    def pull(self, source: str, *, sha256: str = "") -> Path:
        """What ``source`` names, in the models folder: a file, or a checkpoint's folder.

        Args:
            source: ``demo``, a path, an http(s) address, or ``org/name[:quant]``.
            sha256: of a single file; empty: what the hub says, else unchecked.
        Raises:
            DownloadError: it cannot be had; the text says why and what to do.
        """
        try:
            self.models_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._pull(source, sha256)
        except OSError as error:
            raise DownloadError(
                f"{self.models_dir} cannot be written: {error}. Check the disk."
            ) from error

    def _pull(self, source: str, sha256: str) -> Path:
        if source == DEMO_SOURCE:
            try:
                return ensure_demo_model(self.models_dir, self.report)
            except DemoModelError as error:
                raise DownloadError(str(error)) from error
        if urlsplit(source).scheme in ("http", "https"):
            return self._from_address(source, sha256)
        if Path(source).is_file():
            return self._from_file(Path(source), sha256)
        if match := hub.HUB_NAME.fullmatch(source):
            return self._from_hub(match["name"], match["quant"] or "", sha256)
        raise DownloadError(
            f"{source}: there is no such file. Name a file, an http(s) address, or a hub name (org/name)."
        )

    def _from_address(self, url: str, sha256: str) -> Path:
        name = _safe_name(unquote(PurePosixPath(urlsplit(url).path).name), url)
        target = self.models_dir / name
        return self._fetch(
            Download(url=url, target=target, bytes_max=self.bytes_max, sha256=sha256)
        )

    def _from_hub(self, name: str, quant: str, sha256: str) -> Path:
        files = hub.list_files(name, self.endpoint, lambda url: hub.read_json(url, self.token))
        chosen = hub.choose(name, quant, files)
        if sha256 and len(chosen) > 1:
            raise DownloadError(
                f"{name} is {len(chosen)} files; --sha256 is for one. Leave it out."
            )
        folder = self.models_dir / name
        for file in chosen:
            # Flat, also where the hub has a folder for each quantization: it is found by name.
            target = folder / _safe_name(PurePosixPath(file.path).name, file.url)
            if target.exists() and target.stat().st_size == file.size_bytes:
                self.report(f"{target.name} is there already")
                continue
            self._fetch(
                Download(
                    url=file.url,
                    target=target,
                    bytes_max=self.bytes_max,
                    sha256=sha256 or file.sha256,
                    token=self.token,
                )
            )
        first = folder / PurePosixPath(chosen[0].path).name
        return first if first.suffix.lower() == ".gguf" else folder

    def _fetch(self, download: Download) -> Path:
        fetch(download, self.progress(download.target.name), self.pause)
        _check_gguf(download.target, download.url)
        return download.target

    def _from_file(self, source: Path, sha256: str) -> Path:
        target = self.models_dir / _safe_name(source.name, str(source))
        if target.exists() and target.samefile(source):
            return target
        size = source.stat().st_size
        if size > self.bytes_max:
            raise DownloadError(
                f"{source} is larger than the bound. Raise --max-size if that is right."
            )
        part = target.with_name(f".{target.name}.part")
        try:
            with source.open("rb") as file, part.open("wb+") as copy:
                _copy(file, copy, size, self.progress(target.name))
                if sha256 and (found := sha256_of(copy)) != sha256.lower():
                    raise DownloadError(
                        f"{source}: its SHA-256 is {found}, expected {sha256.lower()}. Check both."
                    )
                os.fsync(copy.fileno())
            _check_gguf(part, str(source))
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return target


def _copy(file: IO[bytes], copy: IO[bytes], size: int, progress: Progress) -> None:
    done = 0
    while block := file.read(BLOCK_BYTES):
        copy.write(block)
        done += len(block)
        progress(done, size)
    copy.flush()


def _safe_name(name: str, source: str) -> str:
    """A file's name for the models folder: visible, and no way out of it."""
    if not _FILE_NAME.fullmatch(name):
        raise DownloadError(
            f"{source}: its last part must be a file's name of letters, digits and . _ + -, found "
            f'"{name[:60]}". Download it yourself and serve it by its path.'
        )
    return name


def _check_gguf(path: Path, source: str) -> None:
    """What is called .gguf must be one; a web page saved in its place is thrown away."""
    if not path.name.lower().removesuffix(".part").endswith(".gguf"):
        return
    with path.open("rb") as file:
        is_gguf = file.read(4) == GGUF_MAGIC
    if not is_gguf:
        path.unlink()
        raise DownloadError(
            f"{source}: what came is not a GGUF file, perhaps a web page. Check the address."
        )
