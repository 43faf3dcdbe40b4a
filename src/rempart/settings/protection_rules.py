"""Rules over what keeps the server safe: HTTPS, origins, issuers, proxies, the guard; ``rules.py`` calls them."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from rempart.domain.addresses import parse_networks
from rempart.domain.guard import PERSONAL_KINDS
from rempart.domain.keys import ALL_SCOPES
from rempart.settings.explain import Problem, close_match, problem
from rempart.settings.model import Settings
from rempart.settings.schema import Path

DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(
    # Extensions and apps have schemes of their own (chrome-extension://…, tauri://localhost).
    r"([a-z][a-z0-9+.-]*)://([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)


def _tls(settings: Settings) -> Iterator[Problem]:
    for name, other in (("cert", "key"), ("key", "cert")):
        if getattr(settings.tls, name) and not getattr(settings.tls, other):
            yield problem(
                ("tls", other),
                f"be set when {name} is",
                "none",
                f'Write {other} = "…", the file that belongs to {name}.',
            )


def _cors(settings: Settings) -> Iterator[Problem]:
    origins = settings.cors.origins
    for place, origin in enumerate(origins):
        path: Path = ("cors", "origins", place)
        if origin == "*":
            if len(origins) > 1:
                yield problem(
                    path, "be the only one when it is *", f"{len(origins)} of them", "Choose."
                )
        elif (written := serialised_origin(origin)) is None:
            yield problem(
                path,
                "be an origin such as https://app.example, with scheme, host and at most a port",
                f'"{origin}"',
                "Write no path, no *. and no null; each origin by itself.",
            )
        elif written != origin:
            yield problem(
                path, "be written as browsers send it", f'"{origin}"', f'Write "{written}".'
            )


def serialised_origin(text: str) -> str | None:
    """An origin as browsers write it: small letters, no default port (RFC 6454 §6.2); None: it is none."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    if port is None or int(port) == DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}" if 0 < int(port) < 65536 else None


SIGNATURES = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""Those with a public key; ``none`` and shared secrets are never taken (RFC 8725, 3.1 and 3.5)."""


def _jwt(settings: Settings) -> Iterator[Problem]:
    jwt = settings.jwt
    if not jwt.issuer:
        return
    for name in ("issuer", "jwks_url"):
        address = getattr(jwt, name)
        parts = urlsplit(address)
        is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local)
        if address and not (parts.hostname and is_safe):
            yield problem(
                ("jwt", name),
                "be an https:// address (http:// only on this machine)",
                f'"{address}"',
                "Keys that came over an open line could be anybody's.",
            )
    if not jwt.audience:
        yield problem(
            ("jwt", "audience"),
            "be set when issuer is",
            "none",
            "Write what the issuer puts into `aud` for this server; else a token for another would open it.",
        )
    for place, name in enumerate(jwt.algorithms):
        if name not in SIGNATURES:
            yield problem(
                ("jwt", "algorithms", place),
                f"be one of {', '.join(SIGNATURES)}",
                f'"{name}"',
                "Signatures with a shared secret, and none at all, are not taken.",
            )
    if not jwt.algorithms:
        yield problem(("jwt", "algorithms"), "name at least one", "none", 'Write ["RS256"].')
    for name, scope in jwt.scopes.items():
        if scope not in ALL_SCOPES:
            yield problem(
                ("jwt", "scopes", name),
                f"be one of {', '.join(sorted(ALL_SCOPES))}",
                f'"{scope}"',
                'Write for example "api.use" = "inference".',
            )


def _trusted_proxies(settings: Settings) -> Iterator[Problem]:
    for place, text in enumerate(settings.server.trusted_proxies):
        if text == "unix":
            continue
        try:
            parse_networks([text])
        except ValueError:
            yield problem(
                ("server", "trusted_proxies", place),
                "be an address, a network or unix",
                f'"{text}"',
                'Write for example "10.0.0.0/8".',
            )


def _guard(settings: Settings) -> Iterator[Problem]:
    for number, kind in enumerate(settings.guard.kinds):
        if kind not in PERSONAL_KINDS:
            yield problem(
                ("guard", "kinds", number),
                f"be one of {', '.join(PERSONAL_KINDS)}",
                f'"{kind}"',
                f"Write {close_match(kind, PERSONAL_KINDS) or 'one of these'}, or leave guard.kinds out for all.",
            )


PROTECTION_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _tls,
    _cors,
    _jwt,
    _guard,
    _trusted_proxies,
)
