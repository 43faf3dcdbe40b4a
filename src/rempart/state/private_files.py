"""Small files that hold a secret: read whole, mode 0600, written whole or not at all."""

import os
from pathlib import Path


class BootstrapError(Exception):
    """A secret given or found cannot be used; the message says why and what to do, not the secret."""


def kept_text(path: Path) -> str | None:
    """A file's text without the space around it, None where there is no file.

    Raises:
        BootstrapError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BootstrapError(
            f"{path} cannot be read: {os.strerror(error.errno or 0)}. Make it readable for this user."
        ) from error
    except UnicodeDecodeError as error:
        raise BootstrapError(f"{path} holds no text; restore it from a backup.") from error


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all, also over a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # One may be left by a process that died in between; in a container all have the same id.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
