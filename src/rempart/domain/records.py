"""The record of one request: what it was, how it ended, what it took."""

from typing import Any

import msgspec


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, whatever its end.

    Args:
        id: ours, a UUIDv7; the record's key.
        request_id: the client's own, or ours.
        trace_id: of the client's trace (W3C); empty where it sent none.
        at: when it came, RFC 3339 in UTC.
        end_reason: ``stop``, ``length``, … where a model answered; ``answered``; else the error's code.
        clock: which clock ran out, for ``timeout``.
        prompt_tokens: None where no model was asked or its count is not known.
        ttft_ms: from received to the first chunk.
        bytes_in, bytes_out: of the bodies.
        project: whose limits the key shares; empty: none.
        end_user: the person behind the key, as the client names them.
        cost: in the operator's currency, by the model's prices.
        wasted_tokens: completion tokens that nobody got, where the runner does not tell them itself.
        sanitised: hidden characters that were taken out of the request's texts.
        prompt: the request's text, only where the operator asked for it.
        guard: what each detector covered: ``prompt.secrets`` → ``passed``, ``masked:2``, ``refused`` or
            ``skipped``; empty where none is on.
        guard_findings: ``prompt.iban`` → how many.
        malformed_events: events of the runner's stream that were no chunks and were left out.
    """

    id: str
    request_id: str
    trace_id: str
    at: str
    operation: str
    model: str
    key_id: str
    address: str
    status: int
    error_code: str
    end_reason: str
    clock: str
    is_stream: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    queue_ms: float | None
    ttft_ms: float | None
    duration_ms: float
    bytes_in: int
    bytes_out: int
    replica: str
    malformed_events: int
    ignored_fields: list[str]
    project: str = ""
    end_user: str = ""
    cost: float = 0.0
    prompt: str = ""
    wasted_tokens: int = 0
    sanitised: int = 0
    guard: dict[str, str] = {}
    guard_findings: dict[str, int] = {}

    def fields(self) -> dict[str, Any]:
        """The fields that say something, for a log line."""
        found = {}
        for name, value in zip(self.__struct_fields__, msgspec.structs.astuple(self), strict=True):
            # A zero says something (no tokens, no wait) but for what is counted only when it goes wrong.
            if value or (value == 0 and value is not False and name not in _ZERO_SAYS_NOTHING):
                found[name] = value
        return found


_ZERO_SAYS_NOTHING = frozenset({"cost", "malformed_events", "wasted_tokens", "sanitised"})
