"""How long a client that behaves waits while a thousand others flood the server, beside how long in quiet.

    python -m bench.flood [--clients 1000] [--seconds 5]

Everything runs on this machine, the attackers too: with few cores their own work is much of what is measured.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path

from bench.compare import quantile
from lab.command import rempart
from lab.floods import ATTACKS, flood_and_behave, flood_config
from lab.server import RempartServer, running_server
from lab.upstream_process import upstream_process

NO_LIMITS = ("--limit", "requests_per_minute=none", "--limit", "requests_per_hour=none")


def new_key(server: RempartServer, *options: str) -> str:
    """A key of this server."""
    command = ("keys", "create", "--name", "flood", *options, "--json")
    ran = rempart(*command, "--data-dir", str(server.data_dir), cwd=server.folder)
    if ran.code:
        raise RuntimeError(ran.err)
    return str(json.loads(ran.out)["key"])


def p50_and_p99_ms(times: list[float]) -> tuple[float, float]:
    """Of seconds."""
    return quantile(times, 0.5) * 1000, quantile(times, 0.99) * 1000


def measure(server: RempartServer, clients: int, seconds: float) -> None:
    """Quiet, then each flood, printed one a line."""
    good = new_key(server, *NO_LIMITS)

    def run(kind: str, count: int, bad_key: str) -> None:
        bad, _, times = asyncio.run(
            flood_and_behave(
                kind, server.port, clients=count, seconds=seconds, bad_key=bad_key, good_key=good
            )
        )
        p50, p99 = p50_and_p99_ms(times)
        quiet.setdefault("p99", p99)
        print(
            f"{kind if count else 'quiet':16} n {len(times):5}  p50 {p50:8.2f} ms  p99 {p99:8.2f} ms"
            f"  {p99 / quiet['p99']:6.1f} x quiet  answered {dict(sorted(bad.items()))}",
            flush=True,
        )

    quiet: dict[str, float] = {}
    run("over_the_limit", 0, "")
    for kind in ATTACKS:
        own = NO_LIMITS if kind == "big_bodies" else ()
        run(kind, clients, new_key(server, *own))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} CPUs, 2 workers, {options.clients} clients, load {os.getloadavg()[0]:.1f}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream_process() as far,
        upstream_process() as near,
        running_server(Path(folder), flood_config(far, near)) as server,
    ):
        measure(server.until_ready(), options.clients, options.seconds)


if __name__ == "__main__":
    main()
