"""An issuer of access tokens: a small HTTP server with metadata and keys, and tokens signed as a test asks."""

import asyncio
import json
import time
import warnings
from typing import Any

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

AUDIENCE = "rempart"


class Issuer:
    """Attributes say how it behaves: ``status`` and ``metadata`` may be changed, ``fetches`` counts."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "ec1": ECKey.generate_key("P-256", {"kid": "ec1", "use": "sig"})
        }
        self.fetches: list[str] = []
        self.status = 200
        self.more_metadata: dict[str, Any] = {}
        self.body: bytes | None = None
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> "Issuer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def add_rsa(self, kid: str) -> None:
        self.keys[kid] = RSAKey.generate_key(2048, {"kid": kid})

    def add_ed25519(self, kid: str) -> None:
        self.keys[kid] = OKPKey.generate_key("Ed25519", {"kid": kid})

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says; None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": AUDIENCE, "sub": "someone", "client_id": "app", "iat": now,
            "exp": now + 300, "jti": "1", "scope": "inference", **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, kid: str = "ec1", *, alg: str = "ES256", header: dict[str, Any] | None = None,
        key: Any = None, **changes: Any,
    ) -> str:  # fmt: skip
        """A signed token; good unless changed."""
        head = {"typ": "at+jwt", "alg": alg, "kid": kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(
                head,
                self.claims(**changes),
                key if key is not None else self.keys[kid],
                algorithms=[alg],
            )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            self.fetches.append(path)
            if path == "/jwks":
                document: Any = self.jwks
            elif path == "/.well-known/openid-configuration":
                document = {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/jwks",
                    **self.more_metadata,
                }
            else:
                document = None
            status = self.status if document is not None else 404
            body = self.body if self.body is not None else json.dumps(document).encode()
            place = f"location: {self.url}/jwks\r\n" if 300 <= status < 400 else ""
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{place}"
                f"connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        finally:
            writer.close()
