"""Every metric in one table, and the handles with which processes count.

To add a metric: a row in ``TABLE``. Names and labels are part of the contract; label values come from
lists of bounded length (configured models, our operations, HTTP statuses), never from a client.
"""

from bisect import bisect_left
from enum import Enum
from typing import NamedTuple

from rempart.telemetry.cells import SPARE, Cells, Sums

DURATION_BUCKETS_S = tuple(round(0.01 * 2**k, 2) for k in range(14))
"""0.01 s to 81.92 s, doubling: the buckets of OpenTelemetry's GenAI conventions."""


class Kind(Enum):
    """What Prometheus calls the type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One row: name with its unit, kind, labels, and what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


TABLE: tuple[Metric, ...] = (
    Metric(
        "rempart_requests_total",
        Kind.COUNTER,
        ("operation", "model", "status"),
        'Requests that ended, by operation, model and status; unknown models count under model="".',
    ),
    Metric(
        "rempart_errors_total", Kind.COUNTER, ("code",), "Error answers and error events, by code."
    ),
    Metric(
        "rempart_tokens_total",
        Kind.COUNTER,
        ("model", "kind"),
        "Tokens, kind prompt or completion, of requests that ended.",
    ),
    Metric(
        "rempart_wasted_tokens_total",
        Kind.COUNTER,
        ("model",),
        "Completion tokens that runners made for requests that were cancelled.",
    ),
    Metric(
        "rempart_request_duration_seconds",
        Kind.HISTOGRAM,
        ("operation", "model"),
        "From received to last byte.",
    ),
    Metric(
        "rempart_time_to_first_token_seconds",
        Kind.HISTOGRAM,
        ("model",),
        "From received to the first chunk of the answer.",
    ),
    Metric("rempart_queue_seconds", Kind.HISTOGRAM, ("model",), "Time spent waiting for a slot."),
    Metric("rempart_requests_in_flight", Kind.GAUGE, (), "Requests that are being served."),
    Metric(
        "rempart_response_bytes_total",
        Kind.COUNTER,
        ("operation",),
        "Bytes of answers, headers left out.",
    ),
    Metric(
        "rempart_http_refused_total",
        Kind.COUNTER,
        ("status",),
        "Requests refused by the HTTP layer, before any operation.",
    ),
    Metric(
        "rempart_tls_handshakes_failed_total",
        Kind.COUNTER,
        (),
        "Connections that got no further than their TLS handshake.",
    ),
    Metric(
        "rempart_guard_findings_total",
        Kind.COUNTER,
        ("part", "detector", "kind"),
        "What the guard found, part prompt or answer.",
    ),
    Metric(
        "rempart_limit_refusals_total",
        Kind.COUNTER,
        ("limit", "scope"),
        "Requests refused by a limit, scope key, project, end_user, model, address or server.",
    ),
    Metric(
        "rempart_limits_unsettled_total",
        Kind.COUNTER,
        (),
        "Times that what a request used could not be settled at once: the shared state was away.",
    ),
    Metric(
        "rempart_log_lines_dropped_total", Kind.COUNTER, (), "Log lines that could not be written."
    ),
    Metric(
        "rempart_runner_restarts_total",
        Kind.COUNTER,
        ("model",),
        "Times a runner ended without having been asked to.",
    ),
    Metric(
        "rempart_worker_restarts_total",
        Kind.COUNTER,
        ("process",),
        "Gateway and control processes replaced after they died.",
    ),
    Metric(
        "rempart_series_dropped_total",
        Kind.COUNTER,
        (),
        "Counts that were lost because their series found no room in a process's cells.",
    ),
)
BY_NAME = {metric.name: metric for metric in TABLE}
GAUGES = frozenset(metric.name for metric in TABLE if metric.kind is Kind.GAUGE)


def series(name: str, labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The text form ``name{label="value"}`` under which a cell is kept and exposed."""
    if not labels:
        return name
    inner = ",".join(
        f'{label}="{_escape(value)}"' for label, value in zip(labels, values, strict=True)
    )
    return f"{name}{{{inner}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    """As in a label's value, but that quotation marks stand for themselves."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


class Counter:
    """Adds to the series of one metric; the position of each label combination is remembered."""

    __slots__ = ("_cells", "_labels", "_name", "_positions")

    def __init__(self, cells: Cells, name: str) -> None:
        self._cells = cells
        self._name = name
        self._labels = BY_NAME[name].labels
        self._positions: dict[tuple[str, ...], int] = {}

    def add(self, amount: float, *values: str) -> None:
        """Add ``amount`` to the series with these label values (in the table's order)."""
        position = self._positions.get(values)
        if position is None:
            position = self._cells.cell(series(self._name, self._labels, values))
            if position != SPARE:
                self._positions[values] = position
        self._cells.values[position] += amount


