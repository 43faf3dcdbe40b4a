"""Rules over several settings at once: what a kind needs, names that must exist, paths that clash.

Pure: takes the settings as they are, gives the problems. Types and bounds of single settings stand
in ``model.py``. A new rule is a generator in ``RULES``.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from urllib.parse import urlsplit

from rempart.base.quantities import share_or_size_bytes, size_bytes
from rempart.settings.explain import Problem, close_match, problem
from rempart.settings.model import Deadline, Model, Settings
from rempart.settings.protection_rules import PROTECTION_RULES
from rempart.settings.schema import Path, shown_path, table

OWN_PATHS = frozenset(
    {
        "/livez",
        "/readyz",
        "/health",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/tokenize",
    }
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SOCKET_PATH_BYTES_MAX = 107
"""``sun_path`` of Linux has 108 bytes with the closing zero (unix(7))."""

_OF_EVERY_KIND = frozenset(
    {"name", "kind", "slots", "queue_max", "context", "pin", "preload", "deadline", "extra_fields"}
    | {"limits", "prices", "system", "control_strings"}
)
_OF_PROCESSES = _OF_EVERY_KIND | {"env", "start_s", "stop_s", "memory_max", "settle_s"}
FIELDS_OF_KIND: dict[str, frozenset[str]] = {
    "llama_cpp": _OF_PROCESSES
    | {"source", "threads", "gpu_layers", "batch", "prompt_cache_mib", "loras", "chat_template"}
    | {"embeddings", "pooling", "speculative", "draft"},
    "vllm": _OF_PROCESSES | {"source", "args"},
    "transformers": _OF_PROCESSES | {"source", "args"},
    "command": _OF_PROCESSES | {"command", "upstream_name"},
    "upstream": _OF_EVERY_KIND | {"base_urls", "api_key", "upstream_name", "settle_s"},
}


def check(settings: Settings) -> list[Problem]:
    """Everything that is wrong with the settings taken together."""
    return [found for rule in RULES for found in rule(settings)]


def _model_names(settings: Settings) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, model in enumerate(settings.models):
        path: Path = ("models", number, "name")
        if model.name in first:
            yield Problem(
                path,
                f'{shown_path(path)} must be a name of its own, found "{model.name}", the name of '
                f"models[{first[model.name]}] too. Rename one of them.",
            )
        first.setdefault(model.name, number)
        if not model.name.isprintable() or model.name != model.name.strip():
            yield problem(
                path,
                "be printable and not begin or end with a space",
                repr(model.name),
                "Rename it.",
            )


def _kind_needs(settings: Settings) -> Iterator[Problem]:
    for number, model in enumerate(settings.models):
        above: Path = ("models", number)
        if model.kind == "upstream" and not model.base_urls:
            yield _needs(above, model, "base_urls", 'base_urls = ["http://…/v1"]')
        if model.kind == "command" and not model.command:
            yield _needs(above, model, "command", 'command = ["program", "--port", "{port}"]')
        if model.kind in ("llama_cpp", "vllm", "transformers") and not model.source:
            yield _needs(above, model, "source", 'source = "…", a file, a folder or a hub name')
        if (
            model.kind == "command"
            and model.command
            and not any("{port}" in part for part in model.command)
        ):
            yield problem(
                (*above, "command"),
                "contain {port}, which is replaced by the port to listen on",
                "none",
                'Add it, such as "--port", "{port}".',
            )


def _needs(above: Path, model: Model, name: str, written: str) -> Problem:
    # The path is that of the missing setting, so that one which is there but wrong is told once.
    return Problem(
        (*above, name),
        f'{shown_path(above)} ("{model.name}", kind {model.kind}) must have {name}, '
        f"found none. Write {written}.",
    )


def _kind_takes(settings: Settings) -> Iterator[Problem]:
    for number, model in enumerate(settings.models):
        for field in fields(Model):
            if field.name in FIELDS_OF_KIND[model.kind]:
                continue
            if getattr(model, field.name) == table(Model)[field.name].default:
                continue
            kinds = [kind for kind, names in FIELDS_OF_KIND.items() if field.name in names]
            path: Path = ("models", number, field.name)
            yield Problem(
                path,
                f"{shown_path(path)} is for the kind {' or '.join(kinds)}, found in "
                f'"{model.name}" of the kind {model.kind}. Remove it, or change kind.',
            )


def _base_urls(settings: Settings) -> Iterator[Problem]:
    for number, model in enumerate(settings.models):
        for place, url in enumerate(model.base_urls):
            path: Path = ("models", number, "base_urls", place)
            try:
                parts = urlsplit(url)
                is_whole = (
                    parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
                )
            except ValueError:
                is_whole, parts = False, urlsplit("")
            if parts.username is not None or parts.password is not None:
                # The address is not shown: it holds a password.
                yield problem(
                    path,
                    "be an address without a name or password",
                    "one with them",
                    "Use api_key.",
                )
            elif not is_whole or parts.query or parts.fragment:
                yield problem(
                    path,
                    "be an address such as http://127.0.0.1:9000/v1",
                    f'"{url}"',
                    "Begin it with http:// or https://.",
                )


def _routes(settings: Settings) -> Iterator[Problem]:
    names = [model.name for model in settings.models]
    seen: dict[tuple[str, str], int] = {}
    for number, route in enumerate(settings.routes):
        above: Path = ("routes", number)
        if route.model not in names:
            guess = close_match(route.model, names)
            remedy = f'Did you mean "{guess}"?' if guess else _known(names)
            yield problem(
                (*above, "model"), "be the name of one of [[models]]", f'"{route.model}"', remedy
            )
        if not route.path.startswith("/") or any(character in route.path for character in "?# "):
            yield problem(
                (*above, "path"),
                "be a path that begins with /",
                f'"{route.path}"',
                "Write it as in /generate.",
            )
        if route.path in OWN_PATHS or route.path.startswith("/v1/models/"):
            yield problem(
                (*above, "path"),
                "be none of our own paths",
                f'"{route.path}"',
                "Choose another one.",
            )
        if route.upstream_path and not route.upstream_path.startswith("/"):
            yield problem(
                (*above, "upstream_path"),
                "begin with /",
                f'"{route.upstream_path}"',
                "Write it as in /generate.",
            )
        if not route.methods:
            yield problem(
                (*above, "methods"), "name at least one method", "none", 'Write methods = ["POST"].'
            )
        for place, method in enumerate(route.methods):
            if method not in METHODS:
                yield problem(
                    (*above, "methods", place),
                    f"be one of {', '.join(METHODS)}",
                    f'"{method}"',
                    _upper(method),
                )
            elif (route.path, method) in seen:
                other = seen[route.path, method]
                yield problem(
                    above,
                    "be the only route for its path and method",
                    f"{method} {route.path} in routes[{other}] too",
                    "Remove one.",
                )
            seen.setdefault((route.path, method), number)


def _known(names: list[str]) -> str:
    return f"There are: {', '.join(names)}." if names else "There are none yet: write [[models]]."


def _upper(method: str) -> str:
    return f'Write "{method.upper()}".' if method.upper() in METHODS else "Remove it."


def _server(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    if server.port and server.port == server.control_port and server.host == server.control_host:
        yield problem(
            ("server", "control_port"),
            "be another one than server.port",
            f"{server.port} for both",
            "Change one.",
        )
    path = server.base_path
    if path and (not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path)):
        yield problem(
            ("server", "base_path"),
            "begin with / and not end with it",
            f'"{path}"',
            'Write it as in "/llm".',
        )
    for name in ("host", "control_host"):
        if not getattr(server, name):
            yield problem(
                ("server", name),
                "be an address",
                '""',
                'Write "127.0.0.1", or "0.0.0.0" for all addresses.',
            )
    if len(server.socket.encode()) > SOCKET_PATH_BYTES_MAX:
        yield problem(
            ("server", "socket"),
            f"be at most {SOCKET_PATH_BYTES_MAX} bytes long (the system's bound for sockets)",
            f"{len(server.socket.encode())} bytes",
            "Choose a shorter path.",
        )


def _sizes(settings: Settings) -> Iterator[Problem]:
    try:
        share_or_size_bytes(settings.memory.budget, 1)
    except ValueError as error:
        yield problem(
            ("memory", "budget"), f"be {error}", f'"{settings.memory.budget}"', 'Write "80%".'
        )
    for number, model in enumerate(settings.models):
        if model.memory_max:
            try:
                size_bytes(model.memory_max)
            except ValueError as error:
                path: Path = ("models", number, "memory_max")
                yield problem(
                    path, f"be {error}", f'"{model.memory_max}"', 'Write it as in "6GiB".'
                )


def _clocks(settings: Settings) -> Iterator[Problem]:
    """A first token allowed to come after the end of all: a mistake where both were written.

    One alone is none: a short total_s simply ends first.
    """
    general = settings.deadline
    if (
        general.first_token_s != Deadline().first_token_s
        and general.first_token_s > general.total_s
    ):
        yield _clock(("deadline", "first_token_s"), general.first_token_s, general.total_s)
    for number, model in enumerate(settings.models):
        first_s, total_s = model.deadline.first_token_s, model.deadline.total_s
        if first_s is not None and total_s is not None and first_s > total_s:
            yield _clock(("models", number, "deadline", "first_token_s"), first_s, total_s)


def _clock(path: Path, first_s: float, total_s: float) -> Problem:
    return problem(
        path,
        f"not be longer than total_s ({total_s:g})",
        f"{first_s:g}",
        f"Write {total_s:g} or less.",
    )


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _model_names,
    _kind_needs,
    _kind_takes,
    _base_urls,
    _routes,
    _server,
    *PROTECTION_RULES,
    _sizes,
    _clocks,
)
