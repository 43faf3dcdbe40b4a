"""Both listeners' own descriptions, sent at them by schemathesis: no 500, every answer as documented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_server import config_for, upstream

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    with (
        upstream() as fake,
        running_server(folder, config_for(fake, more='[logs]\nconsole = "off"\n')) as one,
    ):
        yield one.until_ready()


def send_everything(url: str) -> set[str]:
    """Send what each operation's description allows, and what it does not; gives the operations sent."""
    schema = schemathesis.openapi.from_url(url, wait_for_schema=20)
    sent = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(
            case=strategies.one_of(
                *(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)
            )
        )
        @QUICK
        def check(case: Any) -> None:
            if isinstance(case.body, dict) and "model" in case.body and case.body["model"] != "":
                case.body["model"] = "far"  # so that it goes further than to "no such model"
            case.call_and_validate(headers=KEY, checks=CHECKS)

        check()
        sent.add(operation.label)
    return sent


def test_the_data_plane_answers_as_documented(server: RempartServer) -> None:
    sent = send_everything(f"{server.url}/openapi.json")
    assert "POST /v1/chat/completions" in sent
    assert len(sent) >= 16


def test_control_answers_as_documented(server: RempartServer) -> None:
    until(lambda: server.get("/livez", control=True)[0] == 200, 20, "control serves")
    assert send_everything(f"http://127.0.0.1:{server.control_port}/openapi.json")


def test_nothing_of_it_was_a_bug(server: RempartServer) -> None:
    """Runs last in this file: what was sent above left no traceback in the log."""
    assert not [line for line in server.log() if line["event"] == "bug"]
    assert server.get("/readyz")[0] == 200
