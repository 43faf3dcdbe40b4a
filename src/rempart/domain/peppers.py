"""Peppers: the secret keys of all digests, newest first, so that a new one locks nobody out.

A stored key names the pepper of its digest. New digests are made under the newest; one under an older
pepper goes on being accepted, and is made anew when its key is next used. An old pepper can be dropped once no
stored key names it.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from rempart.domain.keys import digest_secret

PEPPER_BYTES = 32
PEPPERS_MAX = 16
"""Each is only a line in a file, but what is never dropped hides what is no longer needed."""


class Pepper(msgspec.Struct, frozen=True):
    """One pepper; its id is made from it and tells nothing of it."""

    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Pepper(id={self.id!r})"


def pepper_of(key: bytes) -> Pepper:
    """The pepper with this key."""
    return Pepper(blake2b(key, digest_size=4, person=b"rempart.pepper").hexdigest(), key)


class Peppers:
    """The ring of peppers.

    Args:
        ring: newest first, at least one.
    """

    __slots__ = ("_by_id", "newest", "ring")

    def __init__(self, ring: Sequence[Pepper]) -> None:
        if not ring:
            raise ValueError("there must be a pepper")
        self.ring = tuple(ring)
        self.newest = self.ring[0]
        self._by_id = {pepper.id: pepper.key for pepper in self.ring}
        # A digest that does not say can only be from before there was more than one.
        self._by_id[""] = self.ring[-1].key

    @classmethod
    def of(cls, keys: Iterable[bytes]) -> "Peppers":
        """Of the bare keys, newest first; one that comes twice counts once."""
        return cls([pepper_of(key) for key in dict.fromkeys(keys)])

    def key(self, pepper_id: str) -> bytes | None:
        """The pepper called so; None when it is not here."""
        return self._by_id.get(pepper_id)

    def digest(self, secret: str) -> tuple[bytes, str]:
        """A secret's digest under the newest pepper, and that pepper's id: what a stored key holds."""
        return digest_secret(self.newest.key, secret), self.newest.id

    def __repr__(self) -> str:
        return f"Peppers({[pepper.id for pepper in self.ring]})"
