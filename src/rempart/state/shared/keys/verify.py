"""From a presented secret to the principal it stands for, over the published keys. Used by gateway and control.

A key costs no database read and no slow hash: one look-up by its public id in shared memory, one keyed BLAKE2b of
the presented text, two comparisons in constant time. That is enough because a secret of ours has 196 random
bits: nobody guesses it, fast or slowly, and whoever steals the table of digests lacks the pepper (NIST SP 800-63B
asks no slow hash from 112 bits on). An unknown id, a wrong secret, a typing error and a good key do the
same look-up, digest and comparisons; what a key is or was is told only to who presents its secret.
"""

import hmac
import math
from collections.abc import Sequence

import msgspec

from rempart.base.clock import Clock
from rempart.domain.addresses import Network, is_within, parse_address, parse_networks
from rempart.domain.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    InvalidApiKey,
    RevokedApiKey,
    StateUnavailable,
)
from rempart.domain.key_format import look_up_id
from rempart.domain.keys import (
    DIGEST_BYTES,
    SECRET_CHARACTERS_MAX,
    Principal,
    StoredKey,
    digest_secret,
)
from rempart.domain.peppers import Peppers
from rempart.state.shared.keys.interface import KeyUse, PublishedKeys, Snapshot

ENTRIES_MAX = 4096
"""Keys whose parsed form is kept; at the bound the oldest goes. Only keys that exist come in."""
USES_MAX = 50_000
"""Keys whose use waits to be noted; at the bound further ones are passed over until the next flush."""
RETRY_S = 1.0
NO_DIGEST = bytes(DIGEST_BYTES)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was let in by: enough to tell later whether it still would be."""

    principal: Principal
    digest: bytes
    pepper_id: str
    old_digest: bytes = b""

    def __repr__(self) -> str:
        return f"Credential(principal={self.principal.id!r})"


class _Entry:
    """A key made ready for use; built once per version of the key."""

    __slots__ = ("current", "networks", "previous", "stored")

    def __init__(self, stored: StoredKey) -> None:
        self.stored = stored
        self.networks: Sequence[Network] | None = None
        """None: from everywhere."""
        if stored.networks:
            try:
                self.networks = parse_networks(stored.networks)
            except ValueError:  # control checks them; what it let pass must not open a door
                self.networks = ()
        self.current = Credential(
            principal=principal_of(stored),
            digest=stored.digest,
            pepper_id=stored.pepper_id,
            old_digest=stored.old_digest,
        )
        self.previous = Credential(
            principal=principal_of(stored, until_s=stored.old_until_s),
            digest=stored.old_digest,
            pepper_id=stored.old_pepper_id,
        )


def principal_of(key: StoredKey, until_s: float = 0.0) -> Principal:
    """Who a request with this key acts for, until it expires and not beyond ``until_s`` (0: no such bound)."""
    return Principal(
        id=key.id,
        scopes=key.scopes,
        models=key.models,
        limits=key.limits,
        is_unlimited=key.is_unlimited,
        project=key.project,
        content=key.content,
        expires_s=min(key.expires_s or math.inf, until_s) if until_s else key.expires_s,
    )


class Verifier:
    """Verifies presented secrets.

    Args:
        age_s_max: published keys that nobody has confirmed for longer are not used.
    """

    __slots__ = ("_age_ms_max", "_clock", "_entries", "_keys", "_peppers", "_uses", "uses_dropped")

    def __init__(
        self, *, keys: PublishedKeys, peppers: Peppers, clock: Clock, age_s_max: float
    ) -> None:
        self._keys = keys
        self._peppers = peppers
        self._clock = clock
        self._age_ms_max = age_s_max * 1000
        self._entries: dict[str, _Entry] = {}
        self._uses: dict[str, tuple[bytes, str]] = {}
        self.uses_dropped = 0

    def replace_peppers(self, peppers: Peppers) -> None:
        """A pepper was added, or one dropped."""
        self._peppers = peppers

    def verify(self, secret: str, address: str) -> Credential:
        """Whom this secret lets in.

        Args:
            address: of the client, for keys that may come from some networks only.

        Raises:
            InvalidApiKey: no key has this secret.
            RevokedApiKey, ExpiredApiKey, AddressNotAllowed: one has, and is not let in.
            StateUnavailable: the published keys cannot be read, are too old to be trusted, or this key's
                pepper is not here (yet).
        """
        if len(secret) > SECRET_CHARACTERS_MAX:
            raise InvalidApiKey
        found = self._keys.look(look_up_id(secret))
        now_s = self._clock.wall().timestamp()
        self._require_current(found.snapshot, now_s)
        key = found.key
        peppers = self._peppers
        if key is None:
            presented = digest_secret(peppers.newest.key, secret)
            hmac.compare_digest(NO_DIGEST, presented)
            hmac.compare_digest(NO_DIGEST, presented)
            raise InvalidApiKey
        pepper = peppers.key(key.pepper_id)
        presented = digest_secret(pepper or peppers.newest.key, secret)
        is_current = hmac.compare_digest(key.digest, presented)
        if key.old_pepper_id != key.pepper_id and key.old_digest:
            presented = digest_secret(peppers.key(key.old_pepper_id) or NO_DIGEST, secret)
        is_previous = hmac.compare_digest(key.old_digest or NO_DIGEST, presented)
        if pepper is None:
            raise StateUnavailable(
                reason="this key's pepper is not here; see the runbook", retry_after_s=RETRY_S
            )
        if not is_current and not is_previous:
            raise InvalidApiKey
        return self._admitted(key, secret, address, now_s, is_current=is_current)

    def _admitted(
        self, key: StoredKey, secret: str, address: str, now_s: float, *, is_current: bool
    ) -> Credential:
        """Whom a key lets in whose secret was presented."""
        if key.revoked_s:
            raise RevokedApiKey
        if (key.expires_s and key.expires_s <= now_s) or (
            not is_current and key.old_until_s <= now_s
        ):
            raise ExpiredApiKey
        entry = self._entry(key)
        if entry.networks is not None:
            client = parse_address(address)
            if client is None or not is_within(client, entry.networks):
                raise AddressNotAllowed
        if key.id not in self._uses:
            self._note_use(key, secret, is_current=is_current)
        return entry.current if is_current else entry.previous

    def _entry(self, key: StoredKey) -> _Entry:
        entries = self._entries
        known = entries.get(key.id)
        if known is not None and known.stored is key:
            return known
        if key.id not in entries and len(entries) >= ENTRIES_MAX:
            del entries[next(iter(entries))]
        entry = entries[key.id] = _Entry(key)
        return entry

    def _note_use(self, key: StoredKey, secret: str, *, is_current: bool) -> None:
        if len(self._uses) >= USES_MAX:
            self.uses_dropped += 1
            return
        newest = self._peppers.newest
        is_old = is_current and key.pepper_id != newest.id
        self._uses[key.id] = self._peppers.digest(secret) if is_old else (b"", "")

    def take_uses(self) -> list[KeyUse]:
        """Keys used since this was last asked, with digests under the newest pepper where theirs are older."""
        at_ms = int(self._clock.wall().timestamp() * 1000)
        uses, self._uses = self._uses, {}
        return [
            KeyUse(key_id=key_id, at_ms=at_ms, digest=digest, pepper_id=pepper_id)
            for key_id, (digest, pepper_id) in uses.items()
        ]

    def renewed(self, credential: Credential) -> Credential:
        """What something that was let in goes on by, after its key has changed.

        A secret that a rotation has replaced goes on until the grace is over; a digest that was only made
        anew under another pepper is of the same secret.

        Raises:
            RevokedApiKey, ExpiredApiKey: it would not be let in any more.
            StateUnavailable.
        """
        key = self._keys.key(credential.principal.id)
        now_s = self._clock.wall().timestamp()
        if key is None or key.revoked_s:
            raise RevokedApiKey
        if key.expires_s and key.expires_s <= now_s:
            raise ExpiredApiKey
        entry = self._entry(key)
        if credential.digest == key.digest:
            return entry.current
        if credential.digest == key.old_digest:
            if key.old_until_s <= now_s:
                raise ExpiredApiKey
            return entry.previous
        is_only_another_pepper = (
            key.pepper_id != credential.pepper_id and key.old_digest == credential.old_digest
        )
        if not is_only_another_pepper:
            raise RevokedApiKey
        return entry.current

    def _require_current(self, snapshot: Snapshot, now_s: float) -> None:
        if snapshot.revision == 0:
            raise StateUnavailable(reason="no keys have been published yet", retry_after_s=RETRY_S)
        if now_s * 1000 - snapshot.published_ms > self._age_ms_max:
            raise StateUnavailable(
                reason="the published keys are too old to be trusted (shared.keys_age_s_max)",
                retry_after_s=RETRY_S,
            )

    def is_current(self) -> bool:
        """Whether keys are published and recent enough to be used."""
        try:
            self._require_current(self._keys.snapshot(), self._clock.wall().timestamp())
        except StateUnavailable:
            return False
        return True

    def age_s(self) -> float:
        """Seconds since control last said that the published keys are what the database holds; 0 if nobody knows."""
        try:
            snapshot = self._keys.snapshot()
        except StateUnavailable:
            return 0.0
        if not snapshot.revision:
            return 0.0
        return max(0.0, self._clock.wall().timestamp() - snapshot.published_ms / 1000)
