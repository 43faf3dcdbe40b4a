"""The resolved configuration as JSON: how it travels between processes, and how people see it.

Standard library and msgspec only, since every process reads it.
"""

import re
from typing import Any

import msgspec

from rempart.base.secret import MASK
from rempart.settings.model import SECRETS, Settings

_SECRET_OPTION = re.compile(r"-{1,2}[\w-]*(key|token|secret|password)s?", re.IGNORECASE)
_WITH_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PASSWORD_IN_QUERY = re.compile(r"(?<=password=)[^&\s]+", re.IGNORECASE)


def dump(settings: Settings) -> bytes:
    """The settings as JSON, secrets and all: for files of mode 0600 and private channels."""
    return msgspec.json.encode(settings)


def parse(document: bytes) -> Settings:
    """What ``dump`` wrote.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    return msgspec.json.decode(document, type=Settings)


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain values for people, secrets replaced by stars.

    Also masked: values after options such as ``--api-key`` in commands, and passwords in addresses.
    """
    values: dict[str, Any] = msgspec.to_builtins(settings)
    for name in SECRETS:
        _mask(values, name.split("."))
    for section in ("database", "shared"):
        url = _WITH_PASSWORD.sub(MASK, values[section]["url"])
        values[section]["url"] = _PASSWORD_IN_QUERY.sub(MASK, url)
    for model in values["models"]:
        for field in ("command", "args"):
            model[field] = _mask_options(model[field])
        for field in ("command", "args", "base_urls"):
            model[field] = [_WITH_PASSWORD.sub(MASK, text) for text in model[field]]
    return values


def _mask(values: Any, path: list[str]) -> None:
    name, *below = path
    for table in values if isinstance(values, list) else [values]:
        if below:
            _mask(table[name], below)
        elif isinstance(table[name], dict):
            table[name] = dict.fromkeys(table[name], MASK)
        elif table[name]:
            table[name] = MASK


def _mask_options(words: list[str]) -> list[str]:
    """``--api-key X`` and ``--api-key=X`` without X."""
    shown = []
    is_secret = False
    for word in words:
        option, equals, _ = word.partition("=")
        if is_secret:
            shown.append(MASK)
        elif equals and _SECRET_OPTION.fullmatch(option):
            shown.append(f"{option}={MASK}")
        else:
            shown.append(word)
        is_secret = not is_secret and _SECRET_OPTION.fullmatch(word) is not None
    return shown
