"""GET /health, /livez and /readyz: from sampled values and published states; never asks a model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rempart import __version__
from rempart.base.clock import Clock, iso_utc
from rempart.domain.models import ModelStatus, RunnerState
from rempart.gateway.authentication.step import Authentication
from rempart.gateway.exchange import Answer, Exchange, Models, encode_json
from rempart.telemetry import system
from rempart.telemetry.cells import total
from rempart.telemetry.metrics import request_totals

SUMS_AGE_S_MAX = 1.0
"""Sums over all workers are taken at most this often: a flood of /health costs no more than one a second."""
SAMPLE_AGE_S_MAX = 30.0
KEYS_AGE_S_TOLD = 10.0
"""Control confirms them twice a second, and is back from a crash within a few."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """/livez: this worker's event loop turns."""

    name: str = "livez"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        exchange.answer = Answer(200, encode_json({"status": "alive", "reasons": []}))


def _yes() -> bool:
    return True


def _zero() -> float:
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """/readyz: requests are accepted, and what is preloaded is ready."""

    models: Models
    has_models: bool = False
    """Whether any is configured: until main has told their states, nobody knows what is ready."""
    has_keys: Callable[[], bool] = _yes
    """Whether keys are published, those of this start, and recent enough to be used."""
    key_age_s: Callable[[], float] = _zero
    """How long ago control said that they are what the database holds."""
    name: str = "readyz"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        reasons = [] if self.models.is_accepting else ["the server is shutting down"]
        if self.has_models and not self.models.statuses:
            reasons.append("the models' states are not known yet")
        if not self.has_keys():
            reasons.append("the keys are not published yet, or too old to be used")
        reasons += [
            f"model {status.name}: {status.state.value}"
            + (f" ({status.reason})" if status.reason else "")
            for status in self.models.statuses.values()
            if status.preload and status.state is not RunnerState.READY
        ]
        document = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        code = 503 if reasons else 200
        age_s = self.key_age_s()
        if age_s > KEYS_AGE_S_TOLD:
            # Told, yet no reason to stop: requests go on with these keys until they are too old.
            reasons.append(
                f"the database is away or control is down: keys are those of {age_s:.0f} s ago"
            )
        exchange.answer = Answer(code, encode_json(document))


class Health:
    """/health: the seed's document and ours beside it, all workers together.

    Args:
        hides_detail: callers without a key get ``status`` and ``timestamp`` only.
        default_model: the model served, or the first configured.
    """

    name = "health"
    is_quiet = True

    def __init__(
        self,
        *,
        clock: Clock,
        models: Models,
        authentication: Authentication,
        run_dir: Path,
        data_dir: Path,
        started_at_s: float,
        default_model: str,
        hides_detail: bool,
    ) -> None:
        self._clock = clock
        self._models = models
        self._authentication = authentication
        self._run_dir = run_dir
        self._data_dir = data_dir
        self._started_at_s = started_at_s
        self._default_model = default_model
        self._hides_detail = hides_detail
        self._sampled_s = float("-inf")
        self._document: dict[str, Any] = {}

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        if self._clock.now() - self._sampled_s >= SUMS_AGE_S_MAX:
            self._sampled_s = self._clock.now()
            self._document = self._sample()
        document = self._document
        statuses = list(self._models.statuses.values())
        state, reasons = judge(statuses, is_accepting=self._models.is_accepting)
        head = {"status": state, "timestamp": iso_utc(self._clock.wall())}
        code = 503 if state == "unhealthy" else 200
        if self._hides_detail and not await self._authentication.is_known(exchange):
            exchange.answer = Answer(code, encode_json(head))
            return
        default = self._models.statuses.get(self._default_model)
        body = {
            **head,
            "model": {
                "loaded": default is not None and default.state is RunnerState.READY,
                "name": self._default_model or None,
            },
            **document,
            "reasons": reasons,
            "version": __version__,
            "models": [model_entry(status) for status in statuses],
        }
        exchange.answer = Answer(code, encode_json(body))

    def _sample(self) -> dict[str, Any]:
        now = self._clock.now()
        found = system.read(self._run_dir)
        if found is None or now - found.at_s > SAMPLE_AGE_S_MAX:
            # Control has not sampled yet, or is down: look ourselves, at what can be had without waiting.
            found = system.sample(self._data_dir, now)
        totals = request_totals(total(self._run_dir / "metrics"))
        uptime_s = max(now - self._started_at_s, 1e-9)
        count = totals.requests
        return {
            "system": found.document(),
            "api": {
                "uptime_seconds": round(uptime_s, 1),
                "total_requests": count,
                "error_count": totals.errors,
                "error_rate_percent": round(100 * totals.errors / count, 2) if count else 0.0,
                "avg_response_time_seconds": round(totals.duration_s / count, 4) if count else 0.0,
                "requests_per_second": round(count / uptime_s, 4),
            },
            "gpus": list(found.gpus),
        }


def judge(statuses: list[ModelStatus], *, is_accepting: bool) -> tuple[str, list[str]]:
    """``healthy``, ``degraded`` or ``unhealthy``, with the reasons.

    Unhealthy is what a load balancer should stop sending to: shutting down, or no model can serve.
    """
    reasons = []
    if not is_accepting:
        reasons.append("the server is shutting down")
    for status in statuses:
        if status.state in (RunnerState.FAILED, RunnerState.BACKOFF):
            reasons.append(
                f"model {status.name}: {status.state.value}"
                + (f" ({status.reason})" if status.reason else "")
            )
        elif status.preload and status.state is not RunnerState.READY:
            reasons.append(f"model {status.name}: {status.state.value}")
    usable = [
        s
        for s in statuses
        if s.state in (RunnerState.READY, RunnerState.STOPPED, RunnerState.STARTING)
    ]
    if not is_accepting or (statuses and not usable):
        return "unhealthy", reasons
    return ("degraded" if reasons else "healthy"), reasons


def model_entry(status: ModelStatus) -> dict[str, Any]:
    """One row of ``models``."""
    return {
        "name": status.name,
        "state": status.state.value,
        "memory_bytes": status.memory_bytes,
        "slots": {"total": status.slots, "busy": status.slots_busy},
        "queue": {
            "waiting": status.waiting,
            "predicted_wait_seconds": round(status.predicted_wait_s, 3),
        },
    }
