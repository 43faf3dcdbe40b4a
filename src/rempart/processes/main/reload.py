"""A reload: the configuration is resolved anew by the command line in a process of its own.

So main needs no parser, and a broken file can do no more than fail there: the old configuration stays.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from rempart.settings.model import UNCHANGEABLE, Settings

RESOLVE_S_MAX = 30.0


class ReloadRefused(Exception):
    """The new configuration cannot be used; the message says why."""


async def resolve(serve_file: Path, pids: set[int]) -> tuple[Settings, bytes]:
    """The configuration as it is now, as a value and as JSON.

    Args:
        pids: the process's id is in it while it runs: main ends children that nobody knows.
    Raises:
        ReloadRefused: it has errors, or resolving took too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "rempart", "config", "resolve", "--serve-file", str(serve_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise ReloadRefused(f"the configuration could not be resolved: {error}") from error
    pids.add(process.pid)
    try:
        async with asyncio.timeout(RESOLVE_S_MAX):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise ReloadRefused(
            f"the configuration could not be resolved within {RESOLVE_S_MAX:g} s"
        ) from error
    finally:
        if process.returncode is None:  # too slow, or the server stops meanwhile
            process.kill()
            await process.wait()
        pids.discard(process.pid)
    if process.returncode != 0:
        raise ReloadRefused(
            errors.decode(errors="replace").strip() or "the configuration has errors"
        )
    try:
        return msgspec.json.decode(output, type=Settings), output
    except msgspec.DecodeError as error:
        raise ReloadRefused(
            f"the settings are of another version of Rempart ({error}); restart the server"
        ) from error


def unchangeable_differences(old: Settings, new: Settings) -> list[str]:
    """Names of settings that differ and cannot change while the server runs."""
    return sorted(name for name in UNCHANGEABLE if _value(old, name) != _value(new, name))


def _value(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
