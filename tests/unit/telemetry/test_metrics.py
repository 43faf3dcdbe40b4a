"""What is counted is what Prometheus reads: names, labels, types, cumulative buckets."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rempart.telemetry import cells
from rempart.telemetry.cells import Cells, total
from rempart.telemetry.metrics import (
    BY_NAME,
    DURATION_BUCKETS_S,
    GAUGES,
    NOT_COUNTED,
    TABLE,
    Counter,
    Histogram,
    Kind,
    Metrics,
    exposition,
    request_totals,
    series,
)

labels = st.text(st.characters(codec="utf-8"), max_size=12)


def parsed(text: bytes) -> dict[str, Any]:
    """Families by their name in the text."""
    families = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        family.name + ("_total" if family.type == "counter" else ""): family for family in families
    }


def samples(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Value by sample name and label values."""
    family = parsed(text)[name]
    return {(one.name, *one.labels.values()): one.value for one in family.samples}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


def observe_each(metrics: Metrics) -> None:
    """Count once in every metric of the table."""
    for handle in vars(metrics).values():
        if isinstance(handle, (Counter, Histogram)):
            values = [f"v{position}" for position in range(len(handle._labels))]
            if isinstance(handle, Counter):
                handle.add(1, *values)
            else:
                handle.observe(0.5, *values)


def test_every_metric_of_the_table_has_a_handle_of_its_kind(folder: Path) -> None:
    metrics = Metrics(Cells(folder, "worker-1"))
    handles = {
        handle._name: handle
        for handle in vars(metrics).values()
        if isinstance(handle, (Counter, Histogram))
    }
    for metric in TABLE:
        if metric.name == cells.DROPPED:  # the cells count it themselves
            continue
        wanted = Histogram if metric.kind is Kind.HISTOGRAM else Counter
        assert type(handles.pop(metric.name)) is wanted
    assert handles == {}
    metrics.cells.close()


@pytest.mark.requirement(
    "metrics-requests", "metrics-errors", "metrics-times", "performance-metrics"
)
def test_what_prometheus_reads_is_the_table(folder: Path) -> None:
    metrics = Metrics(Cells(folder, "worker-1"))
    observe_each(metrics)
    families = parsed(exposition(total(folder)))
    assert list(families) == [metric.name for metric in TABLE]
    for metric in TABLE:
        family = families[metric.name]
        assert family.documentation == metric.help
        assert family.type == metric.kind.value
        assert family.samples
        for sample in family.samples:
            assert tuple(name for name in sample.labels if name != "le") == metric.labels
    metrics.cells.close()


def test_before_anything_was_counted_every_metric_is_named_already() -> None:
    assert list(parsed(exposition({}))) == [metric.name for metric in TABLE]


def test_the_table_keeps_the_conventions() -> None:
    for metric in TABLE:
        assert metric.name.startswith("rempart_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_seconds") == (metric.kind is Kind.HISTOGRAM)
        assert metric.help.endswith(".")
    assert len(BY_NAME) == len(TABLE)
    assert {"rempart_requests_in_flight"} == GAUGES


def test_the_names_that_others_rely_on() -> None:
    contract = {
        "rempart_requests_total": ("operation", "model", "status"),
        "rempart_tokens_total": ("model", "kind"),
        "rempart_wasted_tokens_total": ("model",),
    }
    assert {name: BY_NAME[name].labels for name in contract} == contract


