"""The gate."""

import os
from typing import Any

import pytest

from rempart.control.access import admit
from rempart.domain.errors import InsufficientScope, MissingApiKey
from rempart.domain.keys import ALL_SCOPES, Principal

READER = Principal(id="r", scopes=frozenset({"admin:read"}))


def scope(method: str = "GET", path: str = "/api/models", **more: Any) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": [], "server": ("127.0.0.1", 1)} | more


def nobody(headers: dict[str, str], is_local: bool, address: str) -> Principal:
    raise MissingApiKey


def test_public_paths_ask_nobody() -> None:
    for path in ("/livez", "/docs", "/openapi.json"):
        assert admit(scope(path=path), nobody) is None
    for path in ("/", "/livez/", "/api", "/Docs"):
        with pytest.raises(MissingApiKey):
            admit(scope(path=path), nobody)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_the_scope_to_read(method: str) -> None:
    assert admit(scope(method), lambda headers, is_local, address: READER) is READER
    with pytest.raises(InsufficientScope, match="admin:read"):
        admit(
            scope(method),
            lambda headers, is_local, address: Principal(id="x", scopes=frozenset({"admin:write"})),
        )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_everything_else_needs_the_scope_to_write(method: str) -> None:
    with pytest.raises(InsufficientScope, match="admin:write"):
        admit(scope(method), lambda headers, is_local, address: READER)


def test_owner_and_root_on_the_socket_are_themselves() -> None:
    for uid in {0, os.geteuid()}:
        found = admit(scope("POST", state={"peer_uid": uid}), nobody)
        assert found == Principal(id=f"local:{uid}", scopes=ALL_SCOPES)
    with pytest.raises(MissingApiKey):
        admit(scope(state={"peer_uid": 4711}), nobody)


def test_headers_come_in_small_letters_and_the_door_is_told() -> None:
    seen = []

    def authenticate(headers: dict[str, str], is_local: bool, address: str) -> Principal:
        seen.append((headers, is_local))
        return READER

    headers = [(b"X-API-Key", b"k\xe9y")]
    admit(scope(headers=headers), authenticate)
    admit(scope(headers=headers, server=("/run/control.sock", None)), authenticate)
    admit(
        scope(headers=headers, server=("/run/control.sock", None), state={"peer_uid": 4711}),
        authenticate,
    )
    given = {"x-api-key": "kéy"}
    assert seen == [(given, False), (given, True), (given, False)]
