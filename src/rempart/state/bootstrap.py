"""The first admin key, made at the first start.

``REMPART_ADMIN_KEY`` gives it, any text of 32 or more printable characters; otherwise one is made and kept in
``DATA/admin.key`` (0600) until it is rotated, so that a second start can still show a command that works.
"""

import os
from pathlib import Path
from typing import NamedTuple

from rempart.base.secret import Secret
from rempart.domain.key_format import (
    ID_CHARACTERS,
    SECRET_CHARACTERS,
    chosen_text_fault,
    look_up_id,
    make_key,
    random_base62,
)
from rempart.domain.keys import (
    ALL_SCOPES,
    SECRET_CHARACTERS_MAX,
    SECRET_CHARACTERS_MIN,
    StoredKey,
)
from rempart.domain.peppers import Peppers
from rempart.state.private_files import BootstrapError, kept_text, write_private

__all__ = ["ADMIN_KEY_VARIABLE", "AdminKey", "BootstrapError", "load_admin_key", "new_key"]

ADMIN_KEY_VARIABLE = "REMPART_ADMIN_KEY"
ADMIN_KEY_FILE = "admin.key"
RETIRED_FILE = "admin.key.retired"
"""Holds the id of the key that was in ``admin.key``; while it is there no other one is made."""
ADMIN_KEY_NAME = "first admin key"


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


def load_admin_key(data_dir: Path, peppers: Peppers, environment: str | None) -> AdminKey | None:
    """The admin key from the environment, from ``admin.key``, or a new one.

    None where the one that was made has been rotated or revoked: operators have keys of their own by then,
    and another key with all scopes at the next start would be a back door.

    Raises:
        BootstrapError: the key is too short, too long or has characters that do not print; or the
            file cannot be read.
    """
    path = data_dir / ADMIN_KEY_FILE
    if environment:
        _check(environment, ADMIN_KEY_VARIABLE, "unset it")
        return AdminKey(_stored(peppers, environment), Secret(environment), is_new=False, file=None)
    secret = kept_text(path)
    if secret is not None:
        _check(secret, str(path), "delete the file")
        return AdminKey(_stored(peppers, secret), Secret(secret), is_new=False, file=path)
    if (data_dir / RETIRED_FILE).exists():
        return None
    secret = new_key()
    write_private(path, secret + "\n")
    return AdminKey(_stored(peppers, secret), Secret(secret), is_new=True, file=path)


def retire_admin_key(data_dir: Path, id_: str) -> None:
    """Forget the kept secret of this key: it was rotated or revoked. A file that holds another key stays."""
    path = data_dir / ADMIN_KEY_FILE
    try:
        secret = kept_text(path)
        if secret is not None and look_up_id(secret) == id_:
            # First, so that no crash in between leaves neither.
            write_private(data_dir / RETIRED_FILE, id_ + "\n")
            path.unlink(missing_ok=True)
    except (BootstrapError, OSError):
        return  # what cannot be read or removed is no key any more either; the next start says so


def new_key() -> str:
    """A key in our format with a new id (``domain/key_format.py``)."""
    return make_key(
        random_base62(ID_CHARACTERS, os.urandom), random_base62(SECRET_CHARACTERS, os.urandom)
    )


def _stored(peppers: Peppers, secret: str) -> StoredKey:
    digest, pepper_id = peppers.digest(secret)
    return StoredKey(
        id=look_up_id(secret),
        name=ADMIN_KEY_NAME,
        digest=digest,
        pepper_id=pepper_id,
        scopes=ALL_SCOPES,
        is_unlimited=True,
    )


def _check(secret: str, where: str, remedy: str) -> None:
    fault = chosen_text_fault(secret)
    if fault:
        raise BootstrapError(
            f"{where} must be {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} printable characters without "
            f"spaces, {fault}. Set a random text like that, or {remedy} to have one made."
        )
