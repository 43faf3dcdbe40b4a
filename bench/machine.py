"""What the figures were taken on, and how fast it was at that moment."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("uvloop", "httptools", "msgspec", "xllamacpp")
NGINX = "/usr/sbin/nginx"
PACE_DOCUMENT = json.dumps({"messages": [{"role": "user", "content": "word " * 60}] * 4})
PACE_TURNS = 4000


def described() -> dict[str, Any]:
    """Machine and versions, for people."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{_distribution()}, {platform.system()} {platform.release()}",
        "versions": {"Python": platform.python_version(), **_packages(), "nginx": nginx_version()},
        "commit": _commit(),
    }


def moment() -> dict[str, Any]:
    """Date, load average and pace now; taken before and after each figure."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": round(os.getloadavg()[0], 2),
        "pace_us": round(pace_us(), 2),
    }


def pace_us() -> float:
    """CPU-µs for a fixed piece of work (parsing 1.3 KB of JSON): when it moves, the machine moved."""
    json.loads(PACE_DOCUMENT)
    before_s = time.process_time()
    for _ in range(PACE_TURNS):
        json.loads(PACE_DOCUMENT)
    return (time.process_time() - before_s) / PACE_TURNS * 1e6


def nginx_version() -> str:
    """As it says itself; empty where there is none."""
    try:
        done = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = re.search(r"nginx/(\S+)", done.stderr)
    return found[1] if found else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown distribution"


def _packages() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _commit() -> str:
    command = ["/usr/bin/env", "git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
