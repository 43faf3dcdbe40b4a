"""What a client is told of its limits: the RateLimit fields and OpenAI's own. No I/O.

``RateLimit-Policy`` and ``RateLimit`` follow draft-ietf-httpapi-ratelimit-headers-11 (structured fields, RFC 9651).
They know no unit for tokens, so that tokens stand in ``x-ratelimit-*-tokens`` alone. ``reset`` is a Go duration until
the limit is full again, as OpenAI sends it.
"""

from collections.abc import Sequence

from rempart.domain.limits import BY_NAME, Unit
from rempart.net.http1.messages import Headers
from rempart.state.shared.limits.interface import Standing

_SHARED = ("model:", "server")


def limit_headers(standings: Sequence[Standing]) -> Headers:
    """The fields for limits as they stand; of several limits of one unit the one nearest to its end counts.

    Of a model and of the whole server nothing is told: it would show what others use.
    """
    requests: list[Standing] = []
    tokens: list[Standing] = []
    for one in standings:
        if one.demand.subject.startswith(_SHARED):
            continue
        if one.demand.unit is Unit.REQUESTS:
            requests.append(one)
        elif one.demand.unit is Unit.TOKENS:
            tokens.append(one)
    found: Headers = []
    if requests:
        nearest = min(requests, key=_share_left)
        policy = _policy(nearest)
        found.append((b"ratelimit-policy", _policies(requests)))
        found.append(
            (
                b"ratelimit",
                b'"%b";r=%d;t=%d' % (policy, nearest.remaining, _seconds_up(_wait_ms(nearest))),
            )
        )
        found += _openai(nearest, b"requests")
    if tokens:
        found += _openai(min(tokens, key=_share_left), b"tokens")
    return found


def _policies(standings: Sequence[Standing]) -> bytes:
    return b", ".join(
        {
            _policy(one): b'"%b";q=%d;w=%d'
            % (_policy(one), one.demand.amount_max, one.demand.window_s)
            for one in standings
        }.values()
    )


def _policy(standing: Standing) -> bytes:
    """``rpm`` for a key's own limit, ``project-rpm``, ``model-rpm`` … for the others."""
    name = BY_NAME[standing.demand.name].policy
    whose = standing.demand.subject.partition(":")[0]
    return name.encode() if whose == "key" else f"{whose}-{name}".encode()


def _openai(standing: Standing, unit: bytes) -> Headers:
    return [
        (b"x-ratelimit-limit-" + unit, b"%d" % standing.demand.amount_max),
        (b"x-ratelimit-remaining-" + unit, b"%d" % standing.remaining),
        (b"x-ratelimit-reset-" + unit, go_duration(standing.full_ms)),
    ]


def _share_left(standing: Standing) -> float:
    return standing.remaining / standing.demand.amount_max if standing.demand.amount_max else 0.0


def _wait_ms(standing: Standing) -> int:
    """Until the next one fits, where none does; else until all are there again."""
    return standing.wait_ms if standing.wait_ms else standing.full_ms


def _seconds_up(milliseconds: int) -> int:
    return -(-milliseconds // 1000)


def go_duration(milliseconds: int) -> bytes:
    """As Go's ``time.Duration`` prints it: ``12ms``, ``1s``, ``50.529s``, ``6m0s``, ``1h0m3s``."""
    if milliseconds < 1000:
        return b"%dms" % milliseconds if milliseconds else b"0s"
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = (b".%03d" % thousandths).rstrip(b"0") if thousandths else b""
    found = b"%d%bs" % (seconds, fraction)
    if hours or minutes:
        found = b"%dm" % minutes + found
    return b"%dh" % hours + found if hours else found
