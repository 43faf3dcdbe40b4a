"""The first admin key and the pepper of key digests, made at the first start and kept as files.

``REMPART_ADMIN_KEY`` gives the admin key; otherwise one is made and kept in ``DATA/admin.key``, so that
a second start can still show a command that works. Files are 0600 and written by rename, so that a
crash never leaves half a secret.
"""

import os
import secrets
import string
import zlib
from pathlib import Path
from typing import NamedTuple

from rempart.base.secret import Secret
from rempart.domain.keys import (
    ALL_SCOPES,
    SECRET_CHARACTERS_MAX,
    SECRET_CHARACTERS_MIN,
    StoredKey,
    digest_secret,
)

ADMIN_KEY_VARIABLE = "REMPART_ADMIN_KEY"
ADMIN_KEY_ID = "admin"
PEPPER_BYTES = 32
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class BootstrapError(Exception):
    """A secret given or found cannot be used; the message says why and what to do, not the secret."""


class AdminKey(NamedTuple):
    """The bootstrap key.

    Args:
        is_new: it was made just now and has never been shown.
        file: where its secret stands, or None when it came from the environment.
    """

    stored: StoredKey
    secret: Secret
    is_new: bool
    file: Path | None


def load_pepper(data_dir: Path, master_key: str) -> bytes:
    """The key of all digests: from the setting, else from ``secret.key`` in the data folder (made if missing)."""
    if master_key:
        return digest_secret(b"rempart.master_key", master_key)
    path = data_dir / "secret.key"
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        found = secrets.token_bytes(PEPPER_BYTES)
        write_private(path, found.hex() + "\n")
    except ValueError as error:
        raise BootstrapError(
            f"{path} must hold {PEPPER_BYTES} bytes in hexadecimal; restore it from a backup."
        ) from error
    if len(found) != PEPPER_BYTES:
        raise BootstrapError(
            f"{path} must hold {PEPPER_BYTES} bytes in hexadecimal; restore it from a backup."
        )
    return found


def load_admin_key(data_dir: Path, pepper: bytes, environment: str | None) -> AdminKey:
    """The admin key from the environment, from ``admin.key``, or a new one.

    Raises:
        BootstrapError: the given key is too short, too long or has characters that do not print.
    """
    path = data_dir / "admin.key"
    if environment:
        _check(environment, ADMIN_KEY_VARIABLE)
        return AdminKey(_stored(pepper, environment), Secret(environment), is_new=False, file=None)
    try:
        secret = path.read_text(encoding="utf-8").strip()
        _check(secret, str(path))
        return AdminKey(_stored(pepper, secret), Secret(secret), is_new=False, file=path)
    except FileNotFoundError:
        secret = new_key()
        write_private(path, secret + "\n")
        return AdminKey(_stored(pepper, secret), Secret(secret), is_new=True, file=path)


def new_key() -> str:
    """A key in our format: ``rmp_<id>_<secret><checksum>``, 33 random characters of base62 (196 bits).

    The last six characters are the CRC32 of all before them in base62, as in GitHub's tokens, so
    that a typing error is recognised without a look-up.
    """
    body = f"rmp_{_random(12)}_{_random(33)}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """Six characters of base62 that hold the CRC32 of ``body``."""
    number = zlib.crc32(body.encode("ascii"))
    text = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = _BASE62[digit] + text
    return text


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def _stored(pepper: bytes, secret: str) -> StoredKey:
    return StoredKey(id=ADMIN_KEY_ID, digest=digest_secret(pepper, secret), scopes=ALL_SCOPES)


def _check(secret: str, where: str) -> None:
    if (
        not SECRET_CHARACTERS_MIN <= len(secret) <= SECRET_CHARACTERS_MAX
        or not secret.isprintable()
        or " " in secret
    ):
        raise BootstrapError(
            f"{where} must be {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} printable characters without "
            f"spaces, found {len(secret)} characters. Set a longer random text, or unset it to have one made."
        )


def _random(count: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(count))
