"""Whether the pair of ``[tls]`` can be used: asked before a server starts or reloads, and by ``config check``."""

from pathlib import Path
from typing import TYPE_CHECKING

from rempart.cli.failure import CommandFailed

if TYPE_CHECKING:
    from rempart.net.tls import CertificateFiles
    from rempart.settings.model import Settings


def files_of(settings: "Settings") -> "CertificateFiles | None":
    """The files of ``[tls]``; None without TLS."""
    from rempart.net.tls import CertificateFiles

    tls = settings.tls
    return CertificateFiles(Path(tls.cert), Path(tls.key)) if tls.cert else None


def check_certificate(settings: "Settings") -> None:
    """Load the pair as the server will.

    Raises:
        CommandFailed: it cannot be used; says which setting, what was found, and what to do.
    """
    from rempart.net.tls import CertificateError

    files = files_of(settings)
    if files is None:
        return
    try:
        files.load()
    except CertificateError as error:
        raise CommandFailed(f"the configuration cannot be used:\n[tls]: {error}") from error
