"""Keys: how a secret is stored and recognised, and the principal a request acts for.

A stored key holds a keyed BLAKE2b digest of its secret (RFC 7693). A slow hash would protect secrets
that can be guessed; ours are random or at least 32 characters long (NIST SP 800-63B asks no slow hash
from 112 bits on), and the pepper, kept outside any database, makes a stolen table useless.
"""

from enum import StrEnum
from hashlib import blake2b

import msgspec

from rempart.domain.limits import Amounts

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


class Content(StrEnum):
    """What may be kept of the texts of a key's requests."""

    OFF = "off"
    HASHED = "hashed"
    ON = "on"


class StoredKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key as workers need it: never its secret. Times are Unix seconds; 0 is never.

    Args:
        id: short public name, in logs and records; the part of the key that is looked up.
        digest: ``digest_secret`` of the secret, under the pepper called ``pepper_id``.
        old_digest: of the secret before the last rotation, valid until ``old_until_s``.
        models: names it may use; empty: all.
        networks: CIDR networks it may come from; empty: all.
        limits: its own, replacing the defaults by name.
        project: id of the project whose limits it shares; empty: none.
        content: what may be kept of its requests' texts.
    """

    id: str
    digest: bytes
    scopes: frozenset[str]
    name: str = ""
    pepper_id: str = ""
    old_digest: bytes = b""
    old_pepper_id: str = ""
    old_until_s: float = 0.0
    expires_s: float = 0.0
    revoked_s: float = 0.0
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    limits: Amounts = {}
    is_unlimited: bool = False
    """No default limits apply to it (the first admin key)."""
    project: str = ""
    content: Content = Content.OFF

    def __repr__(self) -> str:
        return f"StoredKey(id={self.id!r}, scopes={sorted(self.scopes)})"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who a request acts for, once known.

    Args:
        id: of the key, or ``jwt:SUBJECT``, or ``local:UID``; empty: nobody.
        models: names it may use; empty: all.
        limits: its own, replacing the defaults by name.
        is_unlimited: no default limits apply.
        expires_s: Unix seconds at which it ends, streams in flight included; 0: never.
    """

    id: str
    scopes: frozenset[str]
    models: tuple[str, ...] = ()
    limits: Amounts = {}
    is_unlimited: bool = False
    project: str = ""
    content: Content = Content.OFF
    expires_s: float = 0.0


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
