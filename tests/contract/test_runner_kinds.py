"""One suite over every kind of runner: what the supervisor, a worker and an operator may rely on.

Real runners: a program of our own for ``command``, the demo model for ``llama_cpp``, and for
``transformers`` (``make test-hf``) a checkpoint with random weights. vLLM alone is played by another.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lab.runner_processes import FAKE_RUNNER, fake_command, is_alive, until_async
from rempart.base.clock import SystemClock
from rempart.domain.models import ModelStatus, RunnerState
from rempart.runners import shim
from rempart.runners.interface import GRANT_HEADER, SlotGranted
from rempart.runners.supervisor import Supervisor
from rempart.settings.model import Model, Restarts, Settings

pytestmark = pytest.mark.timeout(600)  # transformers alone takes 40 s to start on a busy machine

SECRET = "a-secret-of-ours"
LONG = 400


def command_model(request: pytest.FixtureRequest) -> Model:
    switches = ("--port", "{port}", "--tokens", "100000", "--pace-s", "0.02")
    return Model(name="served", kind="command", command=list(fake_command(*switches)), slots=2)


def llama_cpp_model(request: pytest.FixtureRequest) -> Model:
    path = request.getfixturevalue("demo_model")
    return Model(
        name="served",
        kind="llama_cpp",
        source=str(path),
        slots=2,
        context=2048,
        batch=64,
        threads=1,
    )


FAKE_VLLM = """#!{python}
import os, sys
assert sys.argv[1] == "serve" and "--max-num-queued-reqs" in sys.argv
port = sys.argv[sys.argv.index("--port") + 1]
switches = ["--port", port, "--key-variable", "VLLM_API_KEY", "--tokens", "100000", "--pace-s", "0.02"]
os.execv("{python}", ["{python}", "-I", "-S", "{program}", *switches])
"""


def vllm_model(request: pytest.FixtureRequest) -> Model:
    """vLLM itself wants a GPU; a program that takes its arguments plays it."""
    folder = request.getfixturevalue("tmp_path_factory").mktemp("bin")
    program = folder / "vllm"
    program.write_text(FAKE_VLLM.format(python=sys.executable, program=FAKE_RUNNER))
    program.chmod(0o700)
    return Model(name="served", kind="vllm", source="org/big", slots=2, env={"PATH": str(folder)})


def transformers_model(request: pytest.FixtureRequest) -> Model:
    folder = request.getfixturevalue("tiny_checkpoint")
    return Model(
        name="served", kind="transformers", source=str(folder), args=["--device", "cpu"], stop_s=5
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, in Hugging Face's form."""
    from lab import tiny_checkpoint

    return tiny_checkpoint.make(tmp_path_factory.mktemp("checkpoint"))


MODELS: dict[str, Callable[[pytest.FixtureRequest], Model]] = {
    "command": command_model,
    "llama_cpp": llama_cpp_model,
    "vllm": vllm_model,
    "transformers": transformers_model,
}


@pytest.fixture(
    params=["command", "llama_cpp", "vllm", pytest.param("transformers", marks=pytest.mark.hf)]
)
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param](request)


class Site:
    """A supervisor with one model, and a client that does what a worker would."""

    def __init__(self, model: Model, data_dir: Path) -> None:
        self.model = model
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.messages: list[Any] = []
        self.ended: list[tuple[str, str, int, int, bool]] = []
        self._tickets = 0
        self.supervisor = Supervisor(
            settings=Settings(
                models=[model], data_dir=str(data_dir), restarts=Restarts(first_s=0.05)
            ),
            clock=SystemClock(),
            random=random.Random(1),
            run_dir=data_dir / "run",
            publish=lambda statuses: None,
            deliver=lambda worker, message: self.messages.append(message),
            on_event=lambda event, fields: self.events.append((event, fields)),
            on_ended=lambda *end: self.ended.append(end),
            environment=dict(os.environ) | {"REMPART_ADMIN_KEY": SECRET, "HF_TOKEN": SECRET},
        )

    @property
    def status(self) -> ModelStatus:
        return self.supervisor.statuses()[0]

    def descendants(self) -> list[int]:
        return [one for pid in self.supervisor.pids() for one in shim.descendants(pid)]

    def want(self) -> int:
        self._tickets += 1
        self.supervisor.slot_wanted(1, self._tickets, self.model.name, 1e12)
        return self._tickets

    def granted(self, ticket: int) -> SlotGranted | None:
        found = [
            one for one in self.messages if isinstance(one, SlotGranted) and one.ticket == ticket
        ]
        return found[0] if found else None

    def release(self, ticket: int, *, cancelled: bool) -> None:
        stops = self.status.abilities.endpoints["/v1/chat/completions"]
        self.supervisor.slot_released(1, ticket, cancelled, stops.settle_s)

    async def slot(self) -> tuple[int, SlotGranted]:
        ticket = self.want()
        await until_async(lambda: self.granted(ticket) is not None, f"a slot; {self.events}")
        granted = self.granted(ticket)
        assert granted is not None
        return ticket, granted


