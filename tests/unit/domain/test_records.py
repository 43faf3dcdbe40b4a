"""A record's fields, as its log line has them."""

from typing import Any

import msgspec
import pytest

from rempart.domain.records import RequestRecord

EMPTY: dict[str, Any] = {
    "id": "0199",
    "request_id": "r-1",
    "trace_id": "",
    "at": "2026-11-24T16:00:00.000Z",
    "operation": "chat",
    "model": "",
    "key_id": "",
    "address": "192.0.2.7",
    "status": 200,
    "error_code": "",
    "end_reason": "stop",
    "clock": "",
    "is_stream": False,
    "prompt_tokens": None,
    "completion_tokens": None,
    "queue_ms": None,
    "ttft_ms": None,
    "duration_ms": 0.0,
    "bytes_in": 0,
    "bytes_out": 0,
    "replica": "",
    "malformed_events": 0,
    "ignored_fields": [],
}


def test_what_says_nothing_is_left_out() -> None:
    fields = RequestRecord(**EMPTY).fields()
    assert fields == {
        "id": "0199",
        "request_id": "r-1",
        "at": "2026-11-24T16:00:00.000Z",
        "operation": "chat",
        "address": "192.0.2.7",
        "status": 200,
        "end_reason": "stop",
        "duration_ms": 0.0,
        "bytes_in": 0,
        "bytes_out": 0,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt_tokens", 0),
        ("completion_tokens", 0),
        ("queue_ms", 0.0),
        ("ttft_ms", 0.0),
        ("is_stream", True),
        ("malformed_events", 2),
        ("ignored_fields", ["x"]),
        ("clock", "total"),
        ("prompt", "Bonjour"),
    ],
)
def test_a_count_of_nothing_is_told_where_something_was_counted(name: str, value: Any) -> None:
    assert RequestRecord(**(EMPTY | {name: value})).fields()[name] == value


def test_a_record_is_never_changed_afterwards() -> None:
    record = RequestRecord(**EMPTY)
    with pytest.raises(AttributeError):
        record.status = 500  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(record), type=RequestRecord) == record
