"""Runners as the supervisor keeps them: real processes with bad manners, and requests that want slots."""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.runner_processes import fake_command, is_alive, pids_in, until_async
from rempart.base.clock import SystemClock
from rempart.domain.errors import ModelNotFound, ModelUnavailable, ShuttingDown
from rempart.domain.models import Abilities, ModelStatus, RunnerState
from rempart.runners import probe
from rempart.runners.interface import SlotGranted, SlotPlace, SlotRefused
from rempart.runners.kinds.command import Command
from rempart.runners.kinds.interface import Launch, Liveness, Place, RunnerKind
from rempart.runners.kinds.upstream import Upstream
from rempart.runners.supervisor import Supervisor
from rempart.settings.model import Model, Restarts, Settings, Shutdown

FOREVER = 1e12
QUICK = Restarts(first_s=0.01, longest_s=0.05, crashes_max=3, window_s=300)


class Watched(Command):
    """The command kind with a liveness that suits tests."""

    def __init__(self, *, reports_slots: bool = False) -> None:
        self._reports_slots = reports_slots

    def abilities(self, model: Model) -> Abilities:
        return Abilities(reports_slots=self._reports_slots)

    def launch(self, model: Model, place: Place) -> Launch:
        launch = super().launch(model, place)
        return replace(launch, liveness=Liveness(every_s=0.1, failures=3, failures_busy=1000))


def fake(*switches: str | Path, name: str = "m", **more: Any) -> Model:
    command = [*fake_command("--port", "{port}", *switches)]
    return Model(name=name, kind="command", command=command, **({"stop_s": 0.3} | more))


class FullPauses(random.Random):
    """Chance without jitter: pauses are as long as they may be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Bench:
    """A supervisor with ears: all that it says is kept."""

    def __init__(
        self,
        data_dir: Path,
        *models: Model,
        kinds: dict[str, RunnerKind] | None = None,
        **more: Any,
    ) -> None:
        self.settings = Settings(
            models=list(models), data_dir=str(data_dir), **({"restarts": QUICK} | more)
        )
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.messages: list[tuple[int, Any]] = []
        self.published: list[list[ModelStatus]] = []
        self.ended: list[tuple[str, str, int, int, bool]] = []
        self.supervisor = Supervisor(
            settings=self.settings,
            clock=SystemClock(),
            random=FullPauses(1),
            run_dir=data_dir / "run",
            publish=self.published.append,
            deliver=lambda worker, message: self.messages.append((worker, message)),
            on_event=lambda event, fields: self.events.append((event, fields)),
            on_ended=lambda *end: self.ended.append(end),
            environment={"PATH": os.environ["PATH"], "SECRET": "s3cret"},
            kinds=kinds or {"command": Watched(), "upstream": Upstream()},
        )

    def status(self, model: str = "m") -> ModelStatus:
        return next(one for one in self.supervisor.statuses() if one.name == model)

    def names(self) -> list[str]:
        return [event for event, _ in self.events]

    def reasons(self, event: str) -> list[str]:
        return [fields["reason"] for name, fields in self.events if name == event]

    def answers(self, ticket: int, worker: int = 1) -> list[Any]:
        return [one for to, one in self.messages if to == worker and one.ticket == ticket]

    def granted(self, ticket: int, worker: int = 1) -> SlotGranted | None:
        found = [one for one in self.answers(ticket, worker) if isinstance(one, SlotGranted)]
        return found[0] if found else None

    def want(self, ticket: int, model: str = "m", worker: int = 1) -> None:
        self.supervisor.slot_wanted(worker, ticket, model, FOREVER)

    async def until(self, state: RunnerState, model: str = "m") -> ModelStatus:
        await until_async(
            lambda: self.status(model).state is state, f"{model} is {state}; {self.events}"
        )
        return self.status(model)

    async def until_event(self, event: str, count: int = 1) -> None:
        await until_async(lambda: self.names().count(event) >= count, f"{event}; {self.events}")


def with_bench(bench: Bench, body: Callable[[Bench], Awaitable[None]]) -> None:
    """Run the body beside the supervisor, and have everything ended afterwards."""

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.supervisor.run())
            await asyncio.sleep(0)
            try:
                await body(bench)
            finally:
                await bench.supervisor.stop(5.0)

    asyncio.run(run())


async def pid_of(bench: Bench, model: str = "m") -> int:
    """The runner's own process id, as it answers."""
    replica = bench.status(model).replicas[0]
    answer = await probe.get(replica.url, "/health", timeout_s=20)
    return int(answer.body.split(b'"pid": ')[1].rstrip(b"}"))


