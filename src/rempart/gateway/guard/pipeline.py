"""What the guard does with one exchange: which detectors look at its prompt and its answer, and what then.

To add a detector: its settings, and a row in ``_detectors``.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from rempart.domain.errors import PromptRejected
from rempart.domain.guard import DETECTOR_OF, PERSONAL_DATA, SECRETS
from rempart.gateway.exchange import Call, Exchange
from rempart.gateway.guard.chunks import mask_document, masked_value
from rempart.gateway.guard.detectors.personal_data import personal_data
from rempart.gateway.guard.detectors.secrets import secrets
from rempart.gateway.guard.interface import Detector
from rempart.gateway.guard.masked_stream import MaskedStream
from rempart.gateway.guard.prompt import Prompt
from rempart.gateway.guard.report import Report
from rempart.gateway.guard.scan import Matchers
from rempart.settings.protection import Guard as GuardSettings

NAMED_MAX = 32
"""Places that a refusal names; one that names more helps nobody."""
OFF, MASK, REFUSE = "off", "mask", "refuse"
_NO_TEXT_ANSWERS = frozenset({"/embeddings"})
"""Their answers are numbers."""


def _detectors(settings: GuardSettings) -> tuple[tuple[Detector, str, str], ...]:
    """Each detector with what it does to prompts and to answers."""
    return (
        (secrets(), settings.secrets, settings.secrets_in_answers),
        (
            personal_data(frozenset(settings.kinds)),
            settings.personal_data,
            settings.personal_data_in_answers,
        ),
    )


class Guard:
    """One object per worker."""

    def __init__(self, settings: GuardSettings) -> None:
        rows = _detectors(settings)
        on_prompts = [(detector, action) for detector, action, _ in rows if action != OFF]
        on_answers = [detector for detector, _, action in rows if action != OFF]
        self._on_prompts = _matchers([detector for detector, _ in on_prompts])
        self._on_answers = _matchers(on_answers)
        self._refusing = frozenset(
            detector.name for detector, action in on_prompts if action == REFUSE
        )
        self._prompt_names = tuple(detector.name for detector, _ in on_prompts)
        self._answer_names = tuple(detector.name for detector in on_answers)
        self._held_max = settings.hold_characters_max
        self.hold_s = settings.hold_ms_max / 1000

    @property
    def is_on(self) -> bool:
        """Whether any detector is on at all."""
        return bool(self._on_prompts or self._on_answers)

    async def begin(self, exchange: Exchange, call: Call) -> None:
        """Mask the prompt or refuse it, and see to it that the answer will be masked.

        Raises:
            PromptRejected: naming kinds and places, never what was found.
        """
        report = exchange.guard = Report(self._prompt_names, self._answer_names)
        if self._on_prompts and call.document is not None:
            await self._prompt(report, call.document)
        if self._on_answers and call.shape is not None:
            self._answer(exchange, report, call)

    async def _prompt(self, report: Report, document: dict[str, Any]) -> None:
        refused: list[tuple[str, str]] = []

        def found(kind: str, path: str) -> None:
            report.found_in_prompt(kind)
            if DETECTOR_OF[kind] in self._refusing:
                refused.append((kind, path))

        for _ in Prompt(self._on_prompts, found, report.skipped).mask(document):
            await asyncio.sleep(0)  # a prompt of a megabyte must not hold up other streams
        report.covers_prompt = True
        if refused:
            report.is_refused = frozenset(DETECTOR_OF[kind] for kind, _ in refused)
            raise _rejected(refused)

    def _answer(self, exchange: Exchange, report: Report, call: Call) -> None:
        shape = call.shape
        if shape is None or call.endpoint in _NO_TEXT_ANSWERS:
            return
        found = report.found_in_answer
        if shape.is_stream:
            stream = MaskedStream(
                shape,
                self._on_answers,
                held_max=self._held_max,
                on_finding=found,
                now=exchange.clock.now,
            )
            call.shape = stream
            report.covers_answer = True
            report.answer_chunks = lambda: stream.chunk_count
            report.released = lambda: stream.released_count
            return
        edit: Callable[[dict[str, Any]], dict[str, Any]]
        if call.endpoint in ("/chat/completions", "/completions"):
            edit = partial(mask_document, self._on_answers, on_finding=found)
        else:
            edit = partial(masked_value, self._on_answers, on_finding=found)
        edits = _Edits(edit)
        report.covers_answer = shape.edit_documents(edits)
        report.answer_chunks = lambda: edits.count


class _Edits:
    """Counts the documents that were edited, so that one that never came is not called covered."""

    __slots__ = ("_edit", "count")

    def __init__(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._edit = edit
        self.count = 0

    def __call__(self, document: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return self._edit(document)


def _matchers(detectors: list[Detector]) -> Matchers:
    return tuple(matcher for detector in detectors for matcher in detector.matchers)


def _rejected(refused: list[tuple[str, str]]) -> PromptRejected:
    places = list(dict.fromkeys(refused))
    kinds = sorted({kind for kind, _ in places})
    first_kind, first_path = places[0]
    more = f", and at {len(places) - 1} more places" if len(places) > 1 else ""
    names = {SECRETS: "a secret", PERSONAL_DATA: "personal data"}
    what = names[DETECTOR_OF[first_kind]]
    return PromptRejected(
        reason=f"{first_path} holds {what} ({first_kind}){more}. "
        "Take it out, or put a placeholder in its place",
        param=first_path,
        details={
            "kinds": kinds,
            "fields": [
                {"path": path, "expected": f"no {kind}", "found": kind}
                for kind, path in places[:NAMED_MAX]
            ],
        },
    )
