"""Server-sent events: bytes of a stream → whole events → their data, and back.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream": lines end with LF, CR LF or CR;
a blank line ends an event.
"""

from collections.abc import Iterator

TAIL_BYTES_MAX = 1 << 20
"""One event of a language model is a few hundred bytes; log-probabilities of a whole answer or a
base64 picture may fill some hundred KiB."""

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event did not end within the bound."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"an event of the stream is larger than {bytes_max} bytes")
        self.bytes_max = bytes_max


class EventSplitter:
    """Cuts a byte stream, however it comes in pieces, behind its events.

    Args:
        tail_bytes_max: how much of an unfinished event is held.
    """

    __slots__ = ("_tail", "_tail_bytes_max")

    def __init__(self, *, tail_bytes_max: int = TAIL_BYTES_MAX) -> None:
        self._tail = bytearray()
        self._tail_bytes_max = tail_bytes_max

    @property
    def rest(self) -> bytes:
        """What came after the last whole event; at the end of a sound stream it is empty."""
        return bytes(self._tail)

    def feed(self, data: bytes) -> bytes:
        """The events that ``data`` completes, ending with a blank line; ``b""`` if there are none.

        All outputs and ``rest`` together are the input. Where CR LF is cut behind the CR of a blank
        line, that CR ends the event and the LF comes as an output of its own, a blank line more:
        waiting for it would hold back each event of a stream whose lines end with CR alone.

        Raises:
            EventTooLarge: the unfinished event is above the bound. The splitter is of no use then.
        """
        if not self._tail and data.endswith((b"\n\n", b"\r\n\r\n")):
            return data
        return self._feed_slowly(data)

    def _feed_slowly(self, data: bytes) -> bytes:
        if not data:
            return b""
        tail = self._tail
        known = len(tail)
        tail += data
        end = _last_blank_line_end(tail, max(0, known - 1))
        if not end and not known:
            # Only the first line of what is held can be blank without a line end before it.
            end = _line_end_length(tail)
        events = bytes(tail[:end])
        del tail[:end]
        if len(tail) > self._tail_bytes_max:
            raise EventTooLarge(self._tail_bytes_max)
        return events


def _line_end_length(text: bytearray) -> int:
    if text.startswith(b"\r\n"):
        return 2
    return 1 if text.startswith((b"\n", b"\r")) else 0


def _last_blank_line_end(text: bytearray, start: int) -> int:
    """The index behind the last blank line that ends at or after ``start``; 0 if there is none."""
    end = text.rfind(b"\n\n", start) + 2
    if text.find(b"\r", start) >= 0:
        for pair in (b"\n\r", b"\r\r"):
            behind = text.rfind(pair, start) + 2
            if behind > 1 and text[behind : behind + 1] == b"\n":
                behind += 1
            end = max(end, behind)
    return end if end > 1 else 0


def iter_data(events: bytes) -> Iterator[bytes]:
    r"""The ``data`` of each whole event of ``events``, several ``data:`` lines joined by ``\n``.

    Comments, other fields and events without data give nothing; an event without its blank line
    is left out, as the standard has it.
    """
    if events.startswith(b"data: ") and events.endswith(b"\n\n") and events.find(b"\r") < 0:
        if events.find(b"\n") == len(events) - 2:
            return iter((events[6:-2],))
        payloads: list[bytes] = []
        for event_text in events[:-2].split(b"\n\n"):
            if event_text.startswith(b"data: ") and b"\n" not in event_text:
                payloads.append(event_text[6:])
            else:
                _collect(event_text.split(b"\n"), payloads)
        return iter(payloads)
    return iter(_payloads_of_any_shape(events))


def _payloads_of_any_shape(events: bytes) -> list[bytes]:
    events = events.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    whole, blank_line, _ = events.rpartition(b"\n\n")
    payloads: list[bytes] = []
    if blank_line:
        for event_text in whole.split(b"\n\n"):
            _collect(event_text.split(b"\n"), payloads)
    return payloads


def _collect(lines: list[bytes], payloads: list[bytes]) -> None:
    values = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value[1:] if value.startswith(b" ") else value)
    if values:
        payloads.append(b"\n".join(values))


def event(data: bytes, name: bytes | None = None) -> bytes:
    """One event; a line end inside ``data`` starts another ``data:`` line."""
    if b"\n" in data or b"\r" in data:
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        data = b"\ndata: ".join(lines)
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
