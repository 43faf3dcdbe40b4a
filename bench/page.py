"""docs/benchmarks.md from the kept results: every figure beside its reference, its target, and whether it is met."""

from collections.abc import Callable, Sequence
from typing import Any

from bench.plots import CHUNK_TIMES, MEMORY_KIB, REQUEST_TIMES

Found = dict[str, Any]

HEAD = """\
# Benchmarks

Written by `make bench` from what it has just measured; do not edit it by hand.
No figure stands alone: beside each is one of the same run on the same machine, and it is the ratio that counts.
CPU time is compared least against least of several rounds, since noise only ever adds; the median stands beside it.
`bench/README.md` says what each figure means and how it is taken.
"""

TITLES = {
    "tokens_ratio": "Tokens per second of a real model",
    "request_cost": "CPU time of a request and of a chunk",
    "clean_streams": "Clean streams and memory",
    "cancellation": "From a hang-up to a free slot",
    "life": "Starting, recovering, the command itself",
}


def render(results: dict[str, Found]) -> str:
    """The page, ending with a line end."""
    parts = [HEAD]
    sections: dict[str, Callable[[Found], list[str]]] = {
        "tokens_ratio": tokens_ratio,
        "request_cost": request_cost,
        "clean_streams": clean_streams,
        "cancellation": cancellation,
        "life": life,
    }
    for name, section in sections.items():
        parts.append(f"## {TITLES[name]}\n")
        if name in results:
            parts += [*section(results[name]["found"]), taken_line(results[name])]
        else:
            parts.append("Not taken yet.\n")
    if results:
        parts.append(machine_section(results))
    return "\n".join(parts).rstrip() + "\n"


def tokens_ratio(found: Found) -> list[str]:
    """Through Rempart against straight at the runner."""
    rows = []
    for streams, row in found["streams"].items():
        ratio, through, straight = row["ratio"], row["through"], row["straight"]
        interval = f"{ratio['ratio']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})"
        rows.append(
            [
                streams,
                interval,
                verdict(ratio["low"] >= found["target"]),
                str(ratio["pairs"]),
                f"{through['tokens_per_s']:.1f} / {straight['tokens_per_s']:.1f}",
                f"{straight['first_ms_median']:.0f}",
                f"{row['added_first_ms_median']:+.1f}",
                f"{row['added_first_ms_p99']:+.1f}",
            ]
        )
    target = f"lower end ≥ {found['target']}"
    heads = ["streams", "ratio (95 % interval)", target, "pairs", "tokens/s through / straight"]
    heads += ["first token straight, ms", "added, median, ms", "added, p99, ms"]
    return [
        f"The demo model, {found['tokens']} tokens per stream (half as many above the runner's slots), "
        "temperature 0, fixed seeds, the same prompts but for a number in front.",
        "Rounds come in pairs, straight and through in turn first; "
        "the interval is Student's t on the logarithms of the pairs' ratios.",
        f"The runner has {found['slots']} slots and refuses more: "
        "with 8 and 16 streams whoever goes straight waits outside for one of "
        f"{found['slots']} connections, Rempart queues.",
        "Times to first token count from the start of the round in both.\n",
        picture("tokens_ratio"),
        table(heads, rows),
    ]


def request_cost(found: Found) -> list[str]:
    """Each target's figures, and their ratio to nginx's."""
    columns = {
        "request_us": "request, not streamed",
        "stream_us": "1-chunk stream",
        "chunk_us": "chunk, 10 ms apart",
        "burst_chunk_us": "chunk, burst",
    }
    rows = []
    for target in found["targets"]:
        cells = [f"{target['name']} {target['version']}".strip()]
        for name in columns:
            ratio = target["against_reference"].get(name)
            beside = f" ({ratio:.1f}×)" if ratio and target["name"] != "nginx" else ""
            cells.append(f"{spread_text(target['figures'][name])}{beside}")
        rows.append(cells)
    lines = [
        "CPU-µs of the whole process tree: least, median of "
        f"{found['effort']['rounds']} rounds (least against nginx's least).\n",
        picture("request_cost"),
        table(["", *columns.values()], rows),
    ]
    own = next(target for target in found["targets"] if target["name"] == "rempart")
    against = own["against_reference"]
    for name, times, what in (
        ("request_us", REQUEST_TIMES, "request"),
        ("chunk_us", CHUNK_TIMES, "chunk, 10 ms apart"),
    ):
        state = verdict(against[name] <= times)
        lines.append(
            f"- Rempart per {what}: {against[name]:.1f} × nginx; at most {times:g} ×: {state}."
        )
    if "assembled_chunk_us" in own["figures"]:
        lines.append(
            "- For a client that does not stream Rempart streams from its upstream and assembles, "
            "so that a hang-up is noticed; each chunk more costs "
            f"{spread_text(own['figures']['assembled_chunk_us'])} CPU-µs."
        )
    lines += [f"- Missing: {reason}" for reason in found["missing"].values()]
    return [*lines, ""]


