"""Defaults that people rely on by heart."""

import dataclasses

import pytest

from rempart.settings.model import SECRETS, Model, Secrets, Settings


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


def test_no_secret_shows_when_settings_are_printed() -> None:
    """A log line, a traceback's locals, a failed assertion: settings end up in all of them."""
    settings = Settings(
        secrets=Secrets(master_key="hunter2-master"),
        models=[
            Model(
                name="far",
                kind="upstream",
                base_urls=["http://127.0.0.1:9000/v1"],
                api_key="hunter2-key",
                env={"HF_TOKEN": "hunter2-token"},
            )
        ],
    )
    for text in (repr(settings), str(settings), f"{settings.models[0]!r} {settings.secrets}"):
        assert "hunter2" not in text
    assert "far" in repr(settings)


def test_every_secret_setting_is_left_out_of_its_repr() -> None:
    shown = {
        f"{section}.{one.name}": one.repr
        for section, kind in (("secrets", Secrets), ("models", Model))
        for one in dataclasses.fields(kind)
    }
    assert {name for name, is_shown in shown.items() if not is_shown} == SECRETS
