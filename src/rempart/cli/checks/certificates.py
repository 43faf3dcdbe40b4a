"""The server's certificate: usable, not about to expire, and its key for the server's user alone."""

import stat
from datetime import datetime

from rempart.base.clock import SystemClock
from rempart.cli.certificates import files_of
from rempart.cli.checks.finding import Finding, error, ok, warning
from rempart.net.tls import CertificateError, CertificateFiles
from rempart.settings.model import Settings

DAYS_LEFT_GOOD = 14
"""Renewal is usually tried 30 days before the end; when it has failed for two weeks, someone must look."""


def certificate(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """What is to say about ``[tls]``.

    Args:
        now: aware; None looks at the clock.
    """
    files = files_of(settings)
    if files is None:
        return [_without(settings)]
    try:
        files.load()
    except CertificateError as problem:
        return [error("tls", str(problem), "Correct [tls]; `rempart config check` looks again.")]
    return [_validity(files, now or SystemClock().wall()), *_key_mode(files)]


def _without(settings: Settings) -> Finding:
    host = settings.server.host
    if host in ("localhost", "::1") or host.startswith("127."):
        return ok("tls", "none; the server listens on this machine only")
    return warning(
        "tls",
        f"the server listens on {host} without TLS: keys and prompts can be read on the way",
        "Set tls.cert and tls.key, or put nginx before it (deploy/nginx.conf).",
    )


def _validity(files: CertificateFiles, now: datetime) -> Finding:
    from cryptography import x509

    first = x509.load_pem_x509_certificates(files.cert.read_bytes())[0]
    days = (first.not_valid_after_utc - now).days
    name = first.subject.rfc4514_string() or "the certificate"
    if first.not_valid_after_utc <= now:
        return error("tls", f"{name} expired on {first.not_valid_after_utc:%Y-%m-%d}", "Renew it.")
    if first.not_valid_before_utc > now:
        return error(
            "tls",
            f"{name} is valid only from {first.not_valid_before_utc:%Y-%m-%d}",
            "Is the machine's clock right?",
        )
    if days < DAYS_LEFT_GOOD:
        return warning("tls", f"{name} expires in {days} days", "Renew it; see why nothing did.")
    return ok("tls", f"{name} is valid for {days} more days")


def _key_mode(files: CertificateFiles) -> list[Finding]:
    mode = files.key.stat().st_mode
    if not mode & (stat.S_IRWXO | stat.S_IWGRP):
        return []
    return [
        warning(
            "tls",
            f"{files.key} can be read or written by other users (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {files.key}; 640 where a group such as ssl-cert reads keys.",
        )
    ]
