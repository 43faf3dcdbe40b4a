"""``[tls]`` in a process that serves: the pair is loaded at its start and kept fresh while it lives."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from rempart.net.tls import LOOK_S, Certificate, CertificateError, CertificateFiles
from rempart.settings.model import Settings
from rempart.telemetry.logs import Log


async def open_certificate(settings: Settings, log: Log) -> Certificate | None:
    """The pair of ``[tls]``, None without TLS; waits until it can be used.

    ``serve`` and a reload have checked it, but a process may also be replaced just while the files are
    being renewed. It must not end then: the others serve, and this one joins them.
    """
    tls = settings.tls
    if not tls.cert:
        return None
    files = CertificateFiles(Path(tls.cert), Path(tls.key))
    reported = ""
    while True:
        try:
            return Certificate(files)
        except CertificateError as error:
            if str(error) != reported:
                reported = str(error)
                log.error(
                    "tls_unusable", reason=reported, kept="nothing: this process waits for it"
                )
        await asyncio.sleep(LOOK_S)


async def keep_certificate(
    certificate: Certificate | None, log: Log, on_look: Callable[[], None] = lambda: None
) -> None:
    """Look for a renewed pair, for as long as the process serves.

    Args:
        on_look: called at each look, for figures of the same part.
    """
    while certificate is not None:
        await asyncio.sleep(LOOK_S)
        on_look()
        try:
            if certificate.look():
                log.info("tls_reloaded", certificate=certificate.fingerprint())
        except CertificateError as error:
            log.error("tls_unusable", reason=str(error), kept="the certificate before it")
