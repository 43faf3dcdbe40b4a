"""Chunks of a text completion → one text_completion document."""

from typing import Any

from rempart.wire.assembly import as_index, extend_logprobs


class _Choice:
    __slots__ = ("finish_reason", "logprobs", "more", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.logprobs: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.more: dict[str, Any] = {}


class CompletionAssembler:
    """Builds the document that the chunks of one completion amount to.

    The rules are those of ``ChatAssembler``: texts and log-probabilities are appended, of all else
    the last value that is not null counts.
    """

    __slots__ = ("_choices", "_top", "usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._top: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        """The last usage that came."""

    def feed(self, chunk: dict[str, Any]) -> None:
        """Take one streamed ``text_completion``."""
        self._top.update(chunk)
        usage = chunk.get("usage")
        if usage:
            self.usage = usage
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._feed_choice(choice)

    def _feed_choice(self, part: dict[str, Any]) -> None:
        index = as_index(part.get("index")) or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        for name, value in part.items():
            if value is None or name == "index":
                continue
            if name == "text":
                if isinstance(value, str):
                    choice.text.append(value)
            elif name == "finish_reason":
                choice.finish_reason = value
            elif name == "logprobs":
                choice.logprobs = extend_logprobs(choice.logprobs, value)
            else:
                choice.more[name] = value

    @property
    def is_finished(self) -> bool:
        """Whether a choice came and each that came has its ``finish_reason``."""
        return bool(self._choices) and all(
            c.finish_reason is not None for c in self._choices.values()
        )

    def document(self, *, default_id: str = "", default_created: int = 0) -> dict[str, Any]:
        """The ``text_completion``; choices in the order of their index.

        Args:
            default_id: for chunks without an id.
            default_created: seconds since 1970 for chunks without them.
        """
        top = self._top
        document: dict[str, Any] = {
            "id": top.get("id") or default_id,
            "object": "text_completion",
            "created": top.get("created") or default_created,
            "model": top.get("model") or "",
            "choices": [_document(self._choices[index], index) for index in sorted(self._choices)],
        }
        if self.usage is not None:
            document["usage"] = self.usage
        for name, value in top.items():
            if name not in document and name != "usage":
                document[name] = value
        return document


def _document(choice: _Choice, index: int) -> dict[str, Any]:
    return choice.more | {
        "index": index,
        "text": "".join(choice.text),
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason,
    }
