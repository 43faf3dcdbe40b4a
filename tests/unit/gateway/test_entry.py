"""From the HTTP server into the way, and what the HTTP layer refuses in our own words."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from lab.exchanges import exchange_of
from lab.sim_loop import SimClock, simulate
from rempart.base.ids import Ids
from rempart.domain.errors import RempartError
from rempart.gateway.entry import Entry, refused
from rempart.gateway.exchange import Exchange
from rempart.gateway.path import Way
from rempart.net.http1.framing import header_lines
from rempart.net.http1.rules import Refusal, Rule
from rempart.telemetry.cells import Cells, total
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import Metrics


class StandInWay:
    """Serves by noting; waits, or raises, where it is told to."""

    def __init__(self) -> None:
        self.served: list[Exchange] = []
        self.paths: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: Exception | None = None

    async def serve(self, exchange: Exchange) -> None:
        self.served.append(exchange)
        self.paths.append(exchange.request.path)
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure


class Door:
    """An entry with what is around it."""

    def __init__(self, folder: Path, base_path: str = "") -> None:
        self.folder = folder
        self.way = StandInWay()
        self.metrics = Metrics(Cells(folder / "metrics", "worker-1"))
        self.log = Log(clock=SimClock(), process="worker-1", file=folder / "log", console="off")
        self.entry = Entry(
            way=cast(Way, self.way),
            clock=SimClock(),
            ids=Ids(SimClock()),
            metrics=self.metrics,
            log=self.log,
            base_path=base_path,
        )

    def close(self) -> None:
        self.log.close()
        self.metrics.cells.close()

    @property
    def in_flight(self) -> float:
        return total(self.folder / "metrics").get("rempart_requests_in_flight", 0.0)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    async def handle(self, target: str = "/health") -> None:
        exchange, _ = exchange_of(target)
        await self.entry.handle(exchange.request, exchange.reply)


def test_an_exchange_is_known_and_counted_while_it_is_served(tmp_path: Path) -> None:
    async def body() -> None:
        door = Door(tmp_path)
        door.way.may_end.clear()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(door.handle())
            await asyncio.sleep(1)
            assert len(door.entry.exchanges) == 2
            assert door.in_flight == 2
            door.way.may_end.set()
        assert door.entry.exchanges == set()
        assert door.in_flight == 0
        door.close()

    simulate(body())


@pytest.mark.parametrize("end", ["bug", "cancelled"])
def test_whatever_its_end_it_is_forgotten(tmp_path: Path, end: str) -> None:
    async def body() -> None:
        door = Door(tmp_path)
        door.way.may_end.clear()
        door.way.failure = ValueError("a bug")
        task = asyncio.ensure_future(door.handle())
        await asyncio.sleep(1)
        assert len(door.entry.exchanges) == 1
        if end == "cancelled":
            task.cancel()
        door.way.may_end.set()
        await asyncio.wait([task])
        assert task.cancelled() if end == "cancelled" else task.exception() is door.way.failure
        assert door.entry.exchanges == set()
        assert door.in_flight == 0
        door.close()

    simulate(body())


@pytest.mark.parametrize(
    ("base_path", "target", "path"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/llm", "/llm/v1/models?x=/llm", "/v1/models"),
        ("/llm/", "/llm/v1/models", "/v1/models"),
        ("/llm", "/llm", "/"),
        ("/llm", "/llm/", "/"),
        ("/llm", "/llm/llm/x", "/llm/x"),
    ],
)
def test_the_configured_prefix_is_taken_off(
    tmp_path: Path, base_path: str, target: str, path: str
) -> None:
    async def body() -> None:
        door = Door(tmp_path, base_path)
        await door.handle(target)
        assert door.way.paths == [path]
        door.close()

    simulate(body())


@pytest.mark.parametrize(
    "target", ["/v1/models", "/", "/llmx/v1/models", "/LLM/v1/models", "//llm/v1/models"]
)
def test_a_path_without_the_prefix_is_one_that_no_route_has(tmp_path: Path, target: str) -> None:
    async def body() -> None:
        door = Door(tmp_path, "/llm")
        await door.handle(target)
        (path,) = door.way.paths
        assert path not in ("/v1/models", "/")
        assert not path.startswith("/v1/")
        assert path.endswith(target)
        door.close()

    simulate(body())


def test_a_shutdown_trips_every_exchange_that_can_be_tripped(tmp_path: Path) -> None:
    class Deadline:
        def __init__(self) -> None:
            self.errors: list[RempartError] = []

        def trip(self, error: RempartError) -> None:
            self.errors.append(error)

    async def body() -> None:
        door = Door(tmp_path)
        door.way.may_end.clear()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(door.handle())
            await asyncio.sleep(1)
            deadlines = [Deadline(), Deadline()]
            for exchange, deadline in zip(door.way.served, deadlines, strict=False):
                exchange.deadline = deadline  # type: ignore[assignment]
            door.entry.end_all()
            door.way.may_end.set()
        for deadline in deadlines:
            (error,) = deadline.errors
            assert (error.code, error.retry_after_s) == ("shutting_down", 1.0)
        door.close()

    simulate(body())


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: str(rule.name))
def test_every_refusal_of_the_http_layer_is_one_of_our_errors_with_its_status(rule: Rule) -> None:
    error = refused(Refusal(rule, "192.0.2.7"))
    assert error.answer_status == rule.status
    if rule.status != 500:
        assert rule.reason in error.message


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: str(rule.name))
def test_a_refusal_is_answered_in_our_envelope_and_logged(tmp_path: Path, rule: Rule) -> None:
    async def body() -> None:
        door = Door(tmp_path)
        headers, answer = door.entry.refusal_answer(Refusal(rule, "192.0.2.7"))
        found = dict(headers)
        header_lines(headers)  # fit to be sent
        error = json.loads(answer)["error"]
        assert found[b"content-type"] == b"application/json"
        assert found[b"x-request-id"].decode() == error["request_id"]
        assert found[b"cache-control"] == b"private, no-store"
        if rule.status == 503:
            assert found[b"retry-after"] == b"1"
        (line,) = door.lines
        assert (line["event"], line["id"]) == ("http_refused", error["request_id"])
        assert (line["status"], line["address"]) == (rule.status, "192.0.2.7")
        door.close()

    simulate(body())


def test_refusals_are_counted_by_status(tmp_path: Path) -> None:
    door = Door(tmp_path)
    for rule in (Rule.HOST_MISSING, Rule.HOST_TWICE, Rule.CONNECTIONS):
        door.entry.on_refused(Refusal(rule, ""))
    sums = total(tmp_path / "metrics")
    door.close()
    assert sums['rempart_http_refused_total{status="400"}'] == 2
    assert sums['rempart_http_refused_total{status="503"}'] == 1


def test_a_bug_outside_of_the_way_is_logged_with_its_trace(tmp_path: Path) -> None:
    async def body() -> None:
        door = Door(tmp_path)
        exchange, _ = exchange_of("/v1/models?key=hunter2")
        door.entry.on_error(ValueError("a bug"), exchange.request)
        (line,) = door.lines
        assert (line["event"], line["level"], line["path"]) == ("bug", "error", "/v1/models")
        assert "ValueError: a bug" in line["traceback"]
        assert "hunter2" not in json.dumps(line)
        door.close()

    simulate(body())