class Histogram:
    """Counts observations in the buckets of ``DURATION_BUCKETS_S``."""

    __slots__ = ("_cells", "_labels", "_name", "_positions")

    def __init__(self, cells: Cells, name: str) -> None:
        self._cells = cells
        self._name = name
        self._labels = BY_NAME[name].labels
        self._positions: dict[tuple[str, ...], list[int]] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """Count one observation. Cells hold plain (not cumulative) buckets; exposing adds them up."""
        positions = self._positions.get(values)
        if positions is None:
            bounds = [*(f"{bound:g}" for bound in DURATION_BUCKETS_S), "+Inf"]
            positions = [
                self._cells.cell(
                    series(f"{self._name}_bucket", (*self._labels, "le"), (*values, bound))
                )
                for bound in bounds
            ]
            positions.append(self._cells.cell(series(f"{self._name}_sum", self._labels, values)))
            if SPARE not in positions:
                self._positions[values] = positions
        cells = self._cells.values
        cells[positions[bisect_left(DURATION_BUCKETS_S, seconds)]] += 1
        cells[positions[-1]] += seconds


class Metrics:
    """The handles of one process."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.requests = Counter(cells, "rempart_requests_total")
        self.errors = Counter(cells, "rempart_errors_total")
        self.tokens = Counter(cells, "rempart_tokens_total")
        self.wasted_tokens = Counter(cells, "rempart_wasted_tokens_total")
        self.duration = Histogram(cells, "rempart_request_duration_seconds")
        self.ttft = Histogram(cells, "rempart_time_to_first_token_seconds")
        self.queue = Histogram(cells, "rempart_queue_seconds")
        self.in_flight = Counter(cells, "rempart_requests_in_flight")
        self.response_bytes = Counter(cells, "rempart_response_bytes_total")
        self.http_refused = Counter(cells, "rempart_http_refused_total")
        self.handshakes_failed = Counter(cells, "rempart_tls_handshakes_failed_total")
        self.guard_findings = Counter(cells, "rempart_guard_findings_total")
        self.limit_refusals = Counter(cells, "rempart_limit_refusals_total")
        self.limits_unsettled = Counter(cells, "rempart_limits_unsettled_total")
        self.log_lines_dropped = Counter(cells, "rempart_log_lines_dropped_total")
        self.runner_restarts = Counter(cells, "rempart_runner_restarts_total")
        self.worker_restarts = Counter(cells, "rempart_worker_restarts_total")


def exposition(sums: Sums) -> bytes:
    """All series in Prometheus' text format 0.0.4, in the table's order."""
    groups: dict[str, list[tuple[str, float]]] = {metric.name: [] for metric in TABLE}
    for text, value in sums.items():
        name = text.partition("{")[0]
        for suffix in ("_bucket", "_sum"):
            if name.endswith(suffix) and name.removesuffix(suffix) in groups:
                name = name.removesuffix(suffix)
        if name in groups:
            groups[name].append((text, value))
    lines: list[str] = []
    for metric in TABLE:
        lines.append(f"# HELP {metric.name} {_escape_help(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind.value}")
        if metric.kind is Kind.HISTOGRAM:
            lines += _histogram_lines(metric.name, groups[metric.name])
        else:
            lines += [f"{text} {value:.17g}" for text, value in sorted(groups[metric.name])]
    return ("\n".join(lines) + "\n").encode()


def _histogram_lines(name: str, found: list[tuple[str, float]]) -> list[str]:
    buckets: dict[str, dict[str, float]] = {}
    sums: dict[str, float] = {}
    for text, value in found:
        inner = text.partition("{")[2].removesuffix("}")
        if text.startswith(f"{name}_sum"):
            sums[inner] = value
        else:
            labels, _, bound = inner.rpartition('le="')
            buckets.setdefault(labels.removesuffix(","), {})[bound.removesuffix('"')] = value
    lines: list[str] = []
    for labels in sorted(buckets):
        so_far = 0.0
        prefix = f"{labels}," if labels else ""
        for bound in [*(f"{bound:g}" for bound in DURATION_BUCKETS_S), "+Inf"]:
            so_far += buckets[labels].get(bound, 0.0)
            lines.append(f'{name}_bucket{{{prefix}le="{bound}"}} {so_far:.17g}')
        tail = f"{{{labels}}}" if labels else ""
        lines.append(f"{name}_sum{tail} {sums.get(labels, 0.0):.17g}")
        lines.append(f"{name}_count{tail} {so_far:.17g}")
    return lines


class RequestTotals(NamedTuple):
    """What /health says of all requests of all workers, probes left out."""

    requests: int
    errors: int
    duration_s: float


NOT_COUNTED = frozenset({"health", "livez", "readyz", "metrics", "docs", "openapi"})
"""Operations that watch the server; they are in the metrics, yet not in /health's figures."""


def request_totals(sums: Sums) -> RequestTotals:
    """Requests, those answered with 400 and above (a client that left is not an error), and their seconds."""
    requests = errors = 0
    duration_s = 0.0
    for text, value in sums.items():
        name, _, inner = text.partition("{")
        if name not in ("rempart_requests_total", "rempart_request_duration_seconds_sum"):
            continue
        operation = inner.partition('operation="')[2].partition('"')[0]
        if operation in NOT_COUNTED:
            continue
        if name.endswith("_sum"):
            duration_s += value
            continue
        requests += int(value)
        status = inner.partition('status="')[2].partition('"')[0]
        if status >= "400" and status != "499":
            errors += int(value)
    return RequestTotals(requests, errors, duration_s)
