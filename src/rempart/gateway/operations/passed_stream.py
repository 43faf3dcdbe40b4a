"""A stream whose events go through as they are: looked into only where a byte search says that one concerns us."""

import re

from rempart.gateway.exchange import encode_json
from rempart.gateway.operations.answers import DONE, DONE_EVENT, Observer, as_chunk
from rempart.wire.sse import event, iter_data

# What must be looked into: an end, usage, progress, an error, the end mark. Inside a JSON string each
# of these would have its quotation marks escaped, so that text of the model never matches. Plain
# searches cost two thirds of one regular expression with alternatives; with find(), since `sign in events`
# first takes the sign for a number, raises and swallows an exception, and so takes twice as long.
_CONCERNS_US = (
    b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b'"prompt_progress"', b'"timings"',
    b'"error":', b"[DONE]",
)  # fmt: skip
_CONTENT = b'"content":"'
_BEHIND_A_TEXT = (b"}", b",")
_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r\n)|(?<=[\r\n]\r)(?!\n)")


def _split(events: bytes) -> list[bytes]:
    """The single events, each with its blank line."""
    if events.find(b"\r") < 0 and events.endswith(b"\n\n"):
        return [one + b"\n\n" for one in events[:-2].split(b"\n\n")]
    return _EVENT_END.split(events)


def _is_plain(events: bytes) -> bool:
    """Whether none of the events needs to be looked into: no sign in them, and each ends like an object.

    Comments, objects that were cut off and streams with CR in their line ends are looked at one by one.
    """
    find = events.find
    for sign in _CONCERNS_US:
        if find(sign) >= 0:
            return False
    return find(b"\r") < 0 and 0 < events.count(b"\n\n") == events.count(b"}\n\n")


class PassedStream(Observer):
    """The runner's own events, untouched; usage that the client did not ask for is left out."""

    def __init__(self, *, is_runner: bool, wants_usage: bool, wants_progress: bool = False) -> None:
        super().__init__(is_runner=is_runner)
        self._wants_usage = wants_usage
        self._wants_progress = wants_progress
        self._before = self._behind = b"\0"  # what no event begins with
        self._frame_bytes = 0
        self._skips_line_feed = False
        """What was left out last ended with a CR, whose LF may come with the next read."""

    def feed(self, events: bytes) -> bytes:
        """See ``Shape``. Usually a look at both ends, and the same bytes back."""
        before, behind = self._before, self._behind
        if (
            events.startswith(before)
            and events.endswith(behind)
            and len(events) >= self._frame_bytes
            and events.find(b'"', len(before), -len(behind)) < 0
        ):
            self.chunk_count += 1
            return events
        if self._skips_line_feed:
            self._skips_line_feed = False
            events = events.removeprefix(b"\n")
        if _is_plain(events):
            # Counting events is only an estimate of tokens, for streams that never tell their usage.
            self.chunk_count += events.count(b"data:")
            self._learn(events)
            return events
        passed = []
        if events.startswith(b"\n"):  # of a CR LF that was cut: it belongs to what went out before
            passed.append(b"\n")
            events = events[1:]
        for one in _split(events):
            if one:
                is_passed = self._passes(one)
                self._skips_line_feed = not is_passed and one.endswith(b"\r")
                if is_passed:
                    passed.append(one)
            if self.error is not None:
                break  # what came before it still goes out
        return b"".join(passed)

    def _learn(self, events: bytes) -> None:
        """Remember what stands around the text of a plain chunk: the next ones differ in the text only.

        A text without a quotation mark between two ends in which no sign was found has none in it, since
        all but ``[DONE]`` begin with a quotation mark and have another; and ``[DONE]`` is text there.
        """
        start = events.find(_CONTENT) + len(_CONTENT)
        end = events.find(b'"', start)
        if start >= len(_CONTENT) and events[end + 1 : end + 2] in _BEHIND_A_TEXT:
            self._before, self._behind = events[:start], events[end:]
            self._frame_bytes = len(self._before) + len(self._behind)

    def _passes(self, one: bytes) -> bool:
        passes = True
        for data in iter_data(one):
            if data == DONE:
                self.is_done = True
                passes = False  # it goes out with the last bytes, after the record
                continue
            chunk = self.chunk(data)
            if chunk is None or self.error is not None:
                passes = False
            elif "prompt_progress" in chunk:
                passes = self._wants_progress
            elif chunk.get("choices"):
                self.chunk_count += 1
            elif "usage" in chunk:
                passes = self._wants_usage
        return passes

    def finish(self) -> bytes:
        """The end mark, also where the runner sends none."""
        self.require_end()
        return DONE_EVENT

    def whole(self, body: bytes) -> bytes:
        """A document from a server that does not stream, as a stream of one chunk."""
        chunk = as_chunk(self.document(body))
        self.chunk_count += len(chunk["choices"])
        if not self._wants_usage:
            chunk.pop("usage", None)
        return event(encode_json(chunk)) + self.finish()
