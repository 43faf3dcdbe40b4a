"""Failed attempts in LMDB, counted by all processes of the machine together."""

import struct
from collections.abc import Iterable
from typing import Any

import lmdb
import msgspec

from rempart.domain.errors import StateUnavailable
from rempart.state.shared.lockout import decide
from rempart.state.shared.lockout.decide import Entry, Rules, Standing
from rempart.state.shared.lockout.interface import (
    ADDRESSES_MAX,
    OTHER_ADDRESSES,
    REPORTS_MAX,
    FailedAttempts,
    merged,
)

WHO_BYTES_MAX = 128
RETRY_S = 1.0
_ENTRY_FORM = struct.Struct(">QIQ")
_encode = msgspec.msgpack.Encoder().encode
_decode_report = msgspec.msgpack.Decoder(FailedAttempts).decode


def _unavailable(error: lmdb.Error) -> StateUnavailable:
    return StateUnavailable(
        reason=f"the failed attempts cannot be reached ({type(error).__name__})",
        retry_after_s=RETRY_S,
    )


def _name(who: str) -> bytes:
    # Never empty, which LMDB does not take.
    return b"." + who.encode()[:WHO_BYTES_MAX]


class LmdbLockout:
    """See ``LockoutStore``."""

    def __init__(
        self,
        environment: lmdb.Environment,
        *,
        addresses_max: int = ADDRESSES_MAX,
        reports_max: int = REPORTS_MAX,
    ) -> None:
        self._env = environment
        self._addresses_max = addresses_max
        self._reports_max = reports_max
        self._looked_at = b""
        try:
            self._entries = environment.open_db(b"lockout")
            self._reports = environment.open_db(b"failures")
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def standing(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """See ``LockoutStore``."""
        try:
            with self._env.begin() as transaction:
                return decide.standing(self._entry(transaction, _name(who)), now_ms, rules)
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def failed(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """See ``LockoutStore``."""
        found = self.standing(who, now_ms, rules)
        if found.blocked_ms:
            return found
        name = _name(who)
        try:
            with self._env.begin(write=True) as transaction:
                before = self._entry(transaction, name)
                if before is None:
                    self._make_room(transaction, name)
                entry = decide.after_failure(before, now_ms, rules)
                transaction.put(name, _ENTRY_FORM.pack(*entry), db=self._entries)
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return decide.standing(entry, now_ms, rules)

    def _entry(self, transaction: lmdb.Transaction, name: bytes) -> Entry | None:
        raw = transaction.get(name, db=self._entries)
        return None if raw is None else Entry(*_ENTRY_FORM.unpack(raw))

    def _make_room(self, transaction: lmdb.Transaction, name: bytes) -> None:
        """At the bound the neighbour goes, found without looking at others."""
        if transaction.stat(self._entries)["entries"] < self._addresses_max:
            return
        cursor = transaction.cursor(db=self._entries)
        if cursor.set_range(name) or cursor.first():
            cursor.delete()

    def drop_idle(self, now_ms: int, rules: Rules, *, entries_max: int) -> int:
        """See ``LockoutStore``. Goes on where it stopped the time before."""
        dropped = 0
        try:
            with self._env.begin(write=True) as transaction:
                cursor = transaction.cursor(db=self._entries)
                is_there = cursor.set_range(self._looked_at) if self._looked_at else cursor.first()
                for _ in range(entries_max):
                    if not is_there:
                        break
                    raw = cursor.value()
                    if decide.is_over(Entry(*_ENTRY_FORM.unpack(raw)), now_ms, rules):
                        is_there = cursor.delete() and bool(cursor.key())
                        dropped += 1
                    else:
                        is_there = cursor.next()
                self._looked_at = cursor.key() if is_there else b""
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return dropped

    def report(self, attempts: Iterable[FailedAttempts]) -> None:
        """See ``LockoutStore``."""
        try:
            with self._env.begin(write=True) as transaction:
                for one in attempts:
                    self._add(transaction, one)
        except lmdb.Error as error:
            raise _unavailable(error) from error

    def _add(self, transaction: lmdb.Transaction, one: FailedAttempts) -> None:
        place = _place(one)
        known = transaction.get(place, db=self._reports)
        if known is None and transaction.stat(self._reports)["entries"] >= self._reports_max:
            one = msgspec.structs.replace(one, address=OTHER_ADDRESSES, key_id="")
            place = _place(one)
            known = transaction.get(place, db=self._reports)
        if known is not None:
            one = merged(_decode_report(known), one)
        transaction.put(place, _encode(one), db=self._reports)

    def collect(self, reports_max: int) -> list[FailedAttempts]:
        """See ``LockoutStore``."""
        taken: list[Any] = []
        try:
            with self._env.begin(write=True) as transaction:
                cursor = transaction.cursor(db=self._reports)
                while len(taken) < reports_max and cursor.first():
                    taken.append(_decode_report(cursor.value()))
                    cursor.delete()
        except lmdb.Error as error:
            raise _unavailable(error) from error
        return taken


def _place(one: FailedAttempts) -> bytes:
    return b"\0".join(part.encode()[:WHO_BYTES_MAX] for part in (one.address, one.code, one.key_id))
