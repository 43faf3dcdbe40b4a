"""Where the ring of peppers is kept: the settings' master keys, else ``secret.key`` in the data folder.

The file holds one pepper per line in hexadecimal, newest first; with a single line it is what older versions wrote.
Configured master keys stand before the file's lines, and the file is read beside them, so that going
from one to the other locks nobody out.
"""

import secrets
from collections.abc import Collection
from pathlib import Path

from rempart.domain.keys import digest_secret
from rempart.domain.peppers import PEPPER_BYTES, PEPPERS_MAX, Peppers, pepper_of
from rempart.state.private_files import BootstrapError, kept_text, write_private

FILE = "secret.key"


def load_peppers(data_dir: Path, master_key: str = "", previous_master_key: str = "") -> Peppers:
    """The ring; with no master key and no file, a first pepper is made and kept.

    Args:
        previous_master_key: master keys that were configured before, one per line, newest first.

    Raises:
        BootstrapError: the file cannot be read or written, or holds something else.
    """
    masters = [master_key] if master_key else []
    masters += [line.strip() for line in previous_master_key.splitlines() if line.strip()]
    from_file = _read(data_dir)
    if not master_key and not from_file:
        from_file = [secrets.token_bytes(PEPPER_BYTES)]
        _write(data_dir, from_file)
    configured = [digest_secret(b"rempart.master_key", master) for master in masters]
    # Without a master key the file's newest is the one in use; those configured before are older.
    ring = [*configured, *from_file] if master_key else [*from_file, *configured]
    return Peppers.of(ring)


def rotate_pepper(data_dir: Path) -> Peppers:
    """Put a new pepper before the others in ``secret.key``; gives the file's ring.

    Keys stored under the others go on working; each gets a digest under the new one when it is next used.
    Not for a server with a configured master key: there the operator sets a new ``secrets.master_key`` and
    moves the old one to ``secrets.previous_master_key``.

    Raises:
        BootstrapError: the file cannot be read or written, or has too many already.
    """
    before = _read(data_dir)
    if len(before) >= PEPPERS_MAX:
        raise BootstrapError(
            f"{data_dir / FILE} holds {len(before)} peppers already. Drop those that no key needs first: "
            "rempart secrets rotate --drop-unused."
        )
    ring = [secrets.token_bytes(PEPPER_BYTES), *before]
    _write(data_dir, ring)
    return Peppers.of(ring)


def drop_peppers(data_dir: Path, needed: Collection[str]) -> list[str]:
    """Take out of ``secret.key`` what no key needs; gives the ids that went. The newest always stays.

    Args:
        needed: ids of the peppers that stored keys name, those of secrets in their grace period too.

    Raises:
        BootstrapError: the file cannot be read or written.
    """
    ring = _read(data_dir)
    # A digest that names no pepper is of the oldest one.
    keeps = set(needed) | ({pepper_of(ring[-1]).id} if "" in needed and ring else set())
    kept = [key for place, key in enumerate(ring) if not place or pepper_of(key).id in keeps]
    if len(kept) < len(ring):
        _write(data_dir, kept)
    return [pepper_of(key).id for key in ring if key not in kept]


def _read(data_dir: Path) -> list[bytes]:
    path = data_dir / FILE
    text = kept_text(path)
    if text is None:
        return []
    try:
        found = [bytes.fromhex(line) for line in text.split()]
    except ValueError:
        found = []
    if not found or any(len(key) != PEPPER_BYTES for key in found):
        raise BootstrapError(
            f"{path} must hold {PEPPER_BYTES} bytes in hexadecimal on each line; restore it from a backup."
        )
    return found


def _write(data_dir: Path, ring: list[bytes]) -> None:
    path = data_dir / FILE
    try:
        write_private(path, "".join(key.hex() + "\n" for key in ring))
    except OSError as error:
        raise BootstrapError(
            f"{path} cannot be written: {error.strerror}. Make its folder writable for this user."
        ) from error
