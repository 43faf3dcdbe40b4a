"""A real server on each database: keys work, nothing secret is in its tables, and tampering is found."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.command import rempart
from lab.durable_stores import Place
from lab.postgres import Postgres, postgres_server
from lab.server import ADMIN_KEY, RempartServer, running_server

CONFIG = """
[database]
url = "{url}"
[[models]]
name = "far"
base_urls = ["http://127.0.0.1:9/v1"]
kind = "upstream"
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


def command(server: RempartServer, *arguments: str) -> str:
    """What a command against the server's data folder says."""
    ran = rempart(*arguments, "--data-dir", str(server.data_dir), cwd=server.folder)
    return ran.out + ran.err


def created(server: RempartServer, name: str) -> Any:
    return json.loads(command(server, "keys", "create", "--name", name, "--json"))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_keys_and_the_audit_log_are_in_the_database_that_is_named(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "sqlite"
    if database == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    with running_server(tmp_path, CONFIG.format(url=url)) as server:
        server.until_listening()
        place = Place(url, server.data_dir)
        made = [created(server, name) for name in ("a", "b", "c")]
        assert "is whole" in command(server, "audit", "verify")
        server.signal(signal.SIGTERM)
        server.wait()
        checkpoints = (server.data_dir / "audit.checkpoints").read_text()
        (entries,) = place.sql("SELECT sequence FROM audit_log ORDER BY sequence")
        assert f"\n{len(entries)}\n" in checkpoints
        stored = str(place.sql("SELECT * FROM keys", "SELECT * FROM audit_log"))
        assert made[0]["id"] in stored
        for secret in (*(key["key"] for key in made), ADMIN_KEY):
            assert secret.rpartition("_")[2][:30] not in stored
        place.sql(f"DELETE FROM audit_log WHERE sequence = {len(entries)}")
        assert "its end was cut off" in command(server, "audit", "verify")