def with_site(model: Model, tmp_path: Path, body: Callable[[Site], Awaitable[None]]) -> Site:
    site = Site(model, tmp_path)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.supervisor.run())
            await asyncio.sleep(0)
            try:
                await body(site)
            finally:
                await site.supervisor.stop(20.0)

    asyncio.run(run())
    return site


@asynccontextmanager
async def ask(
    granted: SlotGranted, max_tokens: int
) -> AsyncIterator[tuple[int, AsyncIterator[dict[str, Any]]]]:
    """A streamed chat request at the granted replica: its status and its events."""
    replica = granted.replica
    if replica.url.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(replica.url.removeprefix("unix:"))
    else:
        host, port = replica.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    call = {
        "model": replica.upstream_name,
        "messages": [{"role": "user", "content": "Count from one to a thousand."}],
        "max_tokens": max_tokens,
        "stream": True,
    }
    body = json.dumps(call).encode()
    head = [
        f"POST {replica.base_path}/chat/completions HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"{GRANT_HEADER}: {granted.grant}",
    ]
    if replica.api_key:
        head.append(f"Authorization: Bearer {replica.api_key}")
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        yield int(answer.split()[1]), events_of(reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def events_of(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, up to its end or ``[DONE]``; chunked or not."""
    while line := await reader.readline():
        if line.startswith(b"data: [DONE]") or line.strip() == b"0":
            return
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


async def first_text(events: AsyncIterator[dict[str, Any]]) -> None:
    """Wait until something was generated."""
    async for event in events:
        choices = event.get("choices") or [{}]
        if (choices[0].get("delta") or {}).get("content"):
            return
    raise AssertionError("the stream ended without text")


@pytest.mark.requirement("memory-unload", "serve")
def test_it_becomes_ready_answers_and_is_gone_after_unload(model: Model, tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        await site.supervisor.load("served")
        status = site.status
        assert status.state is RunnerState.READY
        assert (status.facts.memory_bytes or 0) > 5 * 1024 * 1024
        assert status.facts.context_length
        assert status.facts.load_s
        ticket, granted = await site.slot()
        async with ask(granted, 8) as (code, events):
            assert code == 200
            finish = [
                event["choices"][0].get("finish_reason")
                async for event in events
                if event["choices"]
            ]
        assert finish[-1] in ("length", "stop")
        site.release(ticket, cancelled=False)
        processes = site.descendants()
        assert processes
        await site.supervisor.unload("served")
        assert not any(is_alive(pid) for pid in processes)
        assert site.status.replicas == []

    with_site(model, tmp_path, body)


def test_no_secret_is_on_a_command_line_in_the_environment_or_in_a_repr(
    model: Model, tmp_path: Path
) -> None:
    async def body(site: Site) -> None:
        await site.supervisor.load("served")
        key = site.status.replicas[0].api_key
        hidden = [SECRET, *([key] if key else [])]
        for pid in [*site.supervisor.pids(), *site.descendants()]:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            assert not any(one in command for one in hidden)
            assert SECRET not in Path(f"/proc/{pid}/environ").read_bytes().decode()
        assert not any(one in repr(site.status) + repr(site.events) for one in hidden)
        printed = "\n".join(site.supervisor.log_lines("served", 2000))
        assert not any(one in printed for one in hidden)

    with_site(model, tmp_path, body)


@pytest.mark.requirement("runner-crash")
def test_killed_it_is_back_and_who_waits_is_served(model: Model, tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        await site.supervisor.load("served")
        _, first = await site.slot()
        victims = site.descendants()
        os.kill(victims[0], signal.SIGKILL)
        await until_async(lambda: site.status.state is not RunnerState.READY, "it is noticed")
        _, second = await site.slot()
        assert second.replica.id != first.replica.id
        async with ask(second, 2) as (code, _):
            assert code == 200
        assert not any(is_alive(pid) for pid in victims)

    with_site(model, tmp_path, body)


@pytest.mark.requirement("timeout-cancels")
def test_a_hang_up_frees_the_slot_as_the_kind_declares(model: Model, tmp_path: Path) -> None:
    """In decode: the next request is granted, and the runner takes it."""

    async def body(site: Site) -> None:
        await site.supervisor.load("served")
        slots = site.status.slots
        held = [await site.slot() for _ in range(slots)]
        waiting = site.want()
        ticket, granted = held[0]
        async with ask(granted, LONG) as (code, events):
            assert code == 200
            await first_text(events)
        site.release(ticket, cancelled=True)
        await until_async(lambda: site.granted(waiting) is not None, "the slot is free")
        following = site.granted(waiting)
        assert following is not None
        async with ask(following, 2) as (code, events):
            assert code == 200
            await first_text(events)
        assert site.status.slots_busy == slots
        if site.status.abilities.reports_slots:
            ends = {grant: (made, gone) for _, grant, _, made, gone in site.ended}
            made, is_cancelled = ends[granted.grant]
            assert is_cancelled
            assert 0 < made < LONG

    with_site(model, tmp_path, body)
