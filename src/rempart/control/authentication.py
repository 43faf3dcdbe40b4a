"""Who a request of the control API comes from: the same published keys as the data plane's, the same lockout.

Access tokens of an issuer ([jwt]) are for the data plane; operators use keys, or the Unix socket.
"""

from rempart.base.clock import Clock
from rempart.domain.addresses import customer_of
from rempart.domain.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    InvalidApiKey,
    MissingApiKey,
    RateLimitExceeded,
    RempartError,
    RevokedApiKey,
    StateUnavailable,
)
from rempart.domain.key_format import look_up_id
from rempart.domain.keys import ALL_SCOPES, Principal, secret_in_header
from rempart.settings.protection import Lockout
from rempart.state.shared.keys.verify import Verifier
from rempart.state.shared.lockout.decide import Rules
from rempart.state.shared.lockout.interface import FailedAttempts, LockoutStore

FAILURES = (InvalidApiKey, ExpiredApiKey, RevokedApiKey, AddressNotAllowed)


class Authentication:
    """``access.Authenticate`` over the published keys."""

    def __init__(
        self, *, verifier: Verifier, lockout: LockoutStore, settings: Lockout, clock: Clock
    ) -> None:
        self._verifier = verifier
        self._lockout = lockout
        self._settings = settings
        self._rules = Rules(
            settings.failures, round(settings.window_s * 1000), round(settings.block_s * 1000)
        )
        self._clock = clock

    def __call__(self, headers: dict[str, str], is_local: bool, address: str) -> Principal:
        """See ``access.Authenticate``.

        Raises:
            MissingApiKey, InvalidApiKey, ExpiredApiKey, RevokedApiKey, AddressNotAllowed.
            RateLimitExceeded: the address presented too many wrong keys.
            StateUnavailable: nobody knows at this moment.
        """
        if is_local:
            return Principal(id="local:unknown", scopes=ALL_SCOPES)
        secret = presented_secret(headers)
        if not secret:
            raise MissingApiKey
        try:
            return self._verifier.verify(secret, address).principal
        except FAILURES as error:
            self._failed(secret, address, error)
            raise

    def _failed(self, secret: str, address: str, error: RempartError) -> None:
        """Count it, and leave word for the audit log.

        Raises:
            RateLimitExceeded: the address is blocked by now.
        """
        who, now_ms = customer_of(address), int(self._clock.wall().timestamp() * 1000)
        is_guess = isinstance(error, InvalidApiKey)
        # Only who presents the right secret is told, and noted, as more than a wrong guess.
        attempts = FailedAttempts(
            address=who,
            code=error.code,
            key_id="" if is_guess else look_up_id(secret),
            count=1,
            first_ms=now_ms,
            last_ms=now_ms,
        )
        try:
            self._lockout.report([attempts])
            if not is_guess or not self._settings.enabled:
                return
            blocked_ms = self._lockout.failed(who, now_ms, self._rules).blocked_ms
        except StateUnavailable:
            return  # it is refused all the same
        if blocked_ms:
            raise RateLimitExceeded(
                message="Too many wrong API keys came from this network address. Wait before you try again.",
                limit_name="failed_authentications",
                limit=self._settings.failures,
                window_seconds=self._settings.window_s,
                retry_after_s=blocked_ms / 1000,
            ) from error


def presented_secret(headers: dict[str, str]) -> str:
    """The secret that came with a request; empty: none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        secret = headers.get("x-api-key", "")
    return secret_in_header(secret.strip().encode("latin-1"))
