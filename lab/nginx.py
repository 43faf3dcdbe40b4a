"""A real nginx with the configuration of ``deploy/nginx.conf``, on free ports, in a folder of its own."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.new_certificates import Pair

NGINX = "/usr/sbin/nginx"
CONFIGURATION = Path(__file__).parent.parent / "deploy" / "nginx.conf"


@dataclass
class Nginx:
    """A running one; ``port`` speaks TLS, ``plain_port`` the same server without, for bytes as they are."""

    folder: Path
    port: int
    plain_port: int
    redirect_port: int

    def seen(self) -> list[dict[str, Any]]:
        """Its access log."""
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def errors(self) -> str:
        """Its error log."""
        return (self.folder / "error.log").read_text()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def configured(
    folder: Path, pair: Pair, upstream_port: int, ports: list[int], changes: dict[str, str]
) -> str:
    """The shipped file with its places filled in; what is not found there fails."""
    text = CONFIGURATION.read_text()
    tls, plain, redirect = ports
    filled = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream_port};",
        "listen 80;\n    listen [::]:80;": f"listen 127.0.0.1:{redirect};",
        "listen 443 ssl http2;\n    listen [::]:443 ssl http2;": (
            f"listen 127.0.0.1:{tls} ssl http2;\n    listen 127.0.0.1:{plain};"
        ),
        "/etc/nginx/tls/api.example.com.pem": str(pair.cert),
        "/etc/nginx/tls/api.example.com.key": str(pair.key),
        "/var/log/nginx/rempart.log": str(folder / "access.log"),
        **changes,
    }
    for old, new in filled.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def running_nginx(
    folder: Path, pair: Pair, upstream_port: int, changes: dict[str, str] | None = None
) -> Iterator[Nginx]:
    """Before whatever listens on ``upstream_port``; ended with the block.

    Args:
        changes: more replacements in the shipped file, such as shorter times.
    """
    ports = _free_ports(3)
    (folder / "rempart.conf").write_text(
        configured(folder, pair, upstream_port, ports, changes or {})
    )
    temporary = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nworker_processes 1;\npid {folder / 'pid'};\n"
        f"error_log {folder / 'error.log'} info;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n{temporary}"
        f"include {folder / 'rempart.conf'};\n}}\n"
    )
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _until_listening(process, ports[1])
        yield Nginx(folder, *ports)
    finally:
        process.terminate()
        process.communicate(timeout=20)
        shutil.rmtree(folder / "client_body", ignore_errors=True)


def _until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate()[1].decode()) from None
            time.sleep(0.02)


def directive(name: str) -> str:
    """A directive's value in the shipped file."""
    found = re.search(rf"^\s*{name} ([^;]+);", CONFIGURATION.read_text(), re.MULTILINE)
    assert found, name
    return found[1]
