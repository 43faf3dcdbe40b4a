"""One runner's process, seen from main: started through the shim, its output taken, surely ended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rempart.runners import shim
from rempart.runners.kinds.interface import Launch
from rempart.runners.kinds.programs import search_path

SHIM = Path(shim.__file__)
STATUS_FD_VARIABLE = "REMPART_STATUS_FD"
READ_BYTES = 64 * 1024
STOP_MARGIN_S = 3.0
"""What the shim gets beyond the runner's own time before it is urged."""

PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"),
)
"""All that a runner gets of our environment: where programs and caches are, which GPUs it may use.
An allow-list, since the environment is where keys of other services stand."""

ALWAYS = {
    # Threads that wait spinning bring generation from 50 to 4 tokens/s on a busy machine.
    "OMP_WAIT_POLICY": "passive",
    # A runner serves what is there; it asks nobody, and starts without the internet.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
}


def minimal_environment(ours: dict[str, str]) -> dict[str, str]:
    """The environment every runner starts from."""
    passed = {name: ours[name] for name in PASSED_ON if name in ours}
    return passed | {"PATH": search_path(ours.get("PATH", os.defpath))} | ALWAYS


def exit_reason(status: int) -> str:
    """How a process ended, for people: ``it exited with status 3``, ``it was ended by SIGSEGV``.

    Args:
        status: as the shim gives it (128 + n for signal n), or negative for the shim's own signal.
    """
    if status < 0:
        return f"its guard was ended by {_signal_name(-status)}"
    if status > 128 and (name := _signal_name(status - 128)):
        hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
        return f"it was ended by {name}{hint}"
    if status == shim.CANNOT_START:
        return "its program could not be started (status 127)"
    return f"it exited with status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


class RunnerProcess:
    """A started runner. Made by ``start``; ``wait`` gives its exit status.

    Everything it holds (descriptors, the process id) is given back when the process has ended.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        stop_s: float,
        lifeline: int,
        outputs: dict[int, Callable[[bytes], None]],
    ) -> None:
        self._process = process
        self._stop_s = stop_s
        self._lifeline = lifeline
        self._outputs = outputs
        self._pidfd = os.pidfd_open(process.pid)
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._is_abandoned = False
        self._status = 0
        for descriptor, take in outputs.items():
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._read, descriptor, take)
        self._loop.add_reader(self._pidfd, self._on_exit)

    @classmethod
    def start(
        cls,
        launch: Launch,
        *,
        stop_s: float,
        environment: dict[str, str],
        on_output: Callable[[bytes], None],
        on_status: Callable[[bytes], None],
    ) -> "RunnerProcess":
        """Start it. Must be called in main's thread, with its event loop running.

        The shim's death signal follows the *thread* that starts it, so a pool thread that ends
        would take the runner with it.

        Args:
            stop_s: how long it may take to end by itself.
            environment: ours; only ``PASSED_ON`` of it reaches the runner.
            on_output: gets what it prints, on either stream.
            on_status: gets what it writes on its status pipe, if it has one.

        Raises:
            OSError: no process or descriptor could be made.
        """
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            lifeline_read, lifeline = _pipe(theirs, undo, read_is_theirs=True)
            output, output_write = _pipe(theirs, undo, read_is_theirs=False)
            outputs = {output: on_output}
            passed = [lifeline_read]
            status_text = "-"
            own = dict(launch.environment)
            if launch.has_status_pipe:
                status, status_write = _pipe(theirs, undo, read_is_theirs=False)
                outputs[status] = on_status
                passed.append(status_write)
                status_text = str(status_write)
                own[STATUS_FD_VARIABLE] = str(shim.STATUS_FD)
            process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(SHIM)),
                    *(str(lifeline_read), status_text, str(os.getpid()), str(stop_s), "--"),
                    *launch.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                env=minimal_environment(environment) | own,
                pass_fds=passed,
            )
            started = cls(process, stop_s=stop_s, lifeline=lifeline, outputs=outputs)
            undo.pop_all()
        return started

    @property
    def pid(self) -> int:
        """The shim's process id: the only child of ours in this."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not (self._ended.is_set() or self._is_abandoned)

    async def wait(self) -> int:
        """Until it and all that it has forked are gone.

        Returns:
            The runner's exit status, 128 + n after signal n; negative when the shim itself was
            ended by a signal, then ``shim_sweep`` ends what is left.
        """
        await self._ended.wait()
        return self._status

    async def stop(self) -> int:
        """End it gracefully, then by force; gives what ``wait`` gives."""
        if self._is_abandoned:
            return self._status
        for number, patience_s in (
            (signal.SIGTERM, self._stop_s + STOP_MARGIN_S),
            (signal.SIGQUIT, STOP_MARGIN_S),
            (signal.SIGKILL, None),
        ):
            self._send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    return await self.wait()
        return self._status

    def kill(self) -> None:
        """Have it and all that it has forked ended by force at once; ``wait`` tells when."""
        self._send(signal.SIGQUIT)

    def abandon(self) -> None:
        """Main is ending in disorder: cut the lifeline, and the shim ends everything by itself."""
        if self.is_running:
            self._is_abandoned = True
            self._close()
            self._process.returncode = 0  # nobody will wait; keeps Popen from warning of it

    def _send(self, number: int) -> None:
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _read(self, descriptor: int, take: Callable[[bytes], None]) -> bool:
        """Take what is there; whether there may be more."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            take(data)
        else:
            self._loop.remove_reader(descriptor)
        return bool(data)

    def _on_exit(self) -> None:
        status = self._process.poll()
        if status is None:
            return
        # What it said last often tells why. Bounded: something that escaped may still be writing.
        for descriptor, take in self._outputs.items():
            for _ in range(64):
                if not self._read(descriptor, take):
                    break
        self._status = status
        self._close()
        self._ended.set()

    def _close(self) -> None:
        for descriptor in (*self._outputs, self._pidfd):
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        os.close(self._lifeline)
        self._outputs = {}


def _pipe(
    theirs: contextlib.ExitStack, undo: contextlib.ExitStack, *, read_is_theirs: bool
) -> tuple[int, int]:
    """A pipe: the child's end is closed when it has started, ours only when it could not be."""
    read, write = os.pipe()
    theirs.callback(os.close, read if read_is_theirs else write)
    undo.callback(os.close, write if read_is_theirs else read)
    return read, write
