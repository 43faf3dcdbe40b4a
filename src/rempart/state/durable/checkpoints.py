"""Signed checkpoints of the audit log, outside of its database.

Whoever can write the table can make its chain anew, or cut off its end. So the last hash of the chain is signed
(Ed25519) with a key that the database never sees, every 256 entries, after a minute, and at the end:

    DATA/audit.key           the private key, mode 0600
    DATA/audit.checkpoints   the checkpoints, appended and synced

Each is a note in the form of C2SP tlog-checkpoint: origin, number of entries, base64 of 32 bytes, an empty line,
the signature. The 32 bytes are the hash of the last entry, which is over all entries before it, in place of the root of
a Merkle tree. Before it signs, the signer follows the chain from what it signed last: it never signs a log
that does not go on from there. Entries younger than the last checkpoint can still be cut off unseen.
"""

import asyncio
import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rempart.base.clock import Clock
from rempart.state.durable.chain import START_HASH, Chain
from rempart.state.durable.interface import DurableStore
from rempart.state.private_files import BootstrapError, kept_text, write_private

KEY_FILE = "audit.key"
FILE = "audit.checkpoints"
ENTRIES_MAX = 256
"""So many entries are signed at once, however young they are."""
AGE_S_MAX = 60.0
"""An entry is signed after this time at the latest."""
FILE_BYTES_MAX = 2**20
KEPT = 1000
"""Checkpoints that stay when the file is too large: a later one is over all that an earlier one is over."""
BATCH = 1000
LINES = 6
ED25519 = b"\x01"


class AuditLogChanged(Exception):
    """The log, or what was signed of it, is not what it was; the message says what is wrong."""


class Checkpoint(NamedTuple):
    """What is signed: the log's first ``entries`` entries, of which the last has this hash."""

    entries: int
    head: bytes


