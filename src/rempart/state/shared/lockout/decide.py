"""When an address that presents wrong keys is blocked. Pure: an entry and a moment in, an entry out."""

from typing import NamedTuple


class Rules(NamedTuple):
    """Of ``[lockout]``, in whole milliseconds: so many failures within a window block for a while."""

    failures: int
    window_ms: int
    block_ms: int


class Entry(NamedTuple):
    """What is kept of an address.

    Args:
        since_ms: the first failure of the window under way.
        failures: in that window.
        until_ms: blocked until then; 0: not blocked.
    """

    since_ms: int
    failures: int
    until_ms: int


class Standing(NamedTuple):
    """How an address stands: ``blocked_ms`` is how long it is still blocked, 0 if it is not."""

    failures: int
    blocked_ms: int


FREE = Standing(0, 0)


def standing(entry: Entry | None, now_ms: int, rules: Rules) -> Standing:
    """How an address stands at this moment."""
    if entry is None:
        return FREE
    if entry.until_ms > now_ms:
        return Standing(entry.failures, min(entry.until_ms - now_ms, rules.block_ms))
    if entry.until_ms or is_over(entry, now_ms, rules):
        return FREE
    return Standing(entry.failures, 0)


def after_failure(entry: Entry | None, now_ms: int, rules: Rules) -> Entry:
    """The entry after one more failure; one of a blocked address changes nothing, so that blocks end.

    A window begins with its first failure. A clock that steps back begins a new one.
    """
    if entry is None or (
        entry.until_ms <= now_ms and (entry.until_ms or is_over(entry, now_ms, rules))
    ):
        entry = Entry(now_ms, 0, 0)
    if entry.until_ms > now_ms:
        return entry
    failures = entry.failures + 1
    until_ms = now_ms + rules.block_ms if failures >= rules.failures else 0
    return Entry(entry.since_ms, failures, until_ms)


def is_over(entry: Entry, now_ms: int, rules: Rules) -> bool:
    """Whether nothing of this entry counts any more."""
    if entry.until_ms:
        return entry.until_ms <= now_ms
    return not 0 <= now_ms - entry.since_ms < rules.window_ms
