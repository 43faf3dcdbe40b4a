"""The whole gateway in a test's own event loop, with a stand-in for main: every object of a worker, no process.

The stand-in grants slots as main would (first come, first served) and can be told to do otherwise.
Records are kept, so that a test can say that there was exactly one.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from lab.fake_upstream import FakeUpstream
from rempart.base.clock import SystemClock
from rempart.domain.key_format import SECRET_CHARACTERS, look_up_id, make_key
from rempart.domain.keys import ALL_SCOPES, StoredKey
from rempart.domain.limits import Amounts
from rempart.domain.models import Abilities, Facts, HangUp, ModelStatus, Replica, RunnerState
from rempart.domain.peppers import Peppers
from rempart.domain.records import RequestRecord
from rempart.processes.messages import Welcome
from rempart.processes.worker.build import Worker, build
from rempart.runners.interface import SlotGranted, SlotLeft, SlotRefused, SlotReleased, SlotWanted
from rempart.settings.model import Deadline, Logs, Model, Route, Server, Settings
from rempart.settings.protection import Cors, Guard, Jwt, Lockout, Shared

KEY_ID, NARROW_ID = "labkey000000", "narrowkey000"
KEY = make_key(KEY_ID, "K" * SECRET_CHARACTERS)
INFERENCE_ONLY = make_key(NARROW_ID, "I" * SECRET_CHARACTERS)
PEPPERS = Peppers.of([b"p" * 32])
ENDPOINTS = {
    f"/v1/{name}": HangUp(decode=True, prefill=True)
    for name in ("chat/completions", "completions", "embeddings", "rerank")
}


class StandInMain:
    """Answers a worker's messages about slots."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.slots = 2
        self.grants: dict[int, str] = {}
        self.waiting: deque[SlotWanted] = deque()
        self.released: list[SlotReleased] = []
        self.left: list[int] = []
        self.refuse_with: SlotRefused | None = None
        self.replica: Replica | None = None
        self.granted_count = 0

    def send(self, message: Any) -> None:
        """The worker's ``link.send``."""
        match message:
            case SlotWanted():
                self.waiting.append(message)
            case SlotLeft(ticket=ticket):
                self.left.append(ticket)
                self.waiting = deque(one for one in self.waiting if one.ticket != ticket)
                self.grants.pop(ticket, None)
            case SlotReleased(ticket=ticket):
                self.released.append(message)
                self.grants.pop(ticket, None)
        asyncio.get_running_loop().call_soon(self.grant)

    def grant(self) -> None:
        """Give free slots to those who wait."""
        assert self.worker is not None
        while self.waiting:
            if self.refuse_with is not None:
                wanted = self.waiting.popleft()
                self.worker.runners.receive(
                    msgspec.structs.replace(self.refuse_with, ticket=wanted.ticket)
                )
                continue
            if len(self.grants) >= self.slots or self.replica is None:
                return
            wanted = self.waiting.popleft()
            self.granted_count += 1
            self.grants[wanted.ticket] = f"g{self.granted_count}"
            self.worker.runners.receive(
                SlotGranted(
                    ticket=wanted.ticket,
                    replica=self.replica,
                    grant=f"g{self.granted_count}",
                    slot_wait_s=0.0,
                )
            )


class Gateway:
    """A running gateway: ``port`` to talk to, ``upstream`` behind it, ``records`` of what happened."""

    def __init__(
        self, worker: Worker, main: StandInMain, upstream: FakeUpstream, port: int
    ) -> None:
        self.worker = worker
        self.main = main
        self.upstream = upstream
        self.port = port
        self.records: list[RequestRecord] = []

    def is_idle(self) -> bool:
        """Nothing is held: no exchange, no slot, no ticket."""
        return (
            not self.worker.entry.exchanges
            and not self.main.grants
            and not self.main.waiting
            and not self.worker.runners._tickets
        )

    async def until_idle(self, timeout_s: float = 5.0) -> None:
        """Wait until nothing is held and the upstream answers nobody."""
        async with asyncio.timeout(timeout_s):
            while not (self.is_idle() and self.upstream.answering == 0):
                await asyncio.sleep(0.01)

    async def until_records(self, count: int, timeout_s: float = 5.0) -> list[RequestRecord]:
        """Wait until that many requests have been recorded."""
        async with asyncio.timeout(timeout_s):
            while len(self.records) < count:
                await asyncio.sleep(0.01)
        return self.records

    def publish(self, statuses: list[ModelStatus], *, accepting: bool = True) -> None:
        """What main would publish."""
        self.worker.runners.published(10**6, accepting, statuses)


