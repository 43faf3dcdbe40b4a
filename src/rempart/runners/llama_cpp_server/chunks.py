"""What stands in the library's chunks, found by bytes. Pure.

A chunk is one JSON object without spaces. A quote inside a text is written ``\\"``, so that a name
with plain quotes and its colon can only be a member's. ``timings`` and ``prompt_progress`` stand at
the end. Parsing each chunk instead would cost ten times as much for every token.
"""

import msgspec

_TIMINGS = b',"timings":{'
_PROGRESS = b'"prompt_progress":{'
_USAGE = b'"usage":{'
_ERROR = b'{"error":{'
NO_CHOICES = b'"choices":[],'


class Timings(msgspec.Struct, frozen=True):
    """How many tokens an answer has so far."""

    cache_n: int = 0
    """Prompt tokens that were still known from an earlier prompt."""
    prompt_n: int = 0
    """Prompt tokens read."""
    predicted_n: int = 0
    """Tokens made."""

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, once it is read."""
        return self.cache_n + self.prompt_n


class Progress(msgspec.Struct, frozen=True):
    """How much of the prompt is read."""

    total: int = 0
    processed: int = 0


class _WithProgress(msgspec.Struct):
    prompt_progress: Progress


_TIMINGS_DECODER = msgspec.json.Decoder(Timings)
_PROGRESS_DECODER = msgspec.json.Decoder(_WithProgress)


def is_error(chunk: bytes) -> bool:
    """Whether it says that the request failed."""
    return chunk.startswith(_ERROR)


def is_nothing(chunk: bytes) -> bool:
    """Whether there is nothing in it: the first "chunk" of some answers is ``null``."""
    return not chunk.startswith(b"{")


def has_progress(chunk: bytes) -> bool:
    """Whether it tells of the prompt only."""
    return _PROGRESS in chunk


def has_usage(chunk: bytes) -> bool:
    """Whether it is the one with the usage."""
    return _USAGE in chunk


def progress(chunk: bytes) -> Progress:
    """The progress in it."""
    return _PROGRESS_DECODER.decode(chunk).prompt_progress


def without_timings(chunk: bytes) -> tuple[bytes, bytes]:
    """The chunk without its timings, and these as JSON (``b""`` if it has none)."""
    start = chunk.rfind(_TIMINGS)
    if start < 0:
        return chunk, b""
    end = chunk.find(b"}", start) + 1
    return chunk[:start] + chunk[end:], chunk[start + len(_TIMINGS) - 1 : end]


def timings(raw: bytes) -> Timings:
    """The timings that ``without_timings`` took out."""
    return _TIMINGS_DECODER.decode(raw) if raw else Timings()
