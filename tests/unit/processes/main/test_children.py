"""The children of main: the dead are replaced, the silent are ended, and none is forgotten."""

import asyncio
import os
import signal
from typing import Any

import pytest

from rempart.processes.main import children as module
from rempart.processes.main.child import Child
from rempart.telemetry import cells

MakeFamily = Any  # of this folder's conftest


def test_a_dead_worker_is_replaced_and_what_it_counted_stays(family: MakeFamily) -> None:
    async def body() -> None:
        async with family("accept") as one:
            await one.ready()
            first = one.worker
            assert await one.answered_by() == "worker-1"
            first.signal(signal.SIGKILL)
            await one.until(lambda: one.names == {"worker-2"} and one.worker.is_ready)
            assert await one.answered_by() == "worker-2"
            assert one.gone == [1]
            assert one.counted("lives_total") == 2
            assert one.counted('rempart_worker_restarts_total{process="worker"}') == 1
            assert not list((one.folder / "metrics").glob("worker-1.*"))
            (died,) = one.events("process_died")
            assert (died["name"], died["status"]) == ("worker-1", -9)

    asyncio.run(body())


def test_gauges_of_the_dead_are_forgotten(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GAUGES", frozenset({"in_flight"}))

    async def body() -> None:
        async with family() as one:
            await one.ready(2)
            assert one.counted("in_flight") == 2
            one.children.workers()[0].signal(signal.SIGKILL)
            await one.until(lambda: len(one.gone) == 1 and one.children.newest_is_ready())
            assert one.counted("in_flight") == 2
            assert one.counted("lives_total") == 3

    asyncio.run(body())


def test_a_worker_without_a_sign_of_life_is_killed_and_replaced(family: MakeFamily) -> None:
    async def body() -> None:
        async with family(heartbeat_s=0.5) as one:
            await one.ready()
            silent = one.worker
            os.kill(silent.pid, signal.SIGSTOP)
            await one.until(lambda: one.names == {"worker-2"} and one.worker.is_ready)
            (line,) = one.events("worker_silent")
            assert line["name"] == "worker-1"
            assert line["silent_s"] >= 0.5
            await asyncio.sleep(1.2)  # one that gives signs of life is left alone
            assert one.names == {"worker-2"}

    asyncio.run(body())


def test_a_worker_that_never_becomes_ready_is_replaced(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_S_MAX", 0.6)

    async def body() -> None:
        async with family("mute", heartbeat_s=0.2) as one:
            await one.children.start_generation(1)
            await one.until(lambda: "worker-2" in one.names)
            (line, *_) = one.events("worker_silent")
            assert line["silent_s"] >= 0.6
            assert not await one.children.until_ready(0.05)

    asyncio.run(body())


def test_a_crash_loop_is_slowed_down_and_a_long_life_forgives(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause doubles to its bound; also after a life that was long, the next crash has a pause."""
    monkeypatch.setattr(module, "RESPAWN_FIRST_S", 0.02)
    monkeypatch.setattr(module, "RESPAWN_LONGEST_S", 0.1)

    async def body() -> None:
        async with family("crash") as one:
            await one.children.start_generation(1)
            await one.until(lambda: len(one.events("process_died")) >= 6)
            pauses = [line["replaced_in_s"] for line in one.events("process_died")]
            assert pauses[:6] == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]
            monkeypatch.setattr(module, "STABLE_S", 0.0)
            count = len(one.events("process_died"))
            await one.until(lambda: len(one.events("process_died")) > count)
            monkeypatch.setattr(module, "STABLE_S", 10.0)
            await one.until(lambda: len(one.events("process_died")) > count + 3)
            after = [line["replaced_in_s"] for line in one.events("process_died")][count:]
            assert after[0] == 0.0
            assert 0.02 in after[1:3]

    asyncio.run(body())


def test_control_s_long_pause_keeps_no_worker_from_coming_back(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESPAWN_FIRST_S", 60.0)
    monkeypatch.setattr(module, "RESPAWN_LONGEST_S", 60.0)

    async def body() -> None:
        async with family() as one:
            await one.ready()
            await one.children.start_control()
            control = next(c for c in one.children.alive.values() if c.name == "control")
            control.signal(signal.SIGKILL)
            await one.until(lambda: len(one.events("process_died")) == 1)
            monkeypatch.setattr(module, "STABLE_S", 0.0)
            one.worker.signal(signal.SIGKILL)
            await one.until(lambda: one.names == {"worker-3"} and one.worker.is_ready)

    asyncio.run(body())


def test_a_dead_control_is_replaced_and_no_request_s_slot_is_touched(family: MakeFamily) -> None:
    async def body() -> None:
        async with family() as one:
            await one.children.start_control()
            await one.until(lambda: one.heard)
            (first,) = one.children.alive.values()
            assert one.children.workers() == []
            first.signal(signal.SIGKILL)
            await one.until(lambda: len(one.heard) == 2)
            (second,) = one.children.alive.values()
            assert (second.name, second.number) == ("control", 2)
            assert one.gone == []
            assert one.counted('rempart_worker_restarts_total{process="control"}') == 1

    asyncio.run(body())


def test_a_control_that_was_asked_to_go_is_no_death(family: MakeFamily) -> None:
    async def body() -> None:
        async with family() as one:
            await one.children.start_control()
            await one.until(lambda: one.heard)
            one.children.restart_control()
            await one.until(lambda: [c.number for c in one.children.alive.values()] == [2])
            assert one.events("process_died") == []
            assert one.counted('rempart_worker_restarts_total{process="control"}') == 0

    asyncio.run(body())


def test_a_new_generation_serves_before_the_old_one_drains(family: MakeFamily) -> None:
    async def body() -> None:
        async with family("accept") as one:
            await one.ready(2)
            await one.ready(2)
            assert one.names == {f"worker-{number}" for number in (1, 2, 3, 4)}
            one.children.drain_older(5.0)
            await one.until(lambda: one.names == {"worker-3", "worker-4"})
            assert one.events("process_died") == []
            assert {line["status"] for line in one.events("process_ended")} == {0}
            assert sorted(one.gone) == [1, 2]
            assert await one.answered_by() in one.names

    asyncio.run(body())


def test_at_most_two_generations_live(family: MakeFamily) -> None:
    async def body() -> None:
        async with family("deaf") as one:
            for _ in range(3):
                await one.ready()
                one.children.drain_older(60.0)
            await one.until(lambda: one.names == {"worker-2", "worker-3"})
            (line,) = one.events("worker_ended")
            assert line["name"] == "worker-1"
            assert one.events("process_died") == []

    asyncio.run(body())


def test_a_generation_that_does_not_come_up_leaves_the_old_one_in_charge(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with family() as one:
            await one.ready(2)
            monkeypatch.setenv("STAND_IN", "mute")
            await one.children.start_generation(3)
            assert not await one.children.until_ready(0.1)
            one.children.drop_newest()
            await one.until(lambda: one.names == {"worker-1", "worker-2"})
            assert one.children.newest_is_ready()
            monkeypatch.setenv("STAND_IN", "")
            one.children.workers()[0].signal(signal.SIGKILL)  # and its number is made up for
            await one.until(lambda: one.names == {"worker-2", "worker-6"})
            await one.ready(1)
            assert one.children.generation == 3

    asyncio.run(body())


def test_a_worker_that_died_while_the_newest_came_up_in_vain_is_replaced(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would notice that it is missing, and with one worker nobody would serve."""

    async def body() -> None:
        async with family() as one:
            await one.ready()
            monkeypatch.setenv("STAND_IN", "mute")
            await one.children.start_generation(1)
            (first,) = one.children.workers(1)
            first.signal(signal.SIGKILL)
            await one.until(lambda: one.names == {"worker-2"})
            await asyncio.sleep(
                0.2
            )  # longer than the pause before its replacement, which is not wanted
            assert one.names == {"worker-2"}
            monkeypatch.setenv("STAND_IN", "")
            one.children.drop_newest()
            await one.until(lambda: one.names == {"worker-3"} and one.worker.is_ready)

    asyncio.run(body())


def test_stopping_tells_all_and_replaces_none(family: MakeFamily) -> None:
    async def body() -> None:
        async with family() as one:
            await one.ready(2)
            await one.children.start_control()
            one.children.stop(5.0)
            assert await one.children.until_gone(15.0)
            await asyncio.sleep(0.2)
            assert one.names == set()
            assert one.events("process_died") == []
            assert len(one.events("process_ended")) == 3

    asyncio.run(body())


def test_waiting_for_the_end_has_a_bound_and_may_leave_control_out(family: MakeFamily) -> None:
    async def body() -> None:
        async with family("deaf") as one:
            await one.children.start_control()
            assert await one.children.until_gone(5.0, workers_only=True)
            assert not await one.children.until_gone(0.05)
            one.children.kill()
            assert await one.children.until_gone(10.0)

    asyncio.run(body())


def test_a_child_that_is_started_while_all_are_told_to_stop_is_ended_too(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Child.start

    async def body() -> None:
        async with family("deaf") as one:

            async def start_late(child: Child, *arguments: Any) -> None:
                await start(child, *arguments)
                one.children.stop(60.0)

            monkeypatch.setattr(Child, "start", start_late)
            await one.children.start_generation(1)
            assert await one.children.until_gone(10.0)

    asyncio.run(body())


def test_a_process_that_cannot_be_started_is_tried_again(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory or no process id to be had must not end main."""
    start = Child.start
    failures = iter(range(3))

    async def refuse(child: Child, *arguments: Any) -> None:
        if next(failures, None) is not None:
            raise OSError(11, "Resource temporarily unavailable")
        await start(child, *arguments)

    monkeypatch.setattr(Child, "start", refuse)
    monkeypatch.setattr(module, "RESPAWN_FIRST_S", 0.01)

    async def body() -> None:
        async with family() as one:
            await one.ready()
            assert one.names == {"worker-4"}
            assert len(one.events("process_not_started")) == 3

    asyncio.run(body())


def test_a_full_disk_does_not_keep_the_dead_from_being_replaced(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had counted stays where it is, and counts."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    async def body() -> None:
        async with family() as one:
            await one.ready()
            monkeypatch.setattr(cells, "fold", full)
            one.worker.signal(signal.SIGKILL)
            await one.until(lambda: one.names == {"worker-2"} and one.worker.is_ready)
            assert one.counted("lives_total") == 2
            assert [line["name"] for line in one.events("counts_not_folded")] == ["worker-1"]

    asyncio.run(body())


def test_many_lives_leave_no_descriptor(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STABLE_S", 0.0)  # so that none waits

    async def body() -> None:
        async with family() as one:
            await one.ready()
            before = len(os.listdir("/proc/self/fd"))
            for number in range(2, 7):
                one.worker.signal(signal.SIGKILL)
                await one.until(lambda name=f"worker-{number}": one.names == {name})
                await one.until(lambda: one.worker.is_ready)
            assert len(os.listdir("/proc/self/fd")) == before
            assert one.counted("lives_total") == 6

    asyncio.run(body())


def test_what_children_say_is_handed_on_but_their_signs_of_life(family: MakeFamily) -> None:
    async def body() -> None:
        async with family() as one:
            await one.ready()
            await one.until(lambda: one.worker.in_flight == 1)
            one.children.stop(5.0)
            assert await one.children.until_gone(10.0)
            assert [type(message).__name__ for _, message in one.heard] == ["Ready"]

    asyncio.run(body())
