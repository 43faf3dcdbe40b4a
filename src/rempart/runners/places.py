"""Where a start happens: a short private folder for sockets, a port, a key, a name."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
from pathlib import Path

from rempart.runners.kinds.interface import Place

SOCKET_PATH_BYTES_MAX = 107
"""``sun_path`` of Linux has 108 bytes with the closing zero (unix(7))."""
NAME_MAX = 24
FILE_BYTES_MAX = NAME_MAX + 24
"""Room for a name, the number of its start, and what runners append to it (``.sock.door.sock``)."""


def file_name(model: str) -> str:
    """The model's name as part of a file name; different models have different ones."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", model).lstrip(".-")
    if safe == model and len(safe) <= NAME_MAX:
        return safe
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return f"{safe[: NAME_MAX - 9] or 'model'}-{digest}"


RUN_DIR_VARIABLE = "REMPART_RUN_DIR"
"""In every runner's environment, so that what an earlier server left can be told from all else."""


class Places:
    """Makes the place of each start.

    Args:
        run_dir: for sockets; where its path is too long for one, a folder below /tmp takes its place.
        data_dir: the data folder.
    """

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._run_dir = run_dir.absolute()
        self._temporary: Path | None = None
        self._starts = 0

    def new(self, model: str) -> Place:
        """A place for one start of this model.

        Raises:
            OSError: the folder cannot be made.
        """
        self._starts += 1
        return Place(
            name=f"{file_name(model)}-{self._starts}",
            run_dir=self._folder(),
            data_dir=self._data_dir,
            key=secrets.token_urlsafe(32),
            free_port=free_port,
        )

    @property
    def marker(self) -> tuple[str, str]:
        """A variable and its value that only runners of this server have in their environment."""
        return RUN_DIR_VARIABLE, str(self._run_dir)

    def close(self) -> None:
        """Remove the folder below /tmp, if there was one."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _folder(self) -> Path:
        if len(os.fsencode(self._run_dir)) + 1 + FILE_BYTES_MAX <= SOCKET_PATH_BYTES_MAX:
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._run_dir.chmod(0o700)
            return self._run_dir
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="rempart-", dir="/tmp"))
        return self._temporary


def free_port() -> int:
    """A loopback port that is free now. Whoever loses the race for it fails to start, and is started
    again with another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_private(path: Path, text: str) -> None:
    """A file that only we can read, from its first byte on.

    Raises:
        OSError: it cannot be written.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
