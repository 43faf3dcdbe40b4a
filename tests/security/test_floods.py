"""A thousand clients at once, of four bad kinds; beside them one that behaves is served all along.

The figures (its p99 beside its quiet one) come from ``bench/flood.py``.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.command import rempart
from lab.floods import flood_and_behave, flood_config
from lab.server import RempartServer, running_server, until
from lab.upstream_process import upstream_process

CLIENTS = 1000
FLOOD_S = 5.0
GROWTH_MAX_BYTES = 48 * 1024 * 1024
DESCRIPTORS_MORE_MAX = 8
"""Connections to the upstream that stay, and files that were opened for the first time."""
ASKED_MIN = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder = tmp_path_factory.mktemp("flooded")
    with (
        upstream_process() as far,
        upstream_process() as near,
        running_server(folder, flood_config(far, near)) as one,
    ):
        yield one.until_ready()


def new_key(server: RempartServer, *limits: str) -> str:
    options = [word for limit in limits for word in ("--limit", limit)]
    command = ["keys", "create", "--name", "t", *options, "--json"]
    ran = rempart(*command, "--data-dir", str(server.data_dir), cwd=server.folder)
    assert ran.code == 0, ran.err
    return str(json.loads(ran.out)["key"])


@pytest.fixture(scope="module")
def good_key(server: RempartServer) -> str:
    return new_key(server, "requests_per_minute=none", "requests_per_hour=none")


def resident_bytes(pid: int) -> int:
    (line,) = [
        one
        for one in Path(f"/proc/{pid}/status").read_text().splitlines()
        if one.startswith("VmRSS:")
    ]
    return int(line.split()[1]) * 1024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def flooded(server: RempartServer, good_key: str, kind: str, bad_key: str) -> Counter[int]:
    """Flood; see the good client served, the server healthy and nothing kept; what the flood was answered."""

    workers = server.worker_pids
    before = {pid: (resident_bytes(pid), descriptors(pid)) for pid in workers}
    bad, good, _ = asyncio.run(
        flood_and_behave(
            kind,
            server.port,
            clients=CLIENTS,
            seconds=FLOOD_S,
            bad_key=bad_key,
            good_key=good_key,
        )
    )
    assert set(good) == {200}
    assert good[200] >= ASKED_MIN
    assert bad[500] == 0
    assert server.worker_pids == workers, "none was replaced"
    for pid, (_, few) in before.items():
        until(lambda p=pid, n=few: descriptors(p) <= n + DESCRIPTORS_MORE_MAX, 10, "closed")
    grown = {pid: resident_bytes(pid) - before[pid][0] for pid in workers}
    assert max(grown.values()) < GROWTH_MAX_BYTES, grown
    assert server.health()["status"] == "healthy"
    return bad


@pytest.mark.requirement("recommend-security")
def test_keys_that_nobody_made(server: RempartServer, good_key: str) -> None:
    """All come from the good client's own address, which is blocked: a key that verifies is let in."""
    bad = flooded(server, good_key, "unknown_keys", "")
    assert set(bad) <= {401, 429, 0}
    assert bad[401] <= 20, "two workers may each have told some before the address was blocked"
    assert bad[429] >= CLIENTS


@pytest.mark.requirement("rate-limit-per-client", "problem-rate-limit")
def test_one_key_in_a_thousand_hands(server: RempartServer, good_key: str) -> None:
    bad = flooded(server, good_key, "over_the_limit", new_key(server))
    assert set(bad) <= {200, 429, 0}
    assert bad[200] <= 60
    assert bad[429] >= CLIENTS


def test_bodies_above_the_bound(server: RempartServer, good_key: str) -> None:
    bad = flooded(server, good_key, "big_bodies", new_key(server, "requests_per_minute=none"))
    assert set(bad) <= {413, 429, 0}
    assert bad[413] > 0


@pytest.mark.requirement("slow-clients")
def test_streams_that_nobody_reads(server: RempartServer, good_key: str) -> None:
    bad = flooded(server, good_key, "slow_readers", new_key(server))
    assert set(bad) <= {200, 429, 0}
    assert 0 < bad[200] <= 60
