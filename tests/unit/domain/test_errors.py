"""The classes of errors are the contract's table, and each tells its client what to do."""

import string
from typing import Any

import pytest

from rempart.domain import errors
from rempart.domain.errors import RempartError, Retry, every_error

CONTRACT = {
    400: {
        "invalid_json",
        "invalid_request",
        "context_length_exceeded",
        "prompt_rejected",
        "media_not_allowed",
    },
    401: {"missing_api_key", "invalid_api_key", "expired_api_key", "revoked_api_key"},
    403: {"insufficient_scope", "model_not_allowed", "address_not_allowed"},
    404: {"not_found", "model_not_found"},
    405: {"method_not_allowed"},
    408: {"request_read_timeout"},
    413: {"body_too_large"},
    414: {"invalid_request"},
    415: {"unsupported_media_type"},
    429: {
        "rate_limit_exceeded",
        "token_rate_limit_exceeded",
        "concurrency_limit_exceeded",
        "insufficient_quota",
    },
    431: {"headers_too_large"},
    499: {"client_closed"},
    500: {"internal_error"},
    501: {"invalid_request"},
    502: {"runner_error", "upstream_error"},
    503: {
        "overloaded",
        "deadline_unattainable",
        "model_loading",
        "model_unavailable",
        "insufficient_memory",
        "state_unavailable",
        "shutting_down",
    },
    504: {"timeout"},
    505: {"invalid_request"},
}
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "overloaded_error",
    504: "timeout_error",
}
NOT_BY_ITSELF = {"insufficient_quota", "deadline_unattainable", "insufficient_memory"}

each_error = pytest.mark.parametrize("kind", every_error(), ids=lambda kind: str(kind.__name__))


def keywords_of(kind: type[RempartError]) -> dict[str, Any]:
    """A value for every place of the sentence."""
    places = {name for _, name, _, _ in string.Formatter().parse(kind.sentence) if name}
    return dict.fromkeys(places, 7) | {
        name: value
        for name, value in {"clock": "total", "model": "m", "path": "/x", "scope": "s"}.items()
        if name in places
    }


@pytest.mark.requirement("errors-structured")
def test_the_table_of_codes_is_the_contract_s() -> None:
    found: dict[int, set[str]] = {}
    for kind in every_error():
        found.setdefault(kind.status, set()).add(kind.code)
    assert found == CONTRACT


@each_error
def test_an_error_of_a_status_has_the_contract_s_type(kind: type[RempartError]) -> None:
    if kind is not errors.ClientClosed:  # never sent
        assert kind.type == TYPES.get(kind.status, "invalid_request_error")


@each_error
def test_an_error_says_in_sentences_what_was_wrong(kind: type[RempartError]) -> None:
    error = kind(**keywords_of(kind))
    assert error.message == str(error)
    assert "{" not in error.message
    if kind.sentence != "{reason}":
        assert not error.message[0].islower()
        assert error.message.endswith(".")
    assert kind.__doc__


@each_error
def test_what_is_shown_of_the_sentence_is_in_the_details(kind: type[RempartError]) -> None:
    keywords = keywords_of(kind)
    details = kind(**keywords).details
    assert details == {name: keywords[name] for name in kind.shown if name in keywords}
    assert details.keys() <= set(kind.shown)


@each_error
def test_whether_to_try_again_follows_from_the_status(kind: type[RempartError]) -> None:
    if kind.status in (429, 503):
        by_itself = kind.code not in NOT_BY_ITSELF
        assert kind.retry is (Retry.AFTER if by_itself else Retry.AFTER_BUT_NOT_BY_ITSELF)
    elif kind.status in (500, 502):
        assert kind.retry is Retry.CLIENT_DECIDES
    else:
        assert kind.retry is Retry.NEVER


def test_more_details_and_another_message_can_be_given() -> None:
    error = errors.InvalidRequest(
        reason="no", message="Other words.", param="top_p", details={"fields": [1]}
    )
    assert (error.message, error.param, error.details) == ("Other words.", "top_p", {"fields": [1]})
    given = errors.Overloaded(
        waiting=1, waiting_max=2, details={"waiting": 5, "more": True}, retry_after_s=2.5
    )
    assert given.details == {"waiting": 5, "waiting_max": 2, "more": True}
    assert given.retry_after_s == 2.5


def test_errors_do_not_share_their_details() -> None:
    errors.Overloaded(waiting=1, waiting_max=2).details["x"] = 1
    assert "x" not in errors.Overloaded(waiting=1, waiting_max=2).details


def test_braces_in_what_a_client_sent_are_no_places() -> None:
    assert errors.NotFound(path="/{path}/{0}").message.startswith(
        "There is nothing at /{path}/{0}."
    )


@pytest.mark.parametrize(
    ("upstream_status", "status"), [(400, 400), (404, 404), (429, 429), (499, 499), (500, 502)]
)
def test_a_4xx_of_an_upstream_keeps_its_status(upstream_status: int, status: int) -> None:
    error = errors.UpstreamError(reason="no", upstream_status=upstream_status)
    assert error.answer_status == status
    assert error.details["upstream_status"] == upstream_status


def test_an_upstream_that_answered_nothing_is_a_bad_gateway() -> None:
    error = errors.UpstreamError(reason="gone")
    assert error.answer_status == 502
    assert "upstream_status" not in error.details


@pytest.mark.requirement("timeout-error")
def test_a_timeout_names_its_clock_and_that_clock_s_length() -> None:
    error = errors.TimedOut(clock="first_token", limit_s=60.0)
    assert error.details == {"clock": "first_token", "limit_s": 60.0}
    assert "first_token clock of 60 s" in error.message
