"""The LMDB environment that all processes of a machine share: one file, opened by each after its exec.

Flags: no ``writemap`` (a full disk would be SIGBUS), no sync at commit (main syncs each second, off every
request's way: kills of any process lose nothing, a power cut at most the last second), a lock file with a
robust mutex (a process killed inside of a transaction frees it at once and leaves nothing of it). The map is as
large as the file may ever grow: it takes addresses, not memory, and nobody ever waits for it to be enlarged.

Never fork with it open and go on in the child without exec; never open it twice in a process (lmdb
documentation, "Caveats").
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import lmdb

from rempart.domain.errors import StateUnavailable

DATABASES_MAX = 32
READERS_MAX = 1024
"""One for each transaction that is open at a moment; a process has a few threads that read."""
RETRY_S = 1.0
PAGE_BYTES = 4096

_NETWORK_TYPES = frozenset(
    {
        "afp",
        "afs",
        "beegfs",
        "ceph",
        "cephfs",
        "cifs",
        "coda",
        "davfs",
        "fhgfs",
        "glusterfs",
        "gpfs",
    }
    | {"lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs"}
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.lxcfs", "fuse.ntfs-3g", "fuseblk"})


class StateFileRefused(Exception):
    """The file cannot be used where it is; the message says why and what to do."""


class Environment:
    """One process's view of the shared file.

    Args:
        path: the file; ``PATH-lock`` beside it is the lock.
        size_bytes_max: how large it may grow.

    Raises:
        StateFileRefused: it cannot be opened, or lies on a network file system.
    """

    def __init__(self, path: Path, *, size_bytes_max: int) -> None:
        self.path = path
        self._size_bytes_max = size_bytes_max
        self._databases: dict[bytes, Any] = {}
        self._synced_transaction = -1
        kind = file_system_of(path.parent, _mounts())
        if is_network(kind):
            raise StateFileRefused(
                f"{path} lies on a network file system ({kind}), where processes cannot share memory. "
                f"Put the data folder on a local disk."
            )
        try:
            self.lmdb = lmdb.open(
                str(path),
                subdir=False,
                map_size=_whole_pages(size_bytes_max),
                max_dbs=DATABASES_MAX,
                max_readers=READERS_MAX,
                writemap=False,
                sync=False,
                metasync=False,
                map_async=False,
                lock=True,
                mode=0o600,
            )
        except lmdb.Error as error:
            raise StateFileRefused(f"{path} cannot be opened: {error}") from error

    def database(self, name: bytes) -> Any:
        """The database with this name, made if it is not there.

        Raises:
            StateUnavailable: it cannot be made.
        """
        found = self._databases.get(name)
        if found is None:
            try:
                found = self._databases[name] = self.lmdb.open_db(name)
            except lmdb.Error as error:
                raise unavailable(error) from error
        return found

    def begin(self, *, write: bool) -> Any:
        """A transaction, to be used by ``with``. A writer waits for the one before it.

        Typed as Any: lmdb's own types give each value as bytes or memoryview, ours are bytes.

        Raises:
            lmdb.Error: see ``unavailable``.
        """
        try:
            return self.lmdb.begin(write=write)
        except lmdb.MapResizedError:
            # A newer generation of processes allows a larger file, and it has grown beyond our map.
            self.lmdb.set_mapsize(0)
            return self.lmdb.begin(write=write)

    def transaction(self, *, write: bool) -> "Transaction":
        """``with environment.transaction(write=True) as transaction:``; errors come as ``StateUnavailable``."""
        return Transaction(self, write=write)

    def sync(self) -> bool:
        """Bring what was committed to the disk; False when nothing was since the last time.

        Raises:
            lmdb.Error: the disk does not take it.
        """
        transaction = self.last_transaction
        if transaction == self._synced_transaction:
            return False
        self.lmdb.sync(True)
        self._synced_transaction = transaction
        return True

    def forget_dead_readers(self) -> int:
        """Free the places of readers whose process is gone, so that their old pages are used again."""
        return int(self.lmdb.reader_check())

    @property
    def last_transaction(self) -> int:
        """The number of the last transaction that wrote; it rises with each."""
        return int(self.lmdb.info()["last_txnid"])

    @property
    def used_bytes(self) -> int:
        """How large the file is."""
        return (int(self.lmdb.info()["last_pgno"]) + 1) * PAGE_BYTES

    @property
    def size_bytes_max(self) -> int:
        """How large it may grow."""
        return self._size_bytes_max

    def close(self) -> None:
        """Let go of it."""
        self.lmdb.close()


class Transaction:
    """The context of a transaction: committed at the end, undone when it raises."""

    __slots__ = ("_environment", "_transaction", "_write")

    def __init__(self, environment: Environment, *, write: bool) -> None:
        self._environment = environment
        self._write = write

    def __enter__(self) -> Any:
        try:
            self._transaction = self._environment.begin(write=self._write)
        except lmdb.Error as error:
            raise unavailable(error) from error
        return self._transaction

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        if error is not None:
            self._transaction.abort()
            if isinstance(error, lmdb.Error):
                raise unavailable(error) from error
            return False
        try:
            self._transaction.commit()
        except lmdb.Error as failed:
            raise unavailable(failed) from failed
        return False


def unavailable(error: lmdb.Error) -> StateUnavailable:
    """What a client is told of an error of the store; the cause goes to the log."""
    reason = "it cannot be written or read"
    if isinstance(error, lmdb.MapFullError):
        reason = "it has no room left"
    return StateUnavailable(reason=f"{reason} ({type(error).__name__})", retry_after_s=RETRY_S)


def is_network(file_system: str) -> bool:
    """Whether files of this type may be used by other machines too, so that memory maps of them disagree."""
    if file_system.startswith("fuse"):
        return file_system not in _LOCAL_FUSE and file_system != "fuse"
    return file_system in _NETWORK_TYPES


def file_system_of(folder: Path, mounts: str) -> str:
    """The type of the file system that holds a folder; empty when the list does not tell.

    Args:
        mounts: as ``/proc/self/mountinfo`` lists them (proc(5)).
    """
    place = str(folder.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, types = left.split(" "), right.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        point = _unescape(fields[4])
        inside = point == "/" or place == point or place.startswith(point + "/")
        if inside and len(point) >= len(best):  # the later of two at one place lies above
            best, kind = point, types[0]
    return kind


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _mounts(read: Callable[[], str] = Path("/proc/self/mountinfo").read_text) -> str:
    try:
        return read()
    except OSError:
        return ""


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES
