"""Makes every object of a gateway worker, in order: the map of this process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import SystemClock
from rempart.base.ids import Ids
from rempart.domain.limits import Amounts
from rempart.domain.models import ModelStatus
from rempart.domain.peppers import Pepper, Peppers
from rempart.gateway.admission.step import Admission
from rempart.gateway.authentication.addresses import ClientAddresses
from rempart.gateway.authentication.failures import Failures
from rempart.gateway.authentication.lockout import Lockout
from rempart.gateway.authentication.step import Authentication
from rempart.gateway.authentication.watch import KeyWatch
from rempart.gateway.deadline import clocks_of
from rempart.gateway.entry import Entry
from rempart.gateway.exchange import Call, Exchange
from rempart.gateway.guard.pipeline import Guard
from rempart.gateway.limits.estimate import answers_count
from rempart.gateway.limits.step import Count, Limits
from rempart.gateway.operations.generation import RUNNER_KINDS
from rempart.gateway.operations.preflight import Preflight
from rempart.gateway.operations.tokenize import TokenCounter
from rempart.gateway.path import Way
from rempart.gateway.record import fan_out_to
from rempart.gateway.relay.step import Relay
from rempart.gateway.replicas.pools import Pools
from rempart.gateway.routes import RouteTable
from rempart.gateway.validation.context_length import exact_prompt_tokens
from rempart.net.http1.server import Server, ServerLimits
from rempart.processes.arguments import Link
from rempart.processes.messages import Welcome
from rempart.processes.worker.endpoints import endpoints
from rempart.processes.worker.upkeep import Upkeep
from rempart.runners.remote import RemoteRunners
from rempart.settings.model import Settings
from rempart.state.open import Shared, open_shared
from rempart.state.shared.keys.verify import Verifier
from rempart.telemetry.cells import Cells
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import Metrics
from rempart.wire.cors import cors_policy
from rempart.wire.security_headers import strict_transport


@dataclass(frozen=True, kw_only=True)
class Worker:
    """The parts that ``run.py`` starts and ends."""

    settings: Settings
    log: Log
    metrics: Metrics
    runners: RemoteRunners
    pools: Pools
    entry: Entry
    server: Server
    routes: RouteTable
    state: Shared
    key_news: "KeyNews"
    upkeep: Upkeep
    tokens: Any
    """Access tokens of an issuer; None without one."""


class KeyNews:
    """What main tells about keys: whether those of this start are published, and new peppers."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self.are_told = False

    def are_usable(self) -> bool:
        """Whether requests with a key can be answered."""
        return self.are_told and self._verifier.is_current()

    def renew(self, peppers: list[Pepper]) -> None:
        """The ring was changed."""
        self._verifier.replace_peppers(Peppers(peppers))