def statuses_for(base_urls: list[str]) -> list[ModelStatus]:
    """Model ``far`` without a bound, ``near`` with main's slots; both answered by the upstream."""
    replicas = [
        Replica(id=f"far-{number}", url=url.removesuffix("/v1"), upstream_name="fake")
        for number, url in enumerate(base_urls)
    ]
    near = Replica(id="near-1", url=base_urls[0].removesuffix("/v1"), upstream_name="fake")
    abilities = Abilities(endpoints=ENDPOINTS)
    facts = Facts(context_length=2048)
    ready = RunnerState.READY
    return [
        ModelStatus(
            name="far", kind="upstream", state=ready, replicas=replicas, abilities=abilities
        ),
        ModelStatus(
            name="near",
            kind="command",
            state=ready,
            slots=2,
            replicas=[near],
            abilities=abilities,
            facts=facts,
        ),
    ]


def stored_key(secret: str, **fields: Any) -> StoredKey:
    """What is published of this secret, with all scopes and no limits unless told otherwise."""
    digest, pepper_id = PEPPERS.digest(secret)
    fields = {"scopes": ALL_SCOPES, "is_unlimited": True, **fields}
    return StoredKey(id=look_up_id(secret), digest=digest, pepper_id=pepper_id, **fields)


@asynccontextmanager
async def running_gateway(
    folder: Path,
    *,
    deadline: Deadline | None = None,
    server: Server | None = None,
    cors: Cors | None = None,
    guard: Guard | None = None,
    more_base_urls: tuple[str, ...] = (),
    log_file: str = "",
    lockout: Lockout | None = None,
    jwt: Jwt | None = None,
    limits: Amounts | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway before a fake upstream; both end with the block. Without ``lockout`` wrong keys block nobody.

    Args:
        limits: of ``KEY``, which has none without them.
    """
    upstream = FakeUpstream()
    await upstream.start()
    base_urls = [*more_base_urls, upstream.base_url]
    settings = Settings(
        server=server or Server(),
        deadline=deadline or Deadline(),
        cors=cors or Cors(),
        guard=guard or Guard(),
        lockout=lockout or Lockout(enabled=False),
        jwt=jwt or Jwt(),
        shared=Shared(url="memory"),
        logs=Logs(file="", console="off"),
        data_dir=str(folder),
        models=[
            Model(name="far", kind="upstream", base_urls=base_urls),
            Model(name="near", kind="command", command=["x", "{port}"], slots=2),
        ],
        routes=[Route(path="/generate", model="near", methods=["POST"])],
    )
    main = StandInMain()
    worker = build(
        Welcome(
            settings=msgspec.json.encode(settings),
            name="worker-1",
            generation=1,
            run_dir=str(folder),
            log_file=log_file,
            peppers=list(PEPPERS.ring),
            started_at_s=SystemClock().now(),
        ),
        main,  # type: ignore[arg-type]
    )
    main.worker = worker
    main.replica = statuses_for([upstream.base_url])[1].replicas[0]
    worker.runners.published(1, True, statuses_for(base_urls))
    worker.key_news.are_told = True
    worker.state.keys.publish_all(
        keys=[
            stored_key(KEY, limits=limits or {}),
            stored_key(INFERENCE_ONLY, scopes=frozenset({"inference"})),
        ],
        projects=[],
        now_ms=int(SystemClock().wall().timestamp() * 1000),
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    gateway = Gateway(worker, main, upstream, listener.getsockname()[1])
    way = worker.entry._way
    count_and_log = way._fan_out

    def keep(record: RequestRecord, is_quiet: bool) -> None:
        gateway.records.append(record)
        count_and_log(record, is_quiet)

    way._fan_out = keep
    await worker.server.serve([listener])
    try:
        yield gateway
    finally:
        worker.entry.end_all()
        await worker.server.close()
        await worker.pools.close()
        worker.state.close()
        await upstream.close()
        worker.log.close()
        worker.metrics.cells.close()