class Checkpoints:
    """Reads and writes those of one data folder; one process at a time does."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._key_path = data_dir / KEY_FILE
        self._path = data_dir / FILE
        self._clock = clock
        self._last: Checkpoint | None = None
        self._waiting_since_s = 0.0
        self._is_waiting = False

    async def read(self) -> list[Checkpoint]:
        """All that are kept, the oldest first.

        Raises:
            AuditLogChanged: one is not signed by the key, or one of the files is missing.
        """
        return await asyncio.to_thread(self._read)

    async def advance(self, store: DurableStore, *, is_last: bool = False) -> str:
        """Sign what is due; the note, or empty.

        Args:
            is_last: the process ends; everything is due.
        Raises:
            AuditLogChanged: the log does not go on from what was signed; nothing is signed.
            StateUnavailable: the database is away.
        """
        if self._last is None:
            self._last = (await self.read() or [Checkpoint(0, START_HASH)])[-1]
        newest = (await store.audit(limit=1)).items
        entries = newest[0].sequence if newest else 0
        if entries <= self._last.entries:
            head = newest[0].hash if newest else START_HASH
            _compare(self._last, Checkpoint(entries, head))
            return ""
        now_s = self._clock.now()
        if not self._is_waiting:
            self._is_waiting, self._waiting_since_s = True, now_s
        is_old = now_s - self._waiting_since_s >= AGE_S_MAX
        if not is_old and not is_last and entries - self._last.entries < ENTRIES_MAX:
            return ""
        found = await self._followed(store, self._last)
        note = await asyncio.to_thread(self._write, found)
        self._last, self._is_waiting = found, False
        return note

    async def _followed(self, store: DurableStore, last: Checkpoint) -> Checkpoint:
        chain, cursor = Chain(count=last.entries, head=last.head), str(last.entries)
        while cursor:
            page = await store.audit(limit=BATCH, cursor=cursor, newest_first=False)
            chain.follow(page.items)
            if chain.fault:
                raise AuditLogChanged(chain.fault)
            cursor = page.next_cursor
        return Checkpoint(chain.count, chain.head)

    def _read(self) -> list[Checkpoint]:
        key = self._key()
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            if key is not None:
                raise AuditLogChanged(
                    f"{FILE} is missing beside {KEY_FILE}; restore it from a backup"
                ) from None
            return []
        if key is None and not content:
            return []  # it was about to be made
        if key is None:
            raise AuditLogChanged(
                f"{KEY_FILE} is missing beside {FILE}; restore it from a backup, or move {FILE} "
                "elsewhere to begin anew"
            )
        found: list[Checkpoint] = []
        for number, note in enumerate(_notes(content), 1):
            checkpoint = _opened(note, key)
            if checkpoint is None or (found and checkpoint.entries < found[-1].entries):
                raise AuditLogChanged(f"checkpoint {number} of {FILE} is not signed by {KEY_FILE}")
            found.append(checkpoint)
        return found

    def _key(self) -> Ed25519PrivateKey | None:
        try:
            text = kept_text(self._key_path)
            if text is None:
                return None
            key = serialization.load_pem_private_key(text.encode(), None)
        except (BootstrapError, ValueError, TypeError) as error:
            raise AuditLogChanged(f"{KEY_FILE} cannot be used ({error})") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise AuditLogChanged(f"{KEY_FILE} holds no Ed25519 key")
        return key

    def _write(self, checkpoint: Checkpoint) -> str:
        key = self._key()
        try:
            content = self._path.read_bytes() if key is not None else b""
            if key is None:
                key = Ed25519PrivateKey.generate()
                # The empty file goes first: a key without it tells that somebody took it away.
                write_private(self._path, "")
                write_private(self._key_path, _pem(key))
            note = _signed(checkpoint, key)
            notes = _notes(content)
            if len(content) > FILE_BYTES_MAX or sum(map(len, notes)) != len(content):
                # Too large, or its end was torn by a power cut.
                write_private(self._path, b"".join([*notes[-KEPT:], note]).decode())
            else:
                _append(self._path, note)
        except OSError as error:
            raise AuditLogChanged(f"{FILE} cannot be written ({error.strerror})") from error
        return note.decode()


def _compare(signed: Checkpoint, found: Checkpoint) -> None:
    if found.entries < signed.entries:
        raise AuditLogChanged(
            f"it ends at entry {found.entries}, but {signed.entries} entries were signed: its end was cut off"
        )
    if found.head != signed.head:
        raise AuditLogChanged(f"entry {signed.entries} is not the one that was signed")


def _origin(key: Ed25519PrivateKey) -> str:
    return f"rempart-audit/{hashlib.sha256(_public(key)).hexdigest()[:16]}"


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _key_hash(origin: str, key: Ed25519PrivateKey) -> bytes:
    """The four bytes before a signature, as C2SP signed-note has them."""
    return hashlib.sha256(origin.encode() + b"\n" + ED25519 + _public(key)).digest()[:4]


def _signed(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    origin = _origin(key)
    head = base64.b64encode(checkpoint.head).decode()
    text = f"{origin}\n{checkpoint.entries}\n{head}\n"
    signature = base64.b64encode(_key_hash(origin, key) + key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {origin} {signature}\n\n".encode()


def _opened(note: bytes, key: Ed25519PrivateKey) -> Checkpoint | None:
    """What a note says, None when this key did not sign it."""
    try:
        origin, entries, head, _, last, _ = note.decode().split("\n")[:LINES]
        signature = base64.b64decode(last.split(" ")[2], validate=True)
        key.public_key().verify(signature[4:], f"{origin}\n{entries}\n{head}\n".encode())
        return Checkpoint(int(entries), base64.b64decode(head, validate=True))
    except (InvalidSignature, ValueError, IndexError, binascii.Error):
        return None


def _notes(content: bytes) -> list[bytes]:
    """The notes of a file, without a last one that is not whole."""
    lines = content.split(b"\n")[:-1]
    whole = len(lines) - len(lines) % LINES
    return [b"\n".join(lines[start : start + LINES]) + b"\n" for start in range(0, whole, LINES)]


def _append(path: Path, note: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(note)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