def clean_streams(found: Found) -> list[str]:
    """Clean streams of each target, and memory per open stream."""
    rows = [
        [
            target["name"],
            f"{target['clean_streams']:,}",
            target["first_not_clean"] or "all were clean",
        ]
        for target in found["targets"]
    ]
    ratios = ", ".join(f"{value:.2f} × {name}" for name, value in found["against"].items())
    memory = [
        [
            target["name"],
            f"{row['asked']:,}",
            f"{row['open']:,}",
            f"{row['idle_mib']:.1f}",
            f"{row['mib']:.1f}",
            f"{row['kib_per_stream']:.1f}",
            verdict(row["kib_per_stream"] <= MEMORY_KIB) if target["name"] == "rempart" else "",
        ]
        for target in found["targets"]
        for row in target["memory"]
    ]
    lines = [
        "The largest number of streams at once, a chunk each 20 ms, of which every one is whole, "
        "has no pause above 200 ms and takes no more than 200 ms longer than it should.",
        "Load and upstream share the machine with the target; *direct* is the upstream alone.\n",
        picture("clean_streams"),
        table(["", "clean streams", "what ended it"], rows),
        f"Rempart: {ratios}.\n",
        table(
            [
                "",
                "asked",
                "open",
                "idle, MiB",
                "open, MiB",
                "KiB per stream",
                f"≤ {MEMORY_KIB:g} KiB",
            ],
            memory,
        ),
    ]
    return [
        *lines,
        *(f"- {count} streams: {reason}." for count, reason in found["missing"].items()),
    ]


def cancellation(found: Found) -> list[str]:
    """Each stage's times, and the two counts of wasted tokens."""
    median_ms, p99_ms = found["decode_target_ms"]
    targets = {
        "decode": (f"≤ {median_ms:g} / {p99_ms:g}", (median_ms, p99_ms)),
        "decode, unstreamed": (f"≤ {median_ms:g} / {p99_ms:g}", (median_ms, p99_ms)),
        "prefill": (f"≤ {found['prefill_target_ms']:.0f}", (found["prefill_target_ms"],) * 2),
    }
    rows = []
    for stage in found["stages"]:
        text, limits = targets.get(stage["name"], ("", ()))
        is_met = all(
            value <= limit
            for value, limit in zip((stage["median_ms"], stage["p99_ms"]), limits, strict=False)
        )
        rows.append(
            [
                stage["name"],
                str(stage["hang_ups"]),
                f"{stage['median_ms']:.1f}",
                f"{stage['p99_ms']:.1f}",
                f"{text} {verdict(is_met)}" if limits else "",
            ]
        )
    wasted, batch = found["wasted_tokens"], found["batch"]
    is_equal = wasted["runner"] == wasted["metric"]
    size = f" The batch here: {batch['tokens']} tokens in {batch['ms']:.0f} ms." if batch else ""
    return [
        "Milliseconds from the client's hang-up until the runner's own slot is free, looked at every 2 ms.",
        "In prefill two batches and 100 ms are allowed." + ("\n" + size.strip() if size else ""),
        "A queued request is gone when the gateway no longer has it.\n",
        picture("cancellation"),
        table(["stage", "hang-ups", "median, ms", "p99, ms", "target"], rows),
        f"After {wasted['hang_ups']} hang-ups `rempart_wasted_tokens_total` says {wasted['metric']:.0f}, "
        f"the runner's own counter {wasted['runner']}: {'equal' if is_equal else 'NOT equal'}.\n",
    ]


def life(found: Found) -> list[str]:
    """Start, recovery, command."""
    rows = [
        [
            "`rempart serve demo` to ready, s",
            spread_text(found["start_s"]),
            f"loading the model alone: {spread_text(found['load_alone_s'])}",
        ],
        ["the very first start, s", f"{found['first_start_s']:.2f}", "the same"],
        [
            "runner's `kill -9` to the next answer, s",
            spread_text(found["recovery_s"]),
            f"a runner's own start: {spread_text(found['runner_start_s'])}",
        ],
        [
            "`rempart --help`, CPU s",
            spread_text(found["help_cpu_s"]),
            f"`python -c pass`: {spread_text(found['python_cpu_s'])}",
        ],
    ]
    limit = found["help_target_s"]
    is_met = found["help_cpu_s"]["median"] <= limit
    return [
        "Least, median of the rounds.\n",
        table(["", "Rempart", "beside"], rows),
        f"`rempart --help` in at most {limit:g} s of CPU time: {verdict(is_met)}.",
        "Before the first restart of a runner the supervisor waits about half a second.\n",
    ]


def machine_section(results: dict[str, Found]) -> str:
    """What it was taken on."""
    last = max(results.values(), key=lambda result: str(result["after"]["at"]))
    about = last["machine"]
    versions = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items() if version
    )
    return "\n".join(
        [
            "## The machine\n",
            f"- {about['cores']} cores of {about['processor']}, {about['memory_gib']:g} GiB, {about['system']}.",
            f"- {versions}; Rempart at {about['commit']}.",
            "- *Pace* is the CPU time of a fixed piece of work before and after each figure: "
            "when it moves, the machine moved.",
            "- Load, targets and upstream run on the same cores; least against least is good to about a tenth, "
            "a single figure to a factor of two.",
        ]
    )


def taken_line(result: Found) -> str:
    """When and how this figure was taken."""
    before, after = result["before"], result["after"]
    quick = ", quick" if result["is_quick"] else ""
    return (
        f"*Taken {before['at'][:16].replace('T', ' ')} UTC in {result['seconds']:.0f} s by "
        f"`{result['command']}`{quick}; load average {before['load_average']:g} before, "
        f"{after['load_average']:g} after; pace {before['pace_us']:g} and {after['pace_us']:g} µs.*\n"
    )


def picture(name: str) -> str:
    """The plot of a figure."""
    return f"![{TITLES[name]}](assets/bench-{name}.svg)\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table and an empty line."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def verdict(is_met: bool) -> str:
    """Whether a target is met."""
    return "met" if is_met else "**not met**"


def spread_text(spread: dict[str, float]) -> str:
    """Least and median."""
    return f"{number(spread['least'])}, {number(spread['median'])}"


def number(value: float) -> str:
    """Three figures at most."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
