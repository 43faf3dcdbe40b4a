"""How long until it serves: after the command, after a runner's death; and what a command costs.

- *start*: from the command ``rempart serve demo`` until ``/readyz`` answers 200, beside loading the same model
  with the library alone. At the very first start the runner also measures which batch suits the machine.
- *recovery*: from a runner's ``kill -9`` until a request is answered, beside a runner's own start. The
  supervisor waits 0.5 s, more or less, before the first restart.
- *command*: CPU seconds of ``rempart --help`` beside those of ``python -c pass``.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cli_help_cost import cpu_s
from bench.compare import spread
from bench.demo_server import MODEL, READY_S, SLOTS, demo_server, model_file, place_model
from bench.targets import TargetFailed
from lab.demo_runner import demo_runner
from lab.server import ADMIN_KEY, RempartServer, command_line, process_tree, running_server

NAME = "life"
ROUNDS = 5
QUICK_ROUNDS = 1
HELP_RUNS = 9
HELP_TARGET_S = 0.3
RECOVERY_S_MAX = 60.0
RETRY_S = 0.02

LOAD_ALONE = """
import os, sys
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel = 8192, int(sys.argv[2])
params.n_batch = params.n_ubatch = 64
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, os.cpu_count() - 1)
params.cache_ram_mib, params.ui, params.verbosity, params.fit_params, params.port = 0, False, 1, False, 0
server = xllamacpp.Server(params)  # kept: destroying one at once may never end
os._exit(0)
"""


def load_alone_s() -> float:
    """Seconds of a Python that loads the demo model with the library, and nothing else."""
    began_s = time.perf_counter()
    command = [sys.executable, "-c", LOAD_ALONE, str(model_file()), str(SLOTS)]
    subprocess.run(command, check=True, capture_output=True, timeout=READY_S)
    return time.perf_counter() - began_s


def starts_s(rounds: int) -> tuple[float, list[float]]:
    """Seconds of the very first start in a data folder, and of later ones."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        place_model(Path(name))
        for _ in range(rounds + 1):
            began_s = time.perf_counter()
            with running_server(Path(name), arguments=("demo",)) as server:
                until_ready(server)
                taken.append(time.perf_counter() - began_s)
            server.output.unlink()
            (Path(name) / "logs" / "api.log").unlink()
    return taken[0], taken[1:]


def until_ready(server: RempartServer) -> None:
    """Wait for 200 at /readyz.

    Raises:
        TargetFailed: it ended, or took too long.
    """
    try:
        server.until_ready(READY_S)
    except AssertionError as error:
        raise TargetFailed(f"rempart serve demo: {error}") from error


def recoveries_s(rounds: int) -> list[float]:
    """Seconds from a runner's ``kill -9`` to the next answer.

    Each of a server of its own: the pause before a restart doubles, and after five it is given up.
    """
    taken = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="b-") as name, demo_server(Path(name)) as demo:
            until_answered(demo.address)
            os.kill(runner_pid(demo.server), signal.SIGKILL)
            began_s = time.perf_counter()
            until_answered(demo.address)
            taken.append(time.perf_counter() - began_s)
    return taken


def runner_pid(server: RempartServer) -> int:
    """The runner itself, not the guard beside it whose command line ends with the runner's.

    Raises:
        TargetFailed: there is not exactly one.
    """
    found = [
        pid
        for pid in process_tree(server.pid)
        if "rempart.runners.llama_cpp_server" in command_line(pid)
        and "shim.py" not in command_line(pid)
    ]
    if len(found) != 1:
        raise TargetFailed(f"expected one runner, found {len(found)}")
    return found[0]


def until_answered(address: str) -> None:
    """Ask for one token, again and again, until there is an answer.

    Raises:
        TargetFailed: there was none in time.
    """
    document = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        data=json.dumps(document).encode(),
        headers={"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"},
    )
    deadline = time.monotonic() + RECOVERY_S_MAX
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=RECOVERY_S_MAX):
                return
        except (urllib.error.HTTPError, OSError):
            time.sleep(RETRY_S)
    raise TargetFailed(f"no answer within {RECOVERY_S_MAX:g} s")


def runner_start_s() -> float:
    """Seconds from starting a runner alone, its batch known, to its ready event."""
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        calibrated = {"calibration_dir": name}
        with demo_runner(model_file(), **calibrated):
            pass  # so that the batch is known
        began_s = time.perf_counter()
        with demo_runner(model_file(), **calibrated):
            return time.perf_counter() - began_s


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Seconds of each, as least, median and most."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    load_alone_s()  # the file's pages come into memory
    first_s, later_s = starts_s(rounds)
    program = str(Path(sys.executable).with_name("rempart"))
    cpu_s(program, "--help")  # the compiled files are written
    help_s = [cpu_s(program, "--help") for _ in range(HELP_RUNS)]
    return {
        "first_start_s": first_s,
        "start_s": asdict(spread(later_s)),
        "load_alone_s": asdict(spread([load_alone_s() for _ in range(rounds)])),
        "recovery_s": asdict(spread(recoveries_s(rounds))),
        "runner_start_s": asdict(spread([runner_start_s() for _ in range(rounds)])),
        "help_cpu_s": asdict(spread(help_s)),
        "python_cpu_s": asdict(
            spread([cpu_s(sys.executable, "-c", "pass") for _ in range(HELP_RUNS)])
        ),
        "help_target_s": HELP_TARGET_S,
    }
