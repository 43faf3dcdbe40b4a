"""Where we write: the data folder, the log's folder; and who can read the configuration."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from rempart.base.quantities import bytes_text
from rempart.cli.checks.finding import Finding, error, ok, warning
from rempart.settings.rules import SOCKET_PATH_BYTES_MAX

FREE_BYTES_MIN = 100 * 1024**2
FREE_BYTES_GOOD = 1024**3


def data_folder(data_dir: Path, free_bytes: int | None = None) -> list[Finding]:
    """Whether the data folder can be used, is private, and has room.

    Args:
        free_bytes: of its file system; None looks.
    """
    socket_bytes = len(os.fsencode(data_dir / "control.sock"))
    if socket_bytes > SOCKET_PATH_BYTES_MAX:
        return [
            error(
                "data_folder",
                f"{data_dir} is too long a path: its control socket needs {socket_bytes} bytes, the "
                f"system allows {SOCKET_PATH_BYTES_MAX}",
                "Choose a shorter data_dir.",
            )
        ]
    existing = _nearest_existing(data_dir)
    if reason := _unwritable(existing):
        remedy = "Choose another data_dir, or make it writable for the user that runs the server."
        return [error("data_folder", f"{data_dir} cannot be written: {reason}", remedy)]
    findings = [ok("data_folder", f"{data_dir} can be written")]
    if existing == data_dir and data_dir.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        findings = [
            warning(
                "data_folder",
                f"{data_dir} can be entered by other users; it holds keys",
                f"chmod 700 {data_dir}",
            )
        ]
    free = shutil.disk_usage(existing).free if free_bytes is None else free_bytes
    text = f"{bytes_text(free)} free for {data_dir}"
    if free < FREE_BYTES_MIN:
        findings.append(error("disk", text, "Make room: logs and models need more."))
    elif free < FREE_BYTES_GOOD:
        findings.append(warning("disk", text, "Make room: a model alone may need more."))
    else:
        findings.append(ok("disk", text))
    return findings


def log_folder(file: str) -> Finding:
    """Whether the log can be written."""
    if not file:
        return ok("log", "no log file (logs.file is empty)")
    folder = _nearest_existing(Path(file).parent)
    if reason := _unwritable(folder):
        return error(
            "log",
            f"{file} cannot be written: {reason}",
            'Set logs.file to a file that can, or to "" for none.',
        )
    return ok("log", f"{file} can be written")


def config_file(file: Path, has_secrets: bool) -> list[Finding]:
    """Whether other users can read secrets in the configuration."""
    if not has_secrets or not file.exists() or not file.stat().st_mode & stat.S_IROTH:
        return []
    return [
        warning(
            "config_file",
            f"{file} holds secrets and can be read by every user",
            f"chmod 600 {file}, or name files instead: api_key_file, master_key_file.",
        )
    ]


def _nearest_existing(folder: Path) -> Path:
    """The folder, or the first above it that is there; one that may not be looked at counts as there."""
    while folder != folder.parent:
        try:
            folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            folder = folder.parent
        except OSError:
            return folder
        else:
            return folder
    return folder


def _unwritable(folder: Path) -> str:
    """Why no file can be made in it; empty when one can. It is really tried: mode bits do not tell
    of read-only mounts and full disks."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rempart-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as problem:
        return problem.strerror or str(problem)
    return ""
