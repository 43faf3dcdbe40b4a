"""The life of a worker: welcome, serving, and its ways to end (drained, stopped, or main is gone)."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import uvloop

from rempart.net.tls import Certificate
from rempart.processes import messages
from rempart.processes.arguments import Inherited, Link
from rempart.processes.certificates import keep_certificate, open_certificate
from rempart.processes.worker.build import Worker, build
from rempart.runners import interface

HEARTBEAT_S = 0.5
LAST_WORDS_S = 1.0
"""After main has died: time for error events to leave, well inside the 2 s in which the port must be free."""
DRAIN_IDLE_S = 5.0
COLLECTION_THRESHOLDS = (5000, 20, 100)
"""A request leaves no cycles (tests/contract/test_garbage.py), so that collections find nothing; each walks the
objects of open streams. With Python's own thresholds 400 streams that open cost 141 collections and
225 ms, the longest 50 ms; with these 8 and 58 ms."""


async def run(arguments: list[str]) -> int:
    """Serve until told to end; gives the exit code."""
    inherited = Inherited(arguments)
    link = Link()
    welcome = await link.open(inherited.channel)
    worker = build(welcome, link)
    calm_collector()
    ending = _Ending()
    link.listen(lambda message: _heard(worker, ending, message), ending.main_is_gone)
    loop = asyncio.get_running_loop()
    # The terminal's Ctrl-C reaches the whole group; main decides what it means.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    async with asyncio.TaskGroup() as tasks:
        serving = [
            tasks.create_task(_beat(worker, link), name="heartbeat"),
            tasks.create_task(_keep_pools(worker), name="pools"),
            tasks.create_task(worker.upkeep.run(), name="keys"),
            *(
                [tasks.create_task(worker.tokens.run(), name="issuer")]
                if worker.tokens is not None
                else []
            ),
        ]
        certificate = await open_certificate(worker.settings, worker.log)
        serving.append(
            tasks.create_task(
                keep_certificate(certificate, worker.log, _HandshakeCount(worker)), name="tls"
            )
        )
        await _serve(worker, inherited.listeners, certificate)
        link.send(messages.Ready())
        await _until_end(worker, ending)
        for task in serving:
            task.cancel()
    await worker.server.close()
    await worker.pools.close()
    worker.state.close()
    link.send(messages.Drained())
    link.close()
    return 0


async def _serve(
    worker: Worker, listeners: list[socket.socket], certificate: Certificate | None
) -> None:
    """Accept on all of them; TLS is for the network, not for a Unix socket."""
    local = [one for one in listeners if one.family == socket.AF_UNIX]
    context = certificate.context if certificate is not None else None
    await worker.server.serve([one for one in listeners if one not in local], context)
    if local:
        await worker.server.serve(local)


class _HandshakeCount:
    """Carries the server's figure into the metrics."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._counted = 0

    def __call__(self) -> None:
        failed = self._worker.server.statistics().handshakes_failed
        self._worker.metrics.handshakes_failed.add(failed - self._counted)
        self._counted = failed


def calm_collector() -> None:
    """Make the garbage collector look seldom, and never at what was made before the first request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


class _Ending:
    """How this worker was told to end; main's death is an order too."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.grace_s = 0.0
        self.keeps_accepting = False
        self.is_main_gone = False
        self._patience: asyncio.Timeout | None = None

    def order(self, grace_s: float, *, keeps_accepting: bool) -> None:
        """Main wants this worker to end."""
        self.grace_s = grace_s
        self.keeps_accepting = keeps_accepting
        self.asked.set()

    def main_is_gone(self) -> None:
        """Nobody will restart what fails from here on: end now, also in the middle of a drain."""
        self.is_main_gone = True
        self.asked.set()
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def patiently(self, ending: Awaitable[None]) -> None:
        """Await a slow way to end, unless main is gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.is_main_gone else None) as self._patience:
                await ending
        self._patience = None


def _heard(worker: Worker, ending: _Ending, message: Any) -> None:
    match message:
        case messages.Published():
            worker.runners.published(message.generation, message.accepting, message.models)
            worker.key_news.are_told = message.keys_are_told
        case messages.NewPeppers(peppers=peppers):
            worker.key_news.renew(peppers)
        case interface.SlotGranted() | interface.SlotRefused() | interface.SlotPlace():
            worker.runners.receive(message)
        case messages.Drain(grace_s=grace_s):
            ending.order(grace_s, keeps_accepting=False)
        case messages.Stop(grace_s=grace_s):
            ending.order(grace_s, keeps_accepting=True)
        case messages.ReopenLog():
            worker.log.reopen()


async def _until_end(worker: Worker, ending: _Ending) -> None:
    """Wait for an order to end, or for main's death, and carry it out."""
    await ending.asked.wait()
    stopping = _stop if ending.keeps_accepting else _drain
    await ending.patiently(stopping(worker, ending.grace_s))
    worker.server.stop_accepting()
    worker.entry.end_all()
    await worker.server.drain(idle_s=0.0, grace_s=LAST_WORDS_S)


async def _drain(worker: Worker, grace_s: float) -> None:
    """A newer generation serves: finish what runs, idle connections as they come to their next answer."""
    await worker.server.drain(idle_s=DRAIN_IDLE_S, grace_s=grace_s)


async def _stop(worker: Worker, grace_s: float) -> None:
    """The server shuts down: new requests are answered ``shutting_down`` while those in flight finish."""
    try:
        async with asyncio.timeout(grace_s):
            while _has_work(worker):  # noqa: ASYNC110 - requests end in many places; once per life
                await asyncio.sleep(0.05)
    except TimeoutError:
        return


def _has_work(worker: Worker) -> bool:
    """Whether a request other than a probe is under way."""
    return any(
        exchange.operation is None or not exchange.operation.is_quiet
        for exchange in worker.entry.exchanges
    )


async def _beat(worker: Worker, link: Link) -> None:
    while True:
        link.send(messages.Heartbeat(in_flight=len(worker.entry.exchanges)))
        await asyncio.sleep(HEARTBEAT_S)


async def _keep_pools(worker: Worker) -> None:
    """Close connections to replicas that are gone; every few seconds is soon enough."""
    while True:
        await asyncio.sleep(5.0)
        await worker.pools.keep(
            {
                replica.id
                for status in worker.runners.statuses.values()
                for replica in status.replicas
            }
        )


def main() -> int:
    """Run a worker from ``python -m rempart.processes.worker``."""
    return uvloop.run(run(sys.argv[1:]))
