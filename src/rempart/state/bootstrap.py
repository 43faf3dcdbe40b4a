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
    """The key of all digests: from the setting, else from ``secret.key`` in the data folder (made if missing).

    Raises:
        BootstrapError: the file cannot be read, or holds something else.
    """
    if master_key:
        return digest_secret(b"rempart.master_key", master_key)
    path = data_dir / "secret.key"
    text = _kept(path)
    if text is None:
        made = secrets.token_bytes(PEPPER_BYTES)
        write_private(path, made.hex() + "\n")
        return made
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != PEPPER_BYTES:
        raise BootstrapError(
            f"{path} must hold {PEPPER_BYTES} bytes in hexadecimal; restore it from a backup."
        )
    return found


def load_admin_key(data_dir: Path, pepper: bytes, environment: str | None) -> AdminKey:
    """The admin key from the environment, from ``admin.key``, or a new one.

    Raises:
        BootstrapError: the key is too short, too long or has characters that do not print; or the
            file cannot be read.
    """
    path = data_dir / "admin.key"
    if environment:
        _check(environment, ADMIN_KEY_VARIABLE, "unset it")
        return AdminKey(_stored(pepper, environment), Secret(environment), is_new=False, file=None)
    secret = _kept(path)
    if secret is not None:
        _check(secret, str(path), "delete the file")
        return AdminKey(_stored(pepper, secret), Secret(secret), is_new=False, file=path)
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


def _kept(path: Path) -> str | None:
    """A file's text without the space around it, None where there is no file."""
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


def _stored(pepper: bytes, secret: str) -> StoredKey:
    return StoredKey(id=ADMIN_KEY_ID, digest=digest_secret(pepper, secret), scopes=ALL_SCOPES)


def _check(secret: str, where: str, remedy: str) -> None:
    if (
        not SECRET_CHARACTERS_MIN <= len(secret) <= SECRET_CHARACTERS_MAX
        or not secret.isprintable()
        or " " in secret
    ):
        raise BootstrapError(
            f"{where} must be {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} printable characters without "
            f"spaces, found {len(secret)} characters. Set a random text like that, or {remedy} to have one made."
        )


def _random(count: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(count))
