"""Keys: how a secret is stored and recognised, and the principal a request acts for.

A stored key holds a keyed BLAKE2b digest of its secret (RFC 7693). A slow hash would protect secrets
that can be guessed; ours are random or at least 32 characters long (NIST SP 800-63B asks no slow hash
from 112 bits on), and the pepper, kept outside any database, makes a stolen table useless.
"""

import hmac
from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b

import msgspec

DIGEST_BYTES = 32
SECRET_CHARACTERS_MIN = 32
SECRET_CHARACTERS_MAX = 512


class Scope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    METRICS = "metrics"
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"


ALL_SCOPES = frozenset(scope.value for scope in Scope)


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: never its secret.

    Args:
        id: short public name, in logs and records.
        digest: ``digest_secret`` of the secret.
    """

    id: str
    digest: bytes
    scopes: frozenset[str]

    def __repr__(self) -> str:
        return f"StoredKey(id={self.id!r}, scopes={sorted(self.scopes)})"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who a request acts for, once known."""

    id: str
    scopes: frozenset[str]


ANONYMOUS = Principal(id="", scopes=frozenset())


def digest_secret(pepper: bytes, secret: str) -> bytes:
    """The keyed digest of a secret, 32 bytes."""
    return blake2b(
        secret.encode("utf-8", "surrogateescape"), key=pepper, digest_size=DIGEST_BYTES
    ).digest()


def secret_in_header(value: bytes) -> str:
    """The secret that a header's value holds: UTF-8, as curl and browsers send it.

    Bytes that are no UTF-8 are kept as they are; they just match nothing that was made from a text.
    """
    return value.strip(b" \t").decode("utf-8", "surrogateescape")


def find_key(keys: Sequence[StoredKey], pepper: bytes, secret: str) -> StoredKey | None:
    """The key whose secret this is, or None.

    Each stored digest is compared in constant time and all are always compared, so that neither
    the time nor the work tells how near a guess was.
    """
    presented = digest_secret(pepper, secret)
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, presented):
            found = key
    return found
