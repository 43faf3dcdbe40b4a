"""What the owner of a model decides by itself; its runner's life is in test_supervisor.py."""

import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rempart.base.clock import SystemClock
from rempart.domain.models import RunnerState
from rempart.runners.interface import SlotGranted, SlotRefused
from rempart.runners.kinds.upstream import Upstream
from rempart.runners.lifecycle import Event, Phase
from rempart.runners.owner import FIELDS_OF_THE_QUEUE, Owner, World, touches_runner
from rempart.runners.places import Places
from rempart.runners.slots import Ticket
from rempart.settings.model import Model, Settings

FAR = Model(name="far", kind="upstream", base_urls=["http://127.0.0.1:1/v1"], slots=1)


class Kept:
    def __init__(self, folder: Path, model: Model = FAR) -> None:
        self.messages: list[Any] = []
        self.changes = 0
        self.events: list[tuple[str, dict[str, Any]]] = []
        world = World(
            clock=SystemClock(),
            random=random.Random(1),
            places=Places(folder / "run", folder),
            environment={},
            log_dir=folder / "logs",
            start_gate=None,  # type: ignore[arg-type]  # an upstream starts nothing
            spawn=lambda work, name: work.close(),
            deliver=lambda worker, message: self.messages.append(message),
            forget=lambda ticket: None,
            changed=self.on_change,
            event=lambda event, more: self.events.append((event, more)),
            ended=lambda *end: None,
        )
        self.owner = Owner(model, Upstream(), Settings(), world)

    def on_change(self, owner: Owner) -> None:
        self.changes += 1


def test_events_that_an_event_causes_are_handled_before_it_returns(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.owner.handle(Event.WANTED)
    assert kept.owner.phase is Phase.READY
    assert kept.changes == 2


def test_a_model_that_cannot_be_launched_fails_with_the_reason_and_refuses(tmp_path: Path) -> None:
    kept = Kept(tmp_path, replace(FAR, base_urls=[]))
    kept.owner.want(Ticket(1, 1), 1e12)
    (refused,) = kept.messages
    assert isinstance(refused, SlotRefused)
    assert (refused.code, "base_urls" in refused.reason) == ("model_unavailable", True)
    assert refused.retry_after_s == 30
    assert kept.owner.status().state is RunnerState.FAILED
    assert kept.owner.status().reason == refused.reason
    assert [event for event, _ in kept.events] == ["runner_given_up"]


def test_a_state_that_begins_anew_has_its_own_time_and_no_old_reason(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    before = kept.owner.status().since_s
    kept.owner.handle(Event.LOAD)
    status = kept.owner.status()
    assert status.since_s >= before
    assert status.reason == ""
    assert [one.url for one in status.replicas] == ["http://127.0.0.1:1"]


def test_the_status_shows_who_is_served_and_who_waits(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for number in range(3):
        kept.owner.want(Ticket(1, number), 1e12)
    assert isinstance(kept.messages[0], SlotGranted)
    status = kept.owner.status()
    assert (status.slots, status.slots_busy, status.waiting) == (1, 1, 2)


def test_an_adjusted_bound_holds_at_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.owner.adjust(replace(FAR, queue_max=0))
    kept.owner.want(Ticket(1, 1), 1e12)
    kept.owner.want(Ticket(1, 2), 1e12)
    assert kept.messages[-1].code == "overloaded"


def test_only_settings_of_the_queue_leave_the_runner_alone() -> None:
    assert not touches_runner(FAR, replace(FAR))
    names = {field.name for field in fields(Model)}
    assert names >= FIELDS_OF_THE_QUEUE
    assert not touches_runner(FAR, replace(FAR, queue_max=1, pin=True, preload=True))
    assert touches_runner(FAR, replace(FAR, slots=2))
    assert touches_runner(FAR, replace(FAR, env={"A": "1"}))
