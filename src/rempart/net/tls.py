"""The server's certificate: read from its files, and read anew when they change.

One context is given to whoever accepts connections and never changes; at each handshake it hands over
to the newest pair (``sni_callback``, which OpenSSL calls with and without a name). So a renewed
certificate reaches new connections on every kind of server and event loop, and open ones stay as
they are.
"""

import hashlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 §4.2). TLS 1.3 has no others."""
PROTOCOLS = ["http/1.1"]
LOOK_S = 1.0
"""How often to look at the files: two ``stat`` calls, 6 µs."""
PEM_BYTES_MAX = 1 << 20

_PEM_BEGIN, _PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

Stamp = tuple[tuple[int, ...], tuple[int, ...]]


class CertificateError(Exception):
    """The pair of files cannot be used; the message names the setting, what was found, and what to do."""


@dataclass(frozen=True)
class CertificateFiles:
    """Where certificate and key are; PEM, the certificate first in its file and its chain behind it."""

    cert: Path
    key: Path

    def stamp(self) -> Stamp:
        """Changes when one of the files is written, replaced or linked anew.

        Raises:
            CertificateError: one is not there or cannot be looked at.
        """
        return _stamp("tls.cert", self.cert), _stamp("tls.key", self.key)

    def load(self) -> ssl.SSLContext:
        """A context for servers with this pair: TLS 1.2 or newer, HTTP/1.1.

        Raises:
            CertificateError: a file cannot be read, is not what it should be, or the two do not belong
                together.
        """
        for setting, path, what in (
            ("tls.cert", self.cert, b"CERTIFICATE"),
            ("tls.key", self.key, b"PRIVATE KEY"),
        ):
            _check_pem(setting, path, what)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(PROTOCOLS)
        # A client that renegotiates makes the server work for nothing.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        try:
            # Without a callback OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(self.cert, self.key, password=_no_passphrase)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise CertificateError(self._explained(error)) from error
        return context

    def _explained(self, error: Exception) -> str:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH" or reason == "KEY_TYPE_MISMATCH":
            return (
                f"tls.key must be the key of the certificate in tls.cert, found another one in {self.key}. "
                "Name the pair that was made together; in tls.cert the server's own certificate comes first."
            )
        return (
            f"tls.cert and tls.key must be a certificate and its key in PEM, found {self.cert} and {self.key}, "
            f"which OpenSSL refuses: {reason}. Make them anew."
        )


class Certificate:
    """The pair in use.

    Args:
        files: where it is.
        load: reads them; for tests.
    Raises:
        CertificateError: as ``CertificateFiles.load``.

    Attributes:
        context: for whoever accepts connections, for good.
    """

    def __init__(
        self,
        files: CertificateFiles,
        load: Callable[[CertificateFiles], ssl.SSLContext] = CertificateFiles.load,
    ) -> None:
        self._files = files
        self._load = load
        self._loaded = files.stamp()
        self._seen: Stamp | None = None
        self._reported = ""
        self.context = self._newest = load(files)
        self.context.sni_callback = self._hand_over

    def look(self) -> bool:
        """Look at the files, and take them when they changed; True when a new pair is in use.

        Two files cannot be replaced at one moment, so that a change is taken only once it has been
        the same for two looks.

        Raises:
            CertificateError: the changed files cannot be used, and the pair before them stays. Said once
                for each reason; tried again at each look.
        """
        try:
            stamp = self._files.stamp()
            if stamp == self._loaded:
                self._seen, self._reported = None, ""
                return False
            if stamp != self._seen:
                self._seen = stamp
                return False
            self._newest = self._load(self._files)
        except CertificateError as error:
            if str(error) == self._reported:
                return False
            self._reported = str(error)
            raise
        self._loaded, self._seen, self._reported = stamp, None, ""
        return True

    def fingerprint(self) -> str:
        """SHA-256 of the certificate file's first certificate, as ``openssl x509 -fingerprint`` shows it."""
        try:
            first = self._files.cert.read_text("latin-1").partition(_PEM_END)[0] + _PEM_END
            der = ssl.PEM_cert_to_DER_cert(first[first.index(_PEM_BEGIN) :])
        except (OSError, ValueError):
            return ""  # changed again meanwhile
        return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())

    def _hand_over(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext
    ) -> None:
        if self._newest is not first:
            connection.context = self._newest


def _stamp(setting: str, path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(setting, path, error) from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_pem(setting: str, path: Path, what: bytes) -> None:
    try:
        with path.open("rb") as file:
            text = file.read(PEM_BYTES_MAX)
    except OSError as error:
        raise _unreadable(setting, path, error) from error
    if what + b"-----" not in text:
        kind = "certificate" if what == b"CERTIFICATE" else "private key"
        raise CertificateError(
            f"{setting} must be a PEM file with a {kind}, found {path}, which has none. "
            "Name the right file; DER and PKCS #12 are turned into PEM by openssl."
        )
    if b"ENCRYPTED" in text and setting == "tls.key":
        raise CertificateError(
            f"tls.key must be a key without a passphrase, found {path}, which has one: nobody is there to type it. "
            "Write it without (openssl pkey), readable for the server's user alone."
        )


def _unreadable(setting: str, path: Path, error: OSError) -> CertificateError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return CertificateError(
        f"{setting} must be a readable file, found {path}: {reason}. "
        "Check the path, and that the server's user may read it."
    )


def _no_passphrase() -> str:
    return ""
