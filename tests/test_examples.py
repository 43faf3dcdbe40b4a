"""What the README and the tutorial show works when it is typed, word for word."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.newcomer import NewcomersServer, newcomers_server

ROOT = Path(__file__).parent.parent
ADDRESS = "http://127.0.0.1:8000"
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-model.md"]


@pytest.fixture(scope="module")
def served(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewcomersServer]:
    with newcomers_server(tmp_path_factory.mktemp("newcomer"), demo_model) as server:
        yield server


def shown(language: str, having: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```", page.read_text())
        found += [
            (f"{page.name} {number}", block)
            for number, block in enumerate(blocks, 1)
            if having in block
        ]
    return found


def run(served: NewcomersServer, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=served.folder,
        env={**os.environ, "KEY": served.key},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.requirement("serve", "clients")
@pytest.mark.parametrize(
    ("place", "block"), shown("python", "client"), ids=lambda value: value[:24]
)
def test_python_examples_print_an_answer(served: NewcomersServer, place: str, block: str) -> None:
    printed = run(served, sys.executable, "-c", block.replace(ADDRESS, served.url))
    assert printed.strip(), place


@pytest.mark.requirement("serve")
@pytest.mark.parametrize(("place", "block"), shown("sh", "curl"), ids=lambda value: value[:24])
def test_curl_examples_are_answered_as_the_page_says(
    served: NewcomersServer, place: str, block: str
) -> None:
    command = block.replace(ADDRESS, served.url).replace("curl ", "curl --silent --no-buffer ")
    printed = run(served, "/bin/bash", "-euo", "pipefail", "-c", command)
    if '"stream": true' in block:
        assert printed.rstrip().endswith("data: [DONE]")
    elif "messages" in block:
        assert json.loads(printed)["choices"][0]["message"]["content"]
    elif "/v1/models" in block:
        assert json.loads(printed)["error"]["code"] == "missing_api_key"
    else:
        health, log = documents(printed)
        assert health["status"] == "healthy"
        assert log["status"]


def documents(text: str) -> list[dict[str, Any]]:
    """JSON documents that stand one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text.strip():
        document, end = decoder.raw_decode(text.lstrip())
        found.append(document)
        text = text.lstrip()[end:]
    return found


@pytest.mark.requirement("serve", "setup")
def test_the_command_that_the_server_prints_works_when_pasted(served: NewcomersServer) -> None:
    line = next(line for line in served.console().splitlines() if line.lstrip().startswith("curl "))
    answer = json.loads(run(served, "/bin/bash", "-c", line.replace("curl ", "curl --silent ", 1)))
    assert answer["choices"][0]["message"]["content"]
