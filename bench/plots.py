"""The plots of docs/benchmarks.md, as SVG that is the same for the same figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, GREY, GREEN, ORANGE = "#2563eb", "#94a3b8", "#16a34a", "#ea580c"
WIDTH_IN = 7.2
STYLE = {
    "svg.hashsalt": "rempart",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
REQUEST_TIMES, CHUNK_TIMES = 8.0, 1.6
MEMORY_KIB = 20.0


def draw(results: dict[str, dict[str, Any]], folder: Path) -> None:
    """Write one file for each figure that has been taken, ``bench-NAME.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    drawers: dict[str, Callable[[dict[str, Any]], Figure]] = {
        "tokens_ratio": tokens_ratio,
        "request_cost": request_cost,
        "clean_streams": clean_streams,
        "cancellation": cancellation,
    }
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, drawer in drawers.items():
            if name in results:
                figure = drawer(results[name]["found"])
                figure.savefig(folder / f"bench-{name}.svg", metadata={"Date": None})


def tokens_ratio(found: dict[str, Any]) -> Figure:
    """Ratio and interval for each number of streams, and the times to first token."""
    figure, (left, right) = _axes(2)
    streams = list(found["streams"])
    rows = [found["streams"][one] for one in streams]
    ratios = [row["ratio"]["ratio"] for row in rows]
    below = [row["ratio"]["ratio"] - row["ratio"]["low"] for row in rows]
    above = [row["ratio"]["high"] - row["ratio"]["ratio"] for row in rows]
    left.errorbar(streams, ratios, yerr=[below, above], fmt="o", color=BLUE, capsize=5)
    left.axhline(found["target"], color=ORANGE, linestyle="--", linewidth=1)
    left.axhline(1.0, color=GREY, linewidth=1)
    left.set(title="tokens/s, through Rempart ÷ straight (95 %)", xlabel="streams at once")
    _bars(
        right,
        streams,
        {
            "straight, median": ([row["straight"]["first_ms_median"] for row in rows], GREY),
            "through, median": ([row["through"]["first_ms_median"] for row in rows], BLUE),
        },
    )
    right.set(title="time to first token, ms (waiting counts)", xlabel="streams at once")
    return figure


def request_cost(found: dict[str, Any]) -> Figure:
    """Least CPU-µs of each target, beside the limit that nginx's figure sets."""
    figure, axes = _axes(2)
    targets = found["targets"]
    nginx = next(target for target in targets if target["name"] == "nginx")["figures"]
    for axis, name, title, times in (
        (axes[0], "request_us", "CPU-µs per request", REQUEST_TIMES),
        (axes[1], "chunk_us", "CPU-µs per chunk, 10 ms apart", CHUNK_TIMES),
    ):
        names = [target["name"] for target in targets]
        values = [target["figures"][name]["least"] for target in targets]
        medians = [target["figures"][name]["median"] for target in targets]
        colours = [BLUE if one == "rempart" else GREY for one in names]
        axis.barh(names, values, color=colours)
        axis.plot(medians, names, "|", color="black", markersize=10, label="median")
        limit = times * nginx[name]["least"]
        axis.axvline(limit, color=ORANGE, linestyle="--", linewidth=1, label=f"{times:g} × nginx")
        axis.invert_yaxis()
        axis.set(title=title)
        axis.legend(fontsize=7)
    return figure


def clean_streams(found: dict[str, Any]) -> Figure:
    """Clean streams, and memory of an open one."""
    figure, (left, right) = _axes(2)
    targets = found["targets"]
    names = [target["name"] for target in targets]
    colours = [BLUE if name == "rempart" else GREY for name in names]
    left.barh(names, [target["clean_streams"] for target in targets], color=colours)
    left.invert_yaxis()
    left.set(title="clean streams at once, a chunk each 20 ms")
    measured = [target for target in targets if target["memory"]]
    counts = [str(row["asked"]) for row in measured[0]["memory"]] if measured else []
    shades = {"rempart": BLUE, "nginx": GREEN}
    groups = {
        target["name"]: (
            [row["kib_per_stream"] for row in target["memory"]],
            shades.get(target["name"], GREY),
        )
        for target in measured
    }
    _bars(right, counts, groups)
    right.axhline(MEMORY_KIB, color=ORANGE, linestyle="--", linewidth=1)
    right.set(title="KiB per open stream", xlabel="open streams")
    return figure


def cancellation(found: dict[str, Any]) -> Figure:
    """For each stage, the share of hang-ups after which the slot was free within a time."""
    figure, (axis,) = _axes(1)
    colours = [BLUE, GREEN, ORANGE, "#7c3aed", GREY]
    for stage, colour in zip(found["stages"], colours, strict=False):
        taken = sorted(stage["taken_ms"])
        shares = [(number + 1) / len(taken) for number in range(len(taken))]
        axis.step(taken, shares, where="post", label=stage["name"], color=colour)
    axis.axvline(found["decode_target_ms"][0], color=GREY, linestyle=":", linewidth=1)
    axis.axvline(found["decode_target_ms"][1], color=GREY, linestyle="--", linewidth=1)
    axis.set(xscale="log", xlabel="ms from hang-up to free slot", ylabel="share of hang-ups")
    axis.set(title="a slot is free again (dotted: 100 ms, dashed: 300 ms)")
    axis.legend(fontsize=7)
    return figure


def _axes(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH_IN, 2.8), layout="constrained")
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _bars(axis: Axes, labels: list[str], groups: dict[str, tuple[list[float], str]]) -> None:
    width = 0.8 / max(len(groups), 1)
    for number, (name, (values, colour)) in enumerate(groups.items()):
        places = [place + (number - (len(groups) - 1) / 2) * width for place in range(len(labels))]
        axis.bar(places, values, width, label=name, color=colour)
    axis.set_xticks(range(len(labels)), labels)
    axis.legend(fontsize=7)