@settings(max_examples=40)
@given(labels, labels)
def test_a_label_may_have_any_text(
    tmp_path_factory: pytest.TempPathFactory, model: str, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    metrics = Metrics(Cells(folder, "worker-1"))
    metrics.tokens.add(3, model, kind)
    metrics.queue.observe(0.5, model)
    text = exposition(total(folder))
    metrics.cells.close()
    assert samples(text, "rempart_tokens_total") == {("rempart_tokens_total", model, kind): 3.0}
    assert samples(text, "rempart_queue_seconds")[("rempart_queue_seconds_count", model)] == 1.0


@settings(max_examples=40)
@given(st.lists(st.floats(0, 200) | st.sampled_from(DURATION_BUCKETS_S), max_size=30))
def test_buckets_are_cumulative_and_end_in_the_count(
    tmp_path_factory: pytest.TempPathFactory, observed: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    metrics = Metrics(Cells(folder, "worker-1"))
    for seconds in observed:
        metrics.duration.observe(seconds, "chat", "near")
    found = samples(exposition(total(folder)), "rempart_request_duration_seconds")
    metrics.cells.close()
    if not observed:
        assert found == {}
        return
    name = "rempart_request_duration_seconds"
    for bound in DURATION_BUCKETS_S:
        bucket = found[(f"{name}_bucket", "chat", "near", f"{bound:g}")]
        assert bucket == sum(seconds <= bound for seconds in observed)
    assert found[(f"{name}_bucket", "chat", "near", "+Inf")] == len(observed)
    assert found[(f"{name}_count", "chat", "near")] == len(observed)
    assert found[(f"{name}_sum", "chat", "near")] == pytest.approx(sum(observed))
    assert len(found) == len(DURATION_BUCKETS_S) + 3


@pytest.mark.requirement("metrics-times")
def test_the_buckets_double_from_10_ms_to_82_s() -> None:
    assert DURATION_BUCKETS_S[0] == 0.01
    assert DURATION_BUCKETS_S[-1] == 81.92
    ratios = [round(b / a, 6) for a, b in pairwise(DURATION_BUCKETS_S)]
    assert ratios == [2.0] * 13


def test_histograms_of_several_processes_are_added(folder: Path) -> None:
    for number in range(3):
        metrics = Metrics(Cells(folder, f"worker-{number}"))
        metrics.queue.observe(0.005, "near")
        metrics.queue.observe(1000.0, "near")
        metrics.cells.close()
        cells.fold(folder, "worker-1", leave_out=GAUGES)
    found = samples(exposition(total(folder)), "rempart_queue_seconds")
    assert found[("rempart_queue_seconds_bucket", "near", "0.01")] == 3
    assert found[("rempart_queue_seconds_bucket", "near", "81.92")] == 3
    assert found[("rempart_queue_seconds_bucket", "near", "+Inf")] == 6
    assert found[("rempart_queue_seconds_sum", "near")] == pytest.approx(3000.015)


def test_large_counts_are_told_to_the_last_one(folder: Path) -> None:
    metrics = Metrics(Cells(folder, "worker-1"))
    metrics.tokens.add(2**53 - 1, "near", "prompt")
    text = exposition(total(folder))
    metrics.cells.close()
    assert b" 9007199254740991\n" in text


def test_the_gauge_goes_up_and_down(folder: Path) -> None:
    metrics = Metrics(Cells(folder, "worker-1"))
    for amount in (1, 1, 1, -1):
        metrics.in_flight.add(amount)
    assert samples(exposition(total(folder)), "rempart_requests_in_flight") == {
        ("rempart_requests_in_flight",): 2.0
    }
    metrics.cells.close()


def test_series_that_are_no_metric_of_ours_are_not_exposed() -> None:
    assert b"other" not in exposition({"other_total": 1.0, "rempart_other_total": 2.0})


@pytest.mark.parametrize("room", [1, 6])
def test_what_finds_no_room_does_not_show_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Neither in the counter of what was dropped, which counts how often, nor as half a histogram's sum."""
    monkeypatch.setattr(cells, "SERIES_COUNT_MAX", room)
    metrics = Metrics(Cells(folder, "worker-1"))
    for _ in range(3):
        metrics.duration.observe(700.0, "chat", "near")
        metrics.tokens.add(500, "near", "prompt")
    found = total(folder)
    metrics.cells.close()
    assert found[cells.DROPPED] > 0
    assert all(value < 100 for value in found.values())
    assert not any("_sum" in name or "tokens" in name for name in found)
    parsed(exposition(found))


def test_room_that_comes_free_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for a while costs what was counted meanwhile, not the series for good."""
    monkeypatch.setattr(cells, "SERIES_COUNT_MAX", 1)
    metrics = Metrics(Cells(folder, "worker-1"))
    metrics.tokens.add(500, "near", "prompt")
    monkeypatch.setattr(cells, "SERIES_COUNT_MAX", 100)
    metrics.tokens.add(7, "near", "prompt")
    found = total(folder)
    metrics.cells.close()
    assert found == {
        cells.DROPPED: 1.0,
        series("rempart_tokens_total", ("model", "kind"), ("near", "prompt")): 7.0,
    }


@pytest.mark.requirement("health-api", "monitoring")
def test_health_s_figures_leave_probes_and_clients_that_left_out(folder: Path) -> None:
    metrics = Metrics(Cells(folder, "worker-1"))
    for status, count in (("200", 5), ("499", 2), ("404", 3), ("503", 1)):
        metrics.requests.add(count, "chat", 'near",status="500', status)
    metrics.duration.observe(2.5, "chat", "near")
    metrics.duration.observe(0.5, "models", "")
    metrics.requests.add(1, "models", "", "200")
    for operation in NOT_COUNTED:
        metrics.requests.add(100, operation, "", "503")
        metrics.duration.observe(100.0, operation, "")
    found = request_totals(total(folder))
    metrics.cells.close()
    assert found == (12, 4, 3.0)