# Starting and ending.


def test_a_model_is_started_by_the_first_request_and_ended_by_unload(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        assert bench.status().state is RunnerState.STOPPED
        bench.want(1)
        assert bench.status().state is RunnerState.STARTING
        (place,) = bench.answers(1)
        assert isinstance(place, SlotPlace)
        assert place.place == 1
        await bench.until(RunnerState.READY)
        granted = bench.granted(1)
        assert granted is not None
        assert granted.slot_wait_s > 0
        assert granted.replica == bench.status().replicas[0]
        pid = await pid_of(bench)
        assert is_alive(pid)
        bench.supervisor.slot_released(1, 1, cancelled=False)
        await bench.supervisor.unload("m")
        assert not is_alive(pid)
        assert bench.status().state is RunnerState.STOPPED
        assert bench.status().replicas == []

    bench = Bench(tmp_path, fake())
    with_bench(bench, body)
    assert bench.names() == ["runner_started", "runner_ready", "runner_stopped"]


def test_what_is_to_be_preloaded_is_loaded_at_once_and_published(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.until(RunnerState.READY)
        assert bench.status("other").state is RunnerState.STOPPED
        await until_async(lambda: bool(bench.published[-1][0].replicas), "it is published")
        states = [status[0].state for status in bench.published]
        assert states[0] is RunnerState.STARTING
        assert bench.published[-1][0].replicas[0].url.startswith("http://127.0.0.1:")
        assert bench.published[-1][0].facts.context_length == 512
        assert (bench.published[-1][0].facts.memory_bytes or 0) > 1024 * 1024

    with_bench(Bench(tmp_path, fake(preload=True), fake(name="other")), body)


def test_it_is_not_ready_while_health_says_503(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.until_event("runner_started")
        await until_async(lambda: "listens" in " ".join(bench.supervisor.log_lines("m", 9)), "up")
        assert bench.status().state is RunnerState.STARTING
        await bench.until(RunnerState.READY)

    with_bench(Bench(tmp_path, fake("--loading-s", "0.5", preload=True)), body)


def test_a_program_without_health_is_ready_by_its_models(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.until(RunnerState.READY)

    with_bench(Bench(tmp_path, fake("--no-health", preload=True)), body)


def test_one_that_is_never_ready_is_ended_and_given_up_with_that_reason(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        status = await bench.until(RunnerState.FAILED)
        assert "not ready within 0.2 s" in status.reason
        assert "3 times within 300 s" in status.reason

    with_bench(Bench(tmp_path, fake("--loading-s", "60", preload=True, start_s=0.2)), body)


def test_a_deaf_runner_is_killed_when_it_is_unloaded(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def body(bench: Bench) -> None:
        await bench.until(RunnerState.READY)
        await bench.supervisor.unload("m")
        assert len(pids_in(pids)) == 2
        assert not any(is_alive(pid) for pid in pids_in(pids))

    switches = ("--deaf", "--fork", "daemon", "--pids", pids)
    with_bench(Bench(tmp_path, fake(*switches, preload=True)), body)


def test_unloading_lets_what_runs_finish_and_a_request_meanwhile_starts_it_again(
    tmp_path: Path,
) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        await bench.until(RunnerState.READY)
        async with asyncio.TaskGroup() as tasks:
            unloading = tasks.create_task(bench.supervisor.unload("m"))
            await bench.until(RunnerState.DRAINING)
            bench.want(2)
            assert bench.granted(2) is None
            bench.supervisor.slot_released(1, 1, cancelled=False)
            await until_async(lambda: bench.granted(2) is not None, "it is served again")
            first, second = bench.granted(1), bench.granted(2)
            assert first is not None
            assert second is not None
            assert first.replica.id != second.replica.id
            unloading.cancel()

    with_bench(Bench(tmp_path, fake()), body)


def test_draining_has_a_bound(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        await bench.until(RunnerState.READY)
        await bench.supervisor.unload("m")
        assert bench.status().slots_busy == 0
        bench.supervisor.slot_released(1, 1, cancelled=True)

    with_bench(Bench(tmp_path, fake(), shutdown=Shutdown(grace_s=0.1)), body)


def test_restart_gives_a_new_process(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        before = await pid_of(bench)
        await bench.supervisor.restart("m")
        assert await pid_of(bench) != before
        assert not is_alive(before)
        assert bench.status().restarts == 0

    with_bench(Bench(tmp_path, fake()), body)


# Crashes.


@pytest.mark.requirement("runner-crash")
def test_a_killed_runner_is_back_and_those_who_wait_are_served(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        bench.want(2)
        await bench.until(RunnerState.READY)
        os.kill(await pid_of(bench), signal.SIGKILL)
        await bench.until_event("runner_exited")
        await until_async(lambda: bench.granted(2) is not None, "the waiter has a slot")
        assert bench.status().restarts == 1
        assert bench.status().slots_busy == 1
        # The grant of the first went with its runner; that it is released changes nothing.
        bench.supervisor.slot_released(1, 1, cancelled=True)
        assert bench.status().slots_busy == 1
        assert "SIGKILL" in bench.reasons("runner_exited")[0]

    bench = Bench(tmp_path, fake(slots=1))
    with_bench(bench, body)
    assert "runner_restarting" in bench.names()


@pytest.mark.requirement("runner-crash")
def test_a_crash_loop_is_given_up_with_its_reason_until_an_operator_loads_it(
    tmp_path: Path,
) -> None:
    fixed = tmp_path / "fixed"

    async def body(bench: Bench) -> None:
        bench.want(1)
        status = await bench.until(RunnerState.FAILED)
        assert status.reason == (
            "its runner crashed 3 times within 300 s; the last time it exited with status 7"
        )
        assert bench.reasons("runner_given_up") == [status.reason]
        refused = bench.answers(1)[-1]
        assert isinstance(refused, SlotRefused)
        assert (refused.code, refused.reason) == ("model_unavailable", status.reason)
        bench.want(2)
        assert bench.answers(2)[0].code == "model_unavailable"
        assert bench.status().state is RunnerState.FAILED
        with pytest.raises(ModelUnavailable, match="crashed 3 times"):
            await bench.supervisor.load("m")
        fixed.touch()
        await bench.supervisor.load("m")
        assert bench.status().reason == ""

    switches = ("--exit-unless", fixed, "--exit-status", "7")
    with_bench(Bench(tmp_path, fake(*switches)), body)


def test_only_the_time_in_which_it_served_brings_the_pause_back_to_the_first(
    tmp_path: Path,
) -> None:
    present = tmp_path / "present"
    present.touch()

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        present.unlink()
        await asyncio.sleep(0.1)  # longer than longest_s: it has served for a while
        os.kill(await pid_of(bench), signal.SIGKILL)
        await bench.until(RunnerState.FAILED)
        pauses = [fields["pause_s"] for name, fields in bench.events if name == "runner_restarting"]
        assert pauses == [0.01, 0.02, 0.04]

    restarts = Restarts(first_s=0.01, longest_s=0.05, crashes_max=4)
    bench = Bench(tmp_path, fake("--exit-unless", present), restarts=restarts)
    with_bench(bench, body)


def test_what_a_runner_says_of_its_failure_is_the_reason(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        status = await bench.until(RunnerState.FAILED)
        assert "the last time no such layer (it exited with status 1)" in status.reason

    with_bench(Bench(tmp_path, fake("--fail-reason", "no such layer", preload=True)), body)


def test_a_program_that_is_not_there_fails_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        status = bench.status()
        assert status.state is RunnerState.FAILED
        assert "no-such-program" in status.reason
        assert bench.answers(1)[0].code == "model_unavailable"

    model = Model(name="m", kind="command", command=["no-such-program", "{port}"])
    with_bench(Bench(tmp_path, model), body)


def test_a_runner_that_hangs_is_restarted(tmp_path: Path) -> None:
    hang = tmp_path / "hang"

    async def body(bench: Bench) -> None:
        await bench.until(RunnerState.READY)
        before = await pid_of(bench)
        hang.touch()
        await bench.until_event("runner_unhealthy")
        hang.unlink()
        await bench.until_event("runner_ready", 2)
        assert not is_alive(before)
        assert "3 probes in a row failed" in bench.reasons("runner_unhealthy")[0]
        assert bench.reasons("runner_exited") == bench.reasons("runner_unhealthy")
        os.kill(await pid_of(bench), signal.SIGKILL)
        await bench.until_event("runner_exited", 2)
        assert "SIGKILL" in bench.reasons("runner_exited")[1]

    with_bench(Bench(tmp_path, fake("--hang-when", hang, preload=True)), body)


def test_silence_while_it_serves_is_borne_where_the_kind_says_so(tmp_path: Path) -> None:
    hang = tmp_path / "hang"

    async def body(bench: Bench) -> None:
        bench.want(1)
        await bench.until(RunnerState.READY)
        before = await pid_of(bench)
        hang.touch()
        await asyncio.sleep(1.0)
        assert "runner_unhealthy" not in bench.names()
        bench.supervisor.slot_released(1, 1, cancelled=False)
        await bench.until_event("runner_unhealthy")
        hang.unlink()
        await until_async(lambda: not is_alive(before), "it is ended")

    with_bench(Bench(tmp_path, fake("--hang-when", hang)), body)


@pytest.mark.requirement("memory-stable")
def test_one_that_takes_too_much_memory_is_restarted_with_that_reason(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.until_event("runner_unhealthy")
        reason = bench.reasons("runner_unhealthy")[0]
        assert reason.startswith("it used ")
        assert reason.endswith("above memory_max of 60MiB")
        await bench.until_event("runner_restarting")

    switches = ("--eat-mib", "80", "--eat-in-child")
    with_bench(Bench(tmp_path, fake(*switches, preload=True, memory_max="60MiB")), body)


# Slots.


@pytest.mark.requirement("problem-concurrency")
def test_grants_never_exceed_the_slots_over_all_workers(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        for worker in (1, 2):
            for ticket in (1, 2):
                bench.want(ticket, worker=worker)
        given = [(w, t) for w in (1, 2) for t in (1, 2) if bench.granted(t, w)]
        assert given == [(1, 1), (1, 2)]
        assert bench.status().slots == 2
        assert bench.status().waiting == 2
        bench.supervisor.slot_left(2, 1)
        bench.supervisor.slot_released(1, 1, cancelled=False)
        assert bench.granted(2, worker=2) is not None
        bench.supervisor.worker_gone(2)
        bench.supervisor.worker_gone(1)
        await until_async(lambda: bench.status().slots_busy == 0, "all slots have settled")

    with_bench(Bench(tmp_path, fake(slots=2)), body)


def test_a_full_queue_says_how_many_wait(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        for ticket in range(3):
            bench.want(ticket)
        (refused,) = bench.answers(2)
        assert isinstance(refused, SlotRefused)
        assert (refused.code, refused.waiting, refused.waiting_max) == ("overloaded", 1, 1)
        assert refused.retry_after_s > 0
        bench.want(2)
        assert len(bench.answers(2)) == 2

    with_bench(Bench(tmp_path, fake(slots=1, queue_max=1)), body)


def test_a_ticket_that_is_used_twice_is_told_and_changes_nothing(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        bench.want(1)
        assert "slot_wanted_twice" in bench.names()
        assert bench.status().waiting == 1

    with_bench(Bench(tmp_path, fake()), body)


def test_a_runner_that_reports_frees_a_slot_by_its_word(tmp_path: Path) -> None:
    kinds: dict[str, RunnerKind] = {"command": Watched(reports_slots=True)}

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        bench.want(1)
        bench.want(2)
        first = bench.granted(1)
        assert first is not None
        await hang_up(first, after_chunks=1)
        bench.supervisor.slot_released(1, 1, cancelled=True)
        assert bench.granted(2) is None
        await until_async(lambda: bench.granted(2) is not None, "the runner says it is free")
        ((model, grant, prompt_tokens, completion_tokens, cancelled),) = bench.ended
        assert (model, grant, prompt_tokens, cancelled) == ("m", first.grant, 5, True)
        assert 1 <= completion_tokens < 1000
        assert bench.status().facts.context_length == 2048

    switches = ("--slots", "1", "--tokens", "1000", "--pace-s", "0.02", "--rubbish")
    bench = Bench(tmp_path, fake(*switches, slots=1), kinds=kinds)
    with_bench(bench, body)
    malformed = [fields for name, fields in bench.events if name == "runner_status_malformed"]
    assert [one["line"] for one in malformed] == ["this is no JSON", '{"event": "unheard of"}']


async def hang_up(granted: SlotGranted, after_chunks: int) -> None:
    """Ask the granted replica for a stream, and close the connection in its middle."""
    host, port = granted.replica.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"stream": true}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nx-rempart-grant: {granted.grant}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(after_chunks):
        await reader.readuntil(b"\n\n")
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def test_a_slot_that_is_never_free_again_recycles_the_runner(tmp_path: Path) -> None:
    kinds: dict[str, RunnerKind] = {"command": Watched(reports_slots=True)}

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        before = await pid_of(bench)
        bench.want(1)
        bench.want(2)
        first = bench.granted(1)
        assert first is not None
        await hang_up(first, after_chunks=1)
        bench.supervisor.slot_released(1, 1, cancelled=True)
        await bench.until_event("runner_recycled")
        await until_async(lambda: bench.granted(2) is not None, "the waiter is served")
        assert await pid_of(bench) != before

    switches = ("--slots", "1", "--tokens", "1000", "--pace-s", "0.02", "--slow-end-s", "600")
    with_bench(Bench(tmp_path, fake(*switches, slots=1, settle_s=0.3), kinds=kinds), body)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1, "other")
        assert bench.answers(1)[0].code == "model_not_found"
        with pytest.raises(ModelNotFound):
            await bench.supervisor.load("other")
        assert bench.supervisor.log_lines("other", 5) == []

    with_bench(Bench(tmp_path, fake()), body)


# Upstreams.


def test_an_upstream_is_ready_at_once_with_a_replica_per_address(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:1/v1", "https://far.example/openai/v1"]
    model = Model(
        name="m", kind="upstream", base_urls=urls, api_key="k3y", upstream_name="far", slots=3
    )

    async def body(bench: Bench) -> None:
        for ticket in range(4):
            bench.want(ticket)
        assert bench.status().state is RunnerState.READY
        one, two = bench.status().replicas
        assert (one.url, one.base_path, one.api_key) == ("http://127.0.0.1:1", "/v1", "k3y")
        assert (two.url, two.base_path, two.upstream_name) == (
            "https://far.example", "/openai/v1", "far",
        )  # fmt: skip
        given = [bench.granted(ticket) for ticket in range(3)]
        assert [one.replica.id if one else "" for one in given].count(one.id) == 2
        assert bench.granted(3) is None
        assert "k3y" not in repr(bench.status()) + repr(bench.events)
        async with asyncio.TaskGroup() as tasks:
            unloading = tasks.create_task(bench.supervisor.unload("m"))
            await bench.until(RunnerState.DRAINING)
            for ticket in range(3):
                bench.supervisor.slot_released(1, ticket, cancelled=False)
            await unloading

    with_bench(Bench(tmp_path, model), body)


def test_an_upstream_without_slots_has_no_bound(tmp_path: Path) -> None:
    model = Model(name="m", kind="upstream", base_urls=["http://127.0.0.1:1/v1"])

    async def body(bench: Bench) -> None:
        for ticket in range(50):
            bench.want(ticket)
        assert all(bench.granted(ticket) for ticket in range(50))
        assert bench.status().slots == 0

    with_bench(Bench(tmp_path, model), body)


# Another configuration.


def test_an_unchanged_model_keeps_its_runner_and_one_that_is_gone_loses_it(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        await bench.supervisor.load("b")
        kept, gone = await pid_of(bench), await pid_of(bench, "b")
        bench.want(1, "b")
        bench.want(2, "b")
        models = [replace(bench.settings.models[0], queue_max=1, preload=True), fake(name="c")]
        bench.supervisor.replace(replace(bench.settings, models=models))
        assert [one.name for one in bench.supervisor.statuses()] == ["m", "c"]
        assert bench.answers(2)[-1].code == "model_not_found"
        assert await pid_of(bench) == kept
        assert is_alive(gone)
        bench.supervisor.slot_released(1, 1, cancelled=False)
        await until_async(lambda: not is_alive(gone), "its runner has ended")
        bench.want(3, "b")
        assert bench.answers(3)[0].code == "model_not_found"

    with_bench(Bench(tmp_path, fake(), fake(name="b", slots=1)), body)


def test_a_changed_model_is_served_by_the_old_runner_until_the_new_one_is_ready(
    tmp_path: Path,
) -> None:
    asked_to_end = tmp_path / "asked"

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        before = await pid_of(bench)
        bench.want(1)
        bench.want(2)
        changed = fake("--loading-s", "0.5", slots=1)
        bench.supervisor.replace(replace(bench.settings, models=[changed]))
        assert bench.status().state is RunnerState.READY
        assert await pid_of(bench) == before
        # The one that waits goes over; the one that is served finishes where it is.
        await until_async(lambda: bench.granted(2) is not None, "the new one serves")
        for _ in range(20):
            assert await pid_of(bench) != before
        assert not asked_to_end.exists()
        bench.supervisor.slot_released(1, 1, cancelled=False)
        await until_async(lambda: not is_alive(before), "the old one has ended")
        assert bench.status().slots_busy == 1

    with_bench(Bench(tmp_path, fake("--deaf-but-notes", asked_to_end, slots=1)), body)


def test_a_model_that_changes_while_it_is_loaded_is_loaded_as_it_is_now(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.supervisor.load("m"))
            await bench.until_event("runner_started")
            bench.supervisor.replace(replace(bench.settings, models=[fake()]))
        assert bench.status().state is RunnerState.READY

    with_bench(Bench(tmp_path, fake("--loading-s", "600")), body)


def test_a_new_runner_that_cannot_start_leaves_the_old_one_serving(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        before = await pid_of(bench)
        broken = fake("--exit-at-once", "3")
        bench.supervisor.replace(replace(bench.settings, models=[broken]))
        await bench.until_event("runner_replacement_failed")
        assert await pid_of(bench) == before
        # And back: nothing is started for it.
        bench.supervisor.replace(bench.settings)
        assert await pid_of(bench) == before

    with_bench(Bench(tmp_path, fake()), body)


# The end.


def test_after_drain_nothing_starts_and_everyone_hears_why(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.want(1)
        bench.supervisor.drain()
        assert bench.answers(1)[-1].code == "shutting_down"
        bench.want(2)
        assert bench.answers(2)[-1].code == "shutting_down"
        bench.supervisor.ensure_ready("other")
        assert bench.status("other").state is RunnerState.STOPPED
        with pytest.raises(ShuttingDown):
            await bench.supervisor.load("other")

    with_bench(Bench(tmp_path, fake(), fake(name="other")), body)


def test_stop_ends_deaf_runners_within_its_time(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        bench.want(1)
        await bench.supervisor.stop(0.2)
        assert bench.supervisor.pids() == set()
        assert not any(is_alive(pid) for pid in pids_in(pids))

    switches = ("--deaf", "--fork", "chain", "--pids", pids)
    with_bench(Bench(tmp_path, fake(*switches, stop_s=600.0)), body)


def test_cancelled_instead_of_stopped_it_leaves_no_runner(tmp_path: Path) -> None:
    """As when another part of main fails."""
    pids = tmp_path / "pids"
    shims: set[int] = set()

    async def run() -> None:
        bench = Bench(tmp_path, fake("--pids", pids, preload=True))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bench.supervisor.run())
            await bench.until(RunnerState.READY)
            shims.update(bench.supervisor.pids())
            running.cancel()

    asyncio.run(run())
    for pid in shims:
        os.waitpid(pid, 0)
    assert not any(is_alive(pid) for pid in pids_in(pids))


def test_what_an_earlier_server_left_is_ended_before_anything_starts(tmp_path: Path) -> None:
    async def run() -> None:
        left = await asyncio.create_subprocess_exec(
            *fake_command("--port", "0"),
            env={"REMPART_RUN_DIR": str(tmp_path / "run")},
            stdout=asyncio.subprocess.DEVNULL,
        )
        other = await asyncio.create_subprocess_exec(
            *fake_command("--port", "0"),
            env={"REMPART_RUN_DIR": str(tmp_path / "another")},
            stdout=asyncio.subprocess.DEVNULL,
        )
        bench = Bench(tmp_path, fake())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.supervisor.run())
            assert await left.wait() == -signal.SIGKILL
            assert bench.names() == ["orphan_ended"]
            assert is_alive(other.pid)
            await bench.supervisor.stop(1)
        other.kill()
        await other.wait()

    asyncio.run(run())


# Secrets and files.


def test_its_log_is_kept_in_memory_and_in_a_file_of_its_own(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        lines = bench.supervisor.log_lines("m", 50)
        assert any("fake runner" in line for line in lines)
        environment = next(line for line in lines if line.startswith("environment"))
        assert "s3cret" not in environment
        assert '"MINE": "yes"' in environment
        assert "REMPART_RUN_DIR" in environment

    model = fake("--print-environment", env={"MINE": "yes"})
    with_bench(Bench(tmp_path, model), body)
    written = (tmp_path / "logs" / "runner-m.log").read_text()
    assert "fake runner ends by itself" in written


class WithFiles(Watched):
    """Writes a file with a secret, and says that the runner makes a socket."""

    def launch(self, model: Model, place: Place) -> Launch:
        launch = super().launch(model, place)
        path = place.run_dir / f"{place.name}.json"
        socket = place.run_dir / f"{place.name}.sock"
        socket.touch()
        return replace(launch, files={path: place.key}, sockets=(socket,))


def test_thirty_starts_leave_no_descriptor_and_no_file() -> None:
    with tempfile.TemporaryDirectory(prefix="rempart-test-", dir="/tmp") as short:
        run_dir = Path(short, "run")

        async def body(bench: Bench) -> None:
            await bench.supervisor.load("m")
            assert run_dir.stat().st_mode & 0o777 == 0o700
            names = sorted(one.name for one in run_dir.iterdir())
            assert names == ["m-1.json", "m-1.sock"]
            assert (run_dir / "m-1.json").stat().st_mode & 0o777 == 0o600
            await bench.supervisor.unload("m")
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(30):
                await bench.supervisor.load("m")
                await bench.supervisor.unload("m")
            assert len(os.listdir("/proc/self/fd")) == before
            assert list(run_dir.iterdir()) == []

        with_bench(Bench(Path(short), fake(), kinds={"command": WithFiles()}), body)


def test_where_the_path_is_too_long_for_a_socket_a_private_folder_takes_its_place(
    tmp_path: Path,
) -> None:
    seen: list[Path] = []

    class Seen(Watched):
        def launch(self, model: Model, place: Place) -> Launch:
            seen.append(place.run_dir)
            return super().launch(model, place)

    async def body(bench: Bench) -> None:
        await bench.supervisor.load("m")
        assert len(str(seen[0])) < 40
        assert seen[0].stat().st_mode & 0o777 == 0o700

    long = tmp_path / ("long" * 20)
    with_bench(Bench(long, fake(), kinds={"command": Seen()}), body)
    assert not seen[0].exists()
