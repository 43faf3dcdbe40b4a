"""What the guard covered and found in one exchange: for the record, the log line and the metrics.

``skipped`` is never ``passed``: what was not looked at says so, by name.
"""

from collections.abc import Callable

from rempart.domain.guard import DETECTOR_OF

PROMPT = "prompt"
ANSWER = "answer"


class Report:
    """Of one exchange; a part that no detector is on for does not appear."""

    __slots__ = ("_answer_detectors", "_counts", "_prompt_detectors", "answer_chunks", "covers_answer",
                 "covers_prompt", "is_refused", "released", "skipped")  # fmt: skip

    def __init__(
        self, prompt_detectors: tuple[str, ...], answer_detectors: tuple[str, ...]
    ) -> None:
        self._prompt_detectors = prompt_detectors
        self._answer_detectors = answer_detectors
        self._counts: dict[tuple[str, str], int] = {}
        self.covers_prompt = False
        self.covers_answer = False
        self.answer_chunks: Callable[[], int] | None = None
        """How much of an answer came; until some did nothing was looked at."""
        self.released: Callable[[], int] | None = None
        """How often text went out undecided."""
        self.is_refused: frozenset[str] = frozenset()
        """Detectors for whose sake the prompt was refused."""
        self.skipped: set[str] = set()
        """Parts of the prompt that no detector looks at: ``media``, ``token_ids``."""

    def found_in_prompt(self, kind: str) -> None:
        """Count one."""
        self._add(PROMPT, kind)

    def found_in_answer(self, kind: str) -> None:
        """Count one."""
        self._add(ANSWER, kind)

    def _add(self, part: str, kind: str) -> None:
        self._counts[part, kind] = self._counts.get((part, kind), 0) + 1

    def coverage(self) -> dict[str, str]:
        """``prompt.secrets`` → ``passed``, ``masked:2``, ``refused`` or ``skipped``; and what was left out."""
        found = {}
        for name in self._prompt_detectors:
            found[f"{PROMPT}.{name}"] = self._verdict(PROMPT, name, is_covered=self.covers_prompt)
        for what in sorted(self.skipped):
            found[f"{PROMPT}.{what}"] = "skipped"
        chunks = self.answer_chunks() if self.answer_chunks is not None else 0
        for name in self._answer_detectors:
            is_covered = self.covers_answer and chunks > 0
            found[f"{ANSWER}.{name}"] = self._verdict(ANSWER, name, is_covered=is_covered)
        released = self.released() if self.released is not None else 0
        if released:
            found[f"{ANSWER}.released"] = str(released)
        return found

    def _verdict(self, part: str, name: str, *, is_covered: bool) -> str:
        if part == PROMPT and name in self.is_refused:
            return "refused"
        if not is_covered:
            return "skipped"
        count = sum(
            count
            for (where, kind), count in self._counts.items()
            if where == part and DETECTOR_OF[kind] == name
        )
        return f"masked:{count}" if count else "passed"

    def findings(self) -> dict[str, int]:
        """``prompt.iban`` → how many; kinds come from a fixed list, texts are never in it."""
        return {f"{part}.{kind}": count for (part, kind), count in self._counts.items()}
