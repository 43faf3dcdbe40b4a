"""What a container gives Rempart - process 1, a root that cannot be written - without a container engine.

The image's own health check is taken from the Dockerfile, word for word.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.new_certificates import new_pair
from lab.newcomer import NewcomersServer, newcomers_server
from lab.server import running_server
from lab.upstream_server import config_for, upstream

DEPLOY = Path(__file__).parent.parent.parent / "deploy"

pytestmark = pytest.mark.system


def health_check() -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    found = re.search(r"(?m)^HEALTHCHECK .*?CMD (\[.*\])$", text)
    assert found
    command: list[str] = json.loads(found[1])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


@pytest.fixture
def contained(demo_model: Path) -> Iterator[NewcomersServer]:
    """A server that is process 1 of its own namespace and can write to its own folder only."""
    # Without root, a user namespace in which we are root gives the same rights.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    namespaces = ["/usr/bin/unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "REMPART_LOGS__CONSOLE": "json",
        "REMPART_LOGS__FILE": "",
    }
    # As short as /data is: the path of a socket has no room for pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="data-") as folder:
        script = Path(folder) / "contained"
        script.write_text(
            "#!/bin/sh -e\n"
            f"mount --bind {folder} {folder}\n"
            "mount -o remount,ro,bind / /\n"
            f"cd {folder}\n"
            "if touch /tmp/written 2>/dev/null; then echo 'the root can be written'; exit 97; fi\n"
            'exec "$@"\n'
        )
        script.chmod(0o755)
        prefix = [*namespaces, "--mount-proc", str(script)]
        with newcomers_server(Path(folder), demo_model, environment, prefix) as server:
            yield server


def inside(served: NewcomersServer) -> int:
    """The process id, seen from here, of the server that is process 1 over there."""
    assert served.process
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text()
    return int(children.split()[0])


@pytest.mark.requirement("deploy")
def test_as_process_1_with_a_read_only_root_it_serves_and_ends_in_order(
    contained: NewcomersServer,
) -> None:
    main = inside(contained)
    status = Path(f"/proc/{main}/status").read_text()
    assert re.search(r"(?m)^NSpid:\s+\d+\s+1$", status)
    checked = subprocess.run(
        health_check(), env={**os.environ, "REMPART_SERVER__PORT": str(contained.port)}, timeout=20
    )
    assert checked.returncode == 0
    os.kill(main, signal.SIGTERM)
    assert contained.process
    assert contained.process.wait(30) == 0


def test_the_health_check_fails_where_nothing_serves() -> None:
    done = subprocess.run(
        health_check(),
        env={**os.environ, "REMPART_SERVER__PORT": "9"},
        capture_output=True,
        timeout=20,
    )
    assert done.returncode != 0


def test_the_health_check_works_over_tls(tmp_path: Path) -> None:
    pair = new_pair(tmp_path)
    tls = f'[tls]\ncert = "{pair.cert}"\nkey = "{pair.key}"\n'
    with upstream() as fake, running_server(tmp_path, config_for(fake, more=tls)) as server:
        server.tls = pair.client()
        server.until_ready()
        checked = subprocess.run(
            health_check(), env={**os.environ, "REMPART_SERVER__PORT": str(server.port)}, timeout=20
        )
        assert checked.returncode == 0


def test_the_image_runs_as_nobody_in_particular_and_takes_only_what_it_copies() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last_stage = text[text.rindex("\nFROM ") :]
    assert re.search(r"(?m)^USER (?!0|root)\S+$", last_stage)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", text)
    for source in " ".join(copied).split():
        assert any(line.lstrip("!").startswith(source) for line in ignored), source
