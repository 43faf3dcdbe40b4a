"""GET /metrics: the counts of all processes, in Prometheus' text format."""

from dataclasses import dataclass
from pathlib import Path

from rempart.gateway.exchange import Answer, Exchange
from rempart.telemetry.cells import total
from rempart.telemetry.metrics import exposition

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class ShowMetrics:
    """Summed when asked for; nothing is counted for it on the way of other requests."""

    folder: Path
    name: str = "metrics"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        exchange.answer = Answer(200, exposition(total(self.folder)), CONTENT_TYPE)
