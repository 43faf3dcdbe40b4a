"""Takes the figures, keeps them below bench/results/, and writes docs/benchmarks.md from what is there.

make bench                                     all of them, at most 25 minutes
make bench ARGS=--quick                        a first look, at most 6
make bench ARGS='request_cost life'            some of them; the page keeps what was found before
make bench ARGS=--page                         only the page, from the last results
"""

import argparse
import importlib
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from bench import machine, page, plots

FIGURES = ("request_cost", "clean_streams", "tokens_ratio", "cancellation", "life")
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
ASSETS = ROOT / "docs" / "assets"


def main(arguments: list[str]) -> int:
    """Exit code 1 when a figure could not be taken; the others are, and stand in the page."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    os.chdir(ROOT)
    RESULTS.mkdir(parents=True, exist_ok=True)
    command = shlex.join(
        ["make", "bench", *([f"ARGS={shlex.join(arguments)}"] if arguments else [])]
    )
    failed = False
    for name in () if options.page else options.figures or FIGURES:
        try:
            take(name, quick=options.quick, command=command)
        except Exception as error:
            failed = True
            say(f"{name} failed: {type(error).__name__}: {error}")
    results = read(RESULTS)
    plots.draw(results, ASSETS)
    PAGE.write_text(page.render(results))
    say(f"{PAGE.relative_to(ROOT)} is written")
    return int(failed)


def take(name: str, *, quick: bool, command: str) -> None:
    """Take one figure and keep it."""
    say(f"{name} ...")
    began_s = time.perf_counter()
    before = machine.moment()
    found = importlib.import_module(f"bench.{name}").measure(quick=quick)
    result = {
        "figure": name,
        "command": command,
        "is_quick": quick,
        "seconds": round(time.perf_counter() - began_s, 1),
        "before": before,
        "after": machine.moment(),
        "machine": machine.described(),
        "found": found,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    say(f"{name}: {result['seconds']:.0f} s")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The kept results by figure, in the page's order; those that were never taken are missing."""
    kept = {name: folder / f"{name}.json" for name in FIGURES}
    return {name: json.loads(path.read_text()) for name, path in kept.items() if path.exists()}


def say(line: str) -> None:
    """Progress, for whoever waits."""
    print(f"\033[2m· {line}\033[0m", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Take the figures of docs/benchmarks.md."
    )
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar="FIGURE")
    parser.add_argument("--quick", action="store_true", help="less work, wider spreads")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    return parser


def _end(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends us as Ctrl-C does, so that nothing we started is left."""
    raise KeyboardInterrupt
