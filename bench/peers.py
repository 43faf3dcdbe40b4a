"""Other gateways, each installed once in an environment of its own below .cache/peers/.

Of those for language models that come as a wheel, these two cost the least CPU time per request; the
first that installs is taken. A benchmark without one is still a benchmark, so none is required.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".cache" / "peers"
INSTALL_S_MAX = 180.0
API_KEY = "sk-bench"


class NotInstalled(Exception):
    """None could be installed; the text says why."""


@dataclass(frozen=True)
class Peer:
    """An installed gateway.

    Args:
        arguments: of its command; ``{port}``, ``{metrics_port}`` and ``{upstream}`` are replaced.
    """

    name: str
    version: str
    program: Path
    arguments: tuple[str, ...]
    ready_path: str
    api_key: str = ""

    def command(self, *, port: int, metrics_port: int, upstream: str) -> list[str]:
        """Its command line."""
        names = {"port": str(port), "metrics_port": str(metrics_port), "upstream": upstream}
        return [str(self.program), *(argument.format(**names) for argument in self.arguments)]


ARGUMENTS = {
    "vllm-router": (
        *("--host", "127.0.0.1", "--port", "{port}", "--worker-urls", "{upstream}"),
        *("--policy", "round_robin", "--log-level", "error", "--prometheus-port", "{metrics_port}"),
    ),
    "smg": (
        *("launch", "--host", "127.0.0.1", "--port", "{port}", "--worker-urls", "{upstream}"),
        *("--policy", "least_load", "--api-key", API_KEY, "--log-level", "error"),
        *("--prometheus-port", "{metrics_port}"),
    ),
}
READY_PATH = {"vllm-router": "/health", "smg": "/readiness"}


def ensure() -> Peer:
    """The first that is there or can be installed.

    Raises:
        NotInstalled: none.
    """
    reasons = []
    for name in ARGUMENTS:
        try:
            return _installed(name)
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{name}: {error}")
    raise NotInstalled("no peer could be installed: " + "; ".join(reasons))


def _installed(name: str) -> Peer:
    environment = FOLDER / name
    program = environment / "bin" / name
    python = environment / "bin" / "python"
    if not program.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        print(f"· installing {name} into {environment}", file=sys.stderr)
        _run(
            uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(environment)
        )
        _run(uv, "pip", "install", "--quiet", "--python", str(python), name)
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return Peer(
        name=name,
        version=_run(str(python), "-c", code).strip(),
        program=program,
        arguments=ARGUMENTS[name],
        ready_path=READY_PATH[name],
        api_key=API_KEY if name == "smg" else "",
    )


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=True
    )
    return done.stdout
