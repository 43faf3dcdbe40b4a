"""Ports we want, and servers we lean on."""

import errno
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from rempart.cli.checks.finding import Finding, error, note, ok, warning
from rempart.settings.model import Model, Settings

CONNECT_S = 3.0


def is_running(data_dir: Path) -> bool:
    """Whether a server answers on the control socket of this data folder."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_S)
        try:
            connection.connect(str(data_dir / "control.sock"))
        except OSError:
            return False
    return True


def ports(settings: Settings) -> list[Finding]:
    """Whether we could listen where we are told to."""
    if is_running(Path(settings.data_dir)):
        return [note("ports", f"a server is running with the data folder {settings.data_dir}")]
    server = settings.server
    return [
        port(server.host, server.port, "server.port"),
        port(server.control_host, server.control_port, "server.control_port"),
    ]


def port(host: str, number: int, setting: str) -> Finding:
    """Whether this port is free at this address.

    Args:
        setting: its name, for the message.
    """
    place = f"{host}:{number}"
    try:
        with socket.create_server((host, number), family=_family(host)):
            return ok(
                "ports", f"{place} is free ({setting})" if number else f"any free port ({setting})"
            )
    except PermissionError:
        return error(
            "ports",
            f"{place} needs rights that this user lacks ({setting})",
            "Choose a port from 1024 on, or give the right (AmbientCapabilities=CAP_NET_BIND_SERVICE).",
        )
    except OSError as problem:
        # Negative numbers are those of the resolver (EAI_NONAME and its kin).
        if problem.errno is None or problem.errno < 0 or problem.errno == errno.EADDRNOTAVAIL:
            return error(
                "ports", f"{host} is no address of this machine", 'Use "0.0.0.0" for all of them.'
            )
        owner = _owner(number)
        return error(
            "ports",
            f"{place} is taken{owner} ({setting})",
            "Stop that program, or choose another port.",
        )


def upstreams(models: Sequence[Model]) -> list[Finding]:
    """Whether each upstream's address takes a connection."""
    addresses = {url: model.name for model in models for url in model.base_urls}
    findings = []
    for url, name in addresses.items():
        parts = urlsplit(url)
        number = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            with socket.create_connection((parts.hostname or "", number), timeout=CONNECT_S):
                findings.append(ok("upstream", f"{url} takes connections ({name})"))
        except OSError as problem:
            reason = problem.strerror or str(problem)
            findings.append(
                warning(
                    "upstream",
                    f"{url} cannot be reached: {reason} ({name})",
                    "Start it, or correct base_urls.",
                )
            )
    return findings


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _owner(number: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            is_listening = connection.status == psutil.CONN_LISTEN
            if (
                is_listening
                and getattr(connection.laddr, "port", None) == number
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
