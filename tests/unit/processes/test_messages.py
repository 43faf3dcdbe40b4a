"""Messages between processes: each end reads exactly what it may be sent, and secrets do not show."""

from typing import Any

import msgspec
import pytest

from rempart.domain.keys import StoredKey
from rempart.domain.peppers import Pepper
from rempart.processes import messages
from rempart.runners import interface

PEPPER = Pepper("abcd", b"hunter2-pepper")
WELCOME = messages.Welcome(
    settings=b'{"secrets": {"master_key": "hunter2"}}',
    name="worker-1",
    generation=3,
    run_dir="/r",
    log_file="",
    peppers=[PEPPER],
    admin_key=StoredKey(id="admin", digest=b"hunter2-digest", scopes=frozenset({"metrics"})),
    started_at_s=1.5,
)
FROM_MAIN: list[Any] = [
    WELCOME,
    messages.Published(generation=1, accepting=True, models=[]),
    messages.NewPeppers(peppers=[PEPPER]),
    messages.Drain(grace_s=1.0),
    messages.Stop(grace_s=1.0),
    messages.ReopenLog(),
    messages.Answer(number=1, lines=["a"]),
    interface.SlotRefused(ticket=1, code="overloaded"),
    interface.SlotPlace(ticket=1, place=2, predicted_wait_s=0.5),
]
TO_MAIN: list[Any] = [
    messages.Ready(),
    messages.Heartbeat(in_flight=4),
    messages.Drained(),
    messages.Ask(number=1, act="logs", model="demo", count=10),
    interface.SlotWanted(ticket=1, model="demo", deadline_s=2.0),
    interface.SlotLeft(ticket=1),
    interface.SlotReleased(ticket=1, cancelled=True, settle_s=0.1),
    interface.EnsureReady(model="demo"),
]


@pytest.mark.parametrize(
    ("union", "message"),
    [(messages.FromMain, one) for one in FROM_MAIN] + [(messages.ToMain, one) for one in TO_MAIN],
    ids=lambda value: type(value).__name__,
)
def test_a_message_arrives_as_it_was_sent(union: Any, message: Any) -> None:
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=union)
    assert found == message
    assert type(found) is type(message)


@pytest.mark.parametrize("message", [*FROM_MAIN, *TO_MAIN], ids=lambda one: type(one).__name__)
def test_no_end_reads_what_only_the_other_may_be_sent(message: Any) -> None:
    other = messages.ToMain if message in FROM_MAIN else messages.FromMain
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=other)


def test_a_welcome_shows_none_of_its_secrets() -> None:
    for text in (repr(WELCOME), str(WELCOME), f"{[WELCOME]}"):
        assert "hunter2" not in text
        assert "worker-1" in text