def build(welcome: Welcome, link: Link) -> Worker:
    """All parts of a worker, wired."""
    settings = msgspec.json.decode(welcome.settings, type=Settings)
    clock = SystemClock()
    ids = Ids(clock)
    run_dir, data_dir = Path(welcome.run_dir), Path(settings.data_dir)
    metrics = Metrics(Cells(run_dir / "metrics", welcome.name))
    log = Log(
        clock=clock,
        process=welcome.name,
        file=Path(welcome.log_file) if welcome.log_file else None,
        console=settings.logs.console,
        level=settings.logs.level,
        on_dropped=lambda: metrics.log_lines_dropped.add(1),
    )
    if not metrics.cells.is_shared:
        log.error("counts_lost", reason=f"no room for {run_dir / 'metrics'}: is the disk full?")
    runners = RemoteRunners(link.send)
    pools = Pools()
    state = open_shared(settings, data_dir, clock=clock)
    verifier = Verifier(
        keys=state.keys,
        peppers=Peppers(welcome.peppers),
        clock=clock,
        age_s_max=settings.shared.keys_age_s_max,
    )
    failures = Failures(clock)
    lockout = Lockout(
        store=state.lockout, settings=settings.lockout, clock=clock, failures=failures
    )
    tokens = _tokens(settings, clock, log)
    authentication = Authentication(
        verify=verifier.verify,
        address_of=ClientAddresses(settings.server.trusted_proxies).of,
        on_failure=lockout.failed,
        tokens=tokens,
    )
    key_news = KeyNews(verifier)
    counter = TokenCounter(pools=pools, models=runners, settings=settings)
    rows = endpoints(
        settings,
        clock=clock,
        models=runners,
        counter=counter,
        authentication=authentication,
        has_keys=key_news.are_usable,
        key_age_s=verifier.age_s,
        run_dir=run_dir,
        started_at_s=welcome.started_at_s,
    )
    cors = cors_policy(
        settings.cors.origins,
        methods=[method for row in rows for method in row.methods],
        max_age_s=settings.cors.max_age_s,
        more_headers=[settings.limits.end_user_header] if settings.limits.end_user_header else [],
    )
    routes = RouteTable(rows, Preflight(cors=cors))
    kinds = {model.name: model.kind for model in settings.models}
    limits = Limits(
        store=state.limits,
        settings=settings,
        models=runners,
        clock=clock,
        owner=welcome.owner,
        project_limits=_project_limits(state),
        count=_exact_count(counter),
        tells_each_token=lambda model: kinds.get(model, "") == "llama_cpp",
        metrics=metrics,
    )
    way = Way(
        ids=ids,
        routes=routes,
        authentication=authentication,
        limits=limits,
        admission=Admission(runners),
        relay=Relay(pools),
        fan_out=fan_out_to(metrics, log),
        on_bug=_bugs_to(log),
        clocks={
            model.name: clocks_of(settings.deadline, model.deadline) for model in settings.models
        },
        read_s=settings.deadline.total_s,
        is_runner=lambda model: kinds.get(model, "") in RUNNER_KINDS,
        is_accepting=lambda: runners.is_accepting,
        keeps_prompts=settings.logs.prompts,
        guard=Guard(settings.guard),
    )
    entry = Entry(
        way=way,
        clock=clock,
        ids=ids,
        metrics=metrics,
        log=log,
        base_path=settings.server.base_path,
        cors=cors,
        more_headers=strict_transport(has_tls=bool(settings.tls.cert), host=settings.server.host),
    )
    server = Server(
        entry.handle,
        limits=_limits(settings),
        refusal_answer=entry.refusal_answer,
        on_refused=entry.on_refused,
        on_error=entry.on_error,
    )
    return Worker(
        settings=settings,
        log=log,
        metrics=metrics,
        runners=runners,
        pools=pools,
        entry=entry,
        server=server,
        routes=routes,
        state=state,
        key_news=key_news,
        tokens=tokens,
        upkeep=Upkeep(
            keys=state.keys,
            lockout=state.lockout,
            verifier=verifier,
            failures=failures,
            settle_waiting=limits.settle_waiting,
            watch=KeyWatch(
                keys=state.keys, verifier=verifier, clock=clock, exchanges=entry.exchanges
            ),
            clock=clock,
            log=log,
        ),
    )


def _tokens(settings: Settings, clock: SystemClock, log: Log) -> Any:
    if not settings.jwt.issuer:
        return None
    # Costs 10 MB and 100 ms, which a worker without an issuer does not pay.
    from rempart.gateway.authentication.issuer import IssuerTokens
    from rempart.gateway.authentication.jwt import rules_of

    return IssuerTokens(
        settings=settings.jwt,
        rules=rules_of(settings.jwt),
        clock=clock,
        on_failed=lambda reason: log.warning("issuer_keys_not_fetched", reason=reason),
    )


def _project_limits(state: Shared) -> Callable[[str], Amounts]:
    def limits_of(id_: str) -> Amounts:
        project = state.keys.project(id_)
        return project.limits if project is not None else {}

    return limits_of


def _exact_count(counter: TokenCounter) -> Count:
    async def count(exchange: Exchange, call: Call, status: ModelStatus) -> int | None:
        document = call.document or {}
        if answers_count(document) > 1 or "documents" in document:
            return None  # several prompts: what bounds them is the sum, which nobody counts
        return await exact_prompt_tokens(exchange, status, document, counter)

    return count


def _bugs_to(log: Log) -> Any:
    def on_bug(exchange: Exchange, trace: str) -> None:
        log.error(
            "bug",
            id=exchange.id,
            request_id=exchange.request_id,
            traceback=trace[-8000:],
            pid=os.getpid(),
        )

    return on_bug


def _limits(settings: Settings) -> ServerLimits:
    server = settings.server
    return ServerLimits(
        header_read_s=server.header_read_s,
        body_read_s=server.body_read_s,
        body_bytes_per_s_min=server.body_bytes_per_s_min,
        idle_s=server.idle_s,
        write_stall_s=server.write_stall_s,
        unread_body_bytes_max=server.body_bytes_max,
        connections_max=server.connections_max,
        connections_per_address_max=server.connections_per_address_max,
    )
