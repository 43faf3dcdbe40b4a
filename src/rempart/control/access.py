"""Who may: one gate before every route, unknown paths included.

What only reads needs ``admin:read``, everything else ``admin:write``. On the Unix socket no key is
needed: the kernel says who is there (``server.py``), and the socket's mode lets in only its owner
and root.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from rempart.domain.errors import InsufficientScope
from rempart.domain.keys import ALL_SCOPES, Principal, Scope

PUBLIC = frozenset({"/livez", "/openapi.json", "/docs"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
PEER_UID = "peer_uid"
"""Where the server puts the user behind a Unix socket's connection, in the scope's state."""

Authenticate = Callable[[dict[str, str], bool, str], Principal]
"""(headers in small letters, whether it came by the Unix socket, the client's address) → who asks; raises
MissingApiKey and its kin."""


def admit(scope: Mapping[str, Any], authenticate: Authenticate) -> Principal | None:
    """Who asks, allowed to do so; None on a public path.

    Raises:
        MissingApiKey, InvalidApiKey, InsufficientScope: and nothing is done.
    """
    if scope["path"] in PUBLIC:
        return None
    principal = _principal(scope, authenticate)
    needed = Scope.ADMIN_READ if scope["method"] in READING else Scope.ADMIN_WRITE
    if needed.value not in principal.scopes:
        raise InsufficientScope(scope=needed.value)
    return principal


def _principal(scope: Mapping[str, Any], authenticate: Authenticate) -> Principal:
    uid = scope.get("state", {}).get(PEER_UID)
    if uid is not None and uid in (0, os.geteuid()):
        return Principal(id=f"local:{uid}", scopes=ALL_SCOPES)
    server = scope.get("server")
    # Only where the server did not say who is there; a uid that is neither owner nor root needs a key.
    is_local = uid is None and server is not None and server[1] is None
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    client = scope.get("client")
    return authenticate(headers, is_local, client[0] if client else "")
