"""The chain of the audit log: each entry's hash is over the one before, so that a change in the middle shows.

Whoever can write the whole table can make the chain anew, and a cut end leaves a chain that is whole: for these the
hashes must be known from elsewhere (``checkpoints.py``, ``rempart audit export``, a backup).
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from rempart.base.clock import iso_utc
from rempart.state.durable.interface import Act, AuditRow

START_HASH = bytes(32)


def entry_hash(previous: bytes, sequence: int, at: str, act: Act) -> bytes:
    """Over the entry before, the number, and the entry in a form that has one way to be written.

    Args:
        at: as ``iso_utc`` writes it.
    """
    text = msgspec.json.encode([sequence, at, msgspec.to_builtins(act)], order="sorted")
    return blake2b(previous + text, digest_size=32, person=b"rempart.audit").digest()


class Chain:
    """Follows the log; ``fault`` is what is wrong first, empty while nothing is.

    Args:
        count, head: where it begins: after so many entries, of which the last has this hash.
        signed: hashes that entries are known to have, by their number.
    """

    def __init__(
        self, count: int = 0, head: bytes = START_HASH, signed: Mapping[int, bytes] | None = None
    ) -> None:
        self.count = count
        self.head = head
        self.fault = ""
        self._signed = signed or {}

    def follow(self, rows: Iterable[AuditRow]) -> None:
        """The next entries, oldest first; after a fault nothing more is looked at."""
        for row in rows:
            if self.fault:
                return
            self.fault = self._fault_of(row)
            if not self.fault:
                self.count, self.head = row.sequence, row.hash

    def end(self) -> None:
        """There are no more entries."""
        signed = max(self._signed, default=0)
        if not self.fault and signed > self.count:
            self.fault = f"it ends at entry {self.count}, but {signed} entries were signed: its end was cut off"

    def _fault_of(self, row: AuditRow) -> str:
        if row.sequence != self.count + 1:
            return f"entry {self.count + 1} is missing; the next one there is {row.sequence}"
        if row.previous_hash != self.head:
            return f"entry {row.sequence} does not follow the entry before it"
        if row.hash != entry_hash(row.previous_hash, row.sequence, iso_utc(row.at), row.act):
            return f"entry {row.sequence} was changed"
        if self._signed.get(row.sequence, row.hash) != row.hash:
            return f"entry {row.sequence} is not the one that was signed: the log was written anew"
        return ""
