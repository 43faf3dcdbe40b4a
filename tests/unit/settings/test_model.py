"""Defaults that people rely on by heart."""

import pytest

from rempart.settings.model import Settings


@pytest.mark.requirement("timeout-default")
def test_a_request_has_60_seconds_and_a_stream_60_to_its_first_token_and_between_two_chunks() -> (
    None
):
    clocks = Settings().deadline
    assert (clocks.unstreamed_s, clocks.first_token_s, clocks.silence_s) == (60.0, 60.0, 60.0)
    assert clocks.queue_s <= clocks.first_token_s
    assert clocks.total_s == 600.0


@pytest.mark.requirement("logs")
def test_the_log_is_where_it_always_was_and_holds_no_prompts() -> None:
    logs = Settings().logs
    assert logs.file == "logs/api.log"
    assert not logs.prompts


def test_nobody_but_this_machine_is_served_unless_asked_for() -> None:
    server = Settings().server
    assert server.host == server.control_host == "127.0.0.1"
