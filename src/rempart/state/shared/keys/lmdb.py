"""Published keys in LMDB: one copy on the machine, read by every process without a lock.

Two databases of keys take turns. ``publish_all`` fills the one that nobody reads, in short transactions so that
limits never wait long for the write lock, and then a single one turns every reader over. The head
record says which is read, the revision and the moment of the last confirmation; a look-up reads it and the
key in one transaction, so that they belong together.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

import lmdb
import msgspec

from rempart.domain.errors import StateUnavailable
from rempart.domain.keys import StoredKey
from rempart.state.shared.keys.interface import Found, KeyUse, PublishedProject, Snapshot

BATCH = 500
"""Keys per write transaction: about 1.5 ms, which is how long limits may wait for the lock."""
CHANGES_MAX = 512
DECODED_MAX = 4096
"""Decoded keys at hand; used only while the stored bytes are the same, so never stale."""
KEY_BYTES_MAX = 511
RETRY_S = 1.0

_HEAD = b"head"
_HEAD_FORM = struct.Struct(">QQB")
_REVISION_FORM = struct.Struct(">Q")
_NOTHING = Snapshot(revision=0, published_ms=0)
_encode = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(StoredKey).decode
_decode_project = msgspec.msgpack.Decoder(PublishedProject).decode
_decode_use = msgspec.msgpack.Decoder(KeyUse).decode
_decode_ids = msgspec.msgpack.Decoder(list[str]).decode

_Item = TypeVar("_Item")


def _unavailable(error: lmdb.Error) -> StateUnavailable:
    return StateUnavailable(
        reason=f"the published keys cannot be reached ({type(error).__name__})",
        retry_after_s=RETRY_S,
    )


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


class LmdbPublishedKeys:
    """See ``PublishedKeys``. One process writes (control); it does so from one thread at a time."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._env = environment
        try:
            open_ = environment.open_db
            self._meta = open_(b"keys_meta")
            self._keys = (open_(b"keys_0"), open_(b"keys_1"))
            self._projects = (open_(b"projects_0"), open_(b"projects_1"))
            self._changes = open_(b"key_changes")
            self._uses = open_(b"key_uses")
        except lmdb.Error as error:
            raise _unavailable(error) from error
        self._decoded: dict[str, tuple[bytes, StoredKey]] = {}
        self._head = (b"", _NOTHING, 0)
        """The head as it was last read, with its bytes: made anew only when they differ."""

    # Reading

    def look(self, id_: str) -> Found:
        """See ``PublishedKeys``."""
        key = id_.encode()
        try:
            with self._env.begin() as transaction:
                snapshot, turn = self._read_head(transaction)
                raw = transaction.get(key, db=self._keys[turn]) if _is_key(key) else None
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return Found(snapshot, None if raw is None else self._key_of(id_, raw))

    def snapshot(self) -> Snapshot:
        """See ``PublishedKeys``."""
        try:
            with self._env.begin() as transaction:
                return self._read_head(transaction)[0]
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def key(self, id_: str) -> StoredKey | None:
        """See ``PublishedKeys``."""
        return self.look(id_).key

    def project(self, id_: str) -> PublishedProject | None:
        """See ``PublishedKeys``."""
        key = id_.encode()
        if not _is_key(key):
            return None
        try:
            with self._env.begin() as transaction:
                _, turn = self._read_head(transaction)
                raw = transaction.get(key, db=self._projects[turn])
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return None if raw is None else _decode_project(raw)

    def changed_since(self, revision: int) -> Sequence[str] | None:
        """See ``PublishedKeys``."""
        try:
            with self._env.begin() as transaction:
                newest = self._read_head(transaction)[0].revision
                if revision > newest:
                    return None
                if revision == newest:
                    return ()
                cursor = transaction.cursor(db=self._changes)
                # Every revision leaves its entry; where the first one after ours is missing, more may be.
                if not cursor.set_key(_REVISION_FORM.pack(revision + 1)):
                    return None
                return [id_ for raw in cursor.iternext(keys=False) for id_ in _decode_ids(raw)]
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def _read_head(self, transaction: lmdb.Transaction) -> tuple[Snapshot, int]:
        raw = cast(bytes | None, transaction.get(_HEAD, db=self._meta))
        known, snapshot, turn = self._head
        if raw == known:
            return snapshot, turn
        if raw is None:
            return _NOTHING, 0
        revision, published_ms, turn = _HEAD_FORM.unpack(raw)
        snapshot = Snapshot(revision=revision, published_ms=published_ms)
        self._head = (raw, snapshot, turn)
        return snapshot, turn

    def _key_of(self, id_: str, raw: bytes) -> StoredKey:
        known = self._decoded.get(id_)
        if known is not None and known[0] == raw:
            return known[1]
        key = _decode_key(raw)
        if known is None and len(self._decoded) >= DECODED_MAX:
            del self._decoded[next(iter(self._decoded))]
        self._decoded[id_] = (raw, key)
        return key

    # Writing

    def publish(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """See ``PublishedKeys``. More than ``BATCH`` keys become visible batch by batch."""
        with_projects = list(projects)
        revision = 0
        try:
            for batch in _batches(keys):
                revision = self._publish_batch(batch, with_projects, now_ms)
                with_projects = []
            if not revision or with_projects:
                revision = self._publish_batch([], with_projects, now_ms)
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return revision

    def _publish_batch(
        self, keys: list[StoredKey], projects: list[PublishedProject], now_ms: int
    ) -> int:
        with self._env.begin(write=True) as transaction:
            snapshot, turn = self._read_head(transaction)
            for key in keys:
                transaction.put(key.id.encode(), _encode(key), db=self._keys[turn])
            for project in projects:
                transaction.put(project.id.encode(), _encode(project), db=self._projects[turn])
            revision = snapshot.revision + 1
            self._write_head(transaction, revision, now_ms, turn)
            ids = _encode([key.id for key in keys])
            transaction.put(_REVISION_FORM.pack(revision), ids, db=self._changes)
            self._trim_changes(transaction, revision)
        return revision

    def publish_all(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """See ``PublishedKeys``."""
        try:
            with self._env.begin() as transaction:
                _, turn = self._read_head(transaction)
            other = 1 - turn
            self._clear(self._keys[other])
            self._clear(self._projects[other])
            for batch in _batches(keys):
                self._fill(self._keys[other], [(key.id, _encode(key)) for key in batch])
            for some in _batches(projects):
                self._fill(self._projects[other], [(one.id, _encode(one)) for one in some])
            with self._env.begin(write=True) as transaction:
                revision = self._read_head(transaction)[0].revision + 1
                self._write_head(transaction, revision, now_ms, other)
                transaction.drop(self._changes, delete=False)
            self._clear(self._keys[turn])
            self._clear(self._projects[turn])
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return revision

    def _fill(self, database: Any, rows: list[tuple[str, bytes]]) -> None:
        with self._env.begin(write=True) as transaction:
            for id_, raw in rows:
                transaction.put(id_.encode(), raw, db=database)

    def _clear(self, database: Any) -> None:
        """Empty a database that nobody reads, in short transactions too."""
        while True:
            with self._env.begin(write=True) as transaction:
                cursor = transaction.cursor(db=database)
                for _ in range(BATCH):
                    if not cursor.first():
                        return
                    cursor.delete()

    def _write_head(
        self, transaction: lmdb.Transaction, revision: int, now_ms: int, turn: int
    ) -> None:
        transaction.put(_HEAD, _HEAD_FORM.pack(revision, now_ms, turn), db=self._meta)

    def _trim_changes(self, transaction: lmdb.Transaction, revision: int) -> None:
        cursor = transaction.cursor(db=self._changes)
        while cursor.first() and _REVISION_FORM.unpack(cursor.key())[0] <= revision - CHANGES_MAX:
            cursor.delete()

    def confirm(self, now_ms: int) -> None:
        """See ``PublishedKeys``."""
        try:
            with self._env.begin(write=True) as transaction:
                snapshot, turn = self._read_head(transaction)
                if snapshot.revision:
                    self._write_head(transaction, snapshot.revision, now_ms, turn)
        except lmdb.Error as error:
            raise _unavailable(error) from error

    # Uses

    def note_uses(self, uses: Iterable[KeyUse]) -> None:
        """See ``PublishedKeys``."""
        try:
            for batch in _batches(uses):
                self._fill(self._uses, [(use.key_id, _encode(use)) for use in batch])
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def collect_uses(self, uses_max: int) -> list[KeyUse]:
        """See ``PublishedKeys``."""
        taken: list[KeyUse] = []
        try:
            with self._env.begin(write=True) as transaction:
                cursor = transaction.cursor(db=self._uses)
                while len(taken) < uses_max and cursor.first():
                    taken.append(_decode_use(cursor.value()))
                    cursor.delete()
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return taken


def _is_key(key: bytes) -> bool:
    return 0 < len(key) <= KEY_BYTES_MAX
