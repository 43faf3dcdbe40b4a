"""Sizes and lengths of time as people write them (``500MiB``, ``80%``, ``90d``), and back."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B?)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_POWERS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def size_bytes(text: str) -> int:
    """Bytes of ``500MiB`` (powers of 1024) or ``500MB`` (powers of 1000); a bare number is bytes.

    Raises:
        ValueError: it is no size; the message says what one looks like.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("a size such as 500MiB or 2GiB")
    unit = (match[2] or "").upper()
    base = 1000 if unit in ("KB", "MB", "GB", "TB") else 1024
    return int(float(match[1]) * base ** _POWERS[unit[:1]])


def share_or_size_bytes(text: str, whole_bytes: int) -> int:
    """Bytes of ``80%`` of ``whole_bytes``, or of a size.

    Raises:
        ValueError: it is neither; the message says what they look like.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is not None and 0 < float(match[1]) <= 100:
        return int(whole_bytes * float(match[1]) / 100)
    try:
        return size_bytes(text)
    except ValueError:
        raise ValueError("a share such as 80%, or a size such as 6GiB") from None


def duration_s(text: str) -> float:
    """Seconds of ``3s``, ``5m``, ``2h``, ``90d`` or ``250ms``.

    Raises:
        ValueError: it is no length of time; the message says what one looks like.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("a length of time such as 3s, 5m, 2h or 90d")
    return float(match[1]) * _SECONDS[match[2]]


def bytes_text(count: float) -> str:
    """A size for people, three digits or fewer before the unit: ``94.1 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
