"""POST /v1/tokenize, and exact counts of prompts for the other protocols' counting endpoints."""

from dataclasses import dataclass
from typing import Any

import msgspec

from rempart.domain.errors import InvalidRequest
from rempart.domain.models import ModelStatus, Replica
from rempart.gateway.exchange import Answer, Exchange, encode_json
from rempart.gateway.operations.generation import RUNNER_KINDS, Generation, require_loaded
from rempart.gateway.replicas.failures import from_answer, lost
from rempart.gateway.replicas.pools import Pools
from rempart.gateway.validation.body import invalid_fields
from rempart.net.http1.errors import HttpError

ANSWER_BYTES_MAX = 16 * 1024 * 1024
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class TokenCounter(Generation):
    """Asks a model's own tokenizer. Takes no slot: counting is no generation."""

    pools: Pools

    async def count_text(self, exchange: Exchange, status: ModelStatus, text: str) -> int:
        """Tokens of a plain text, without the template.

        Raises:
            ModelUnavailable: the model is not loaded.
            InvalidRequest: its kind has no tokenizer that can be asked.
        """
        replica = self._replica(status)
        if status.kind == "llama_cpp":
            found = await self._ask(
                exchange, status, replica, "/tokenize", {"content": text, "parse_special": False}
            )
            return len(found.get("tokens", ()))
        found = await self._ask(
            exchange, status, replica, "/tokenize", {"model": replica.upstream_name, "prompt": text}
        )
        return int(found.get("count", 0))

    async def count_chat(
        self, exchange: Exchange, status: ModelStatus, chat: dict[str, Any]
    ) -> int:
        """Tokens of a chat request's prompt, template and tools included.

        Raises: as ``count_text``.
        """
        replica = self._replica(status)
        asked: dict[str, Any] = {
            name: chat[name] for name in ("messages", "tools", "tool_choice") if name in chat
        }
        if status.kind == "llama_cpp":
            rendered = await self._ask(exchange, status, replica, "/apply-template", asked)
            found = await self._ask(
                exchange, status, replica, "/tokenize",
                {"content": rendered.get("prompt", ""), "parse_special": True, "add_special": True},
            )  # fmt: skip
            return len(found.get("tokens", ()))
        found = await self._ask(
            exchange, status, replica, "/tokenize", {"model": replica.upstream_name, **asked}
        )
        return int(found.get("count", 0))

    def _replica(self, status: ModelStatus) -> Replica:
        if status.kind not in ("llama_cpp", "vllm"):
            raise InvalidRequest(
                reason=f"The model {status.name!r} is of kind {status.kind}, whose tokenizer cannot be asked. "
                "Count with the model's own tokenizer instead.",
                param="model",
            )
        require_loaded(status)
        return status.replicas[0]

    async def _ask(
        self,
        exchange: Exchange,
        status: ModelStatus,
        replica: Replica,
        path: str,
        document: dict[str, Any],
    ) -> dict[str, Any]:
        headers = [
            (b"content-type", b"application/json"),
            (b"x-request-id", exchange.request_id.encode()),
        ]
        if replica.api_key:
            headers.append((b"authorization", b"Bearer " + replica.api_key.encode("latin-1")))
        is_runner = status.kind in RUNNER_KINDS
        try:
            code, answered, body = await self.pools.pool(replica).fetch(
                b"POST", path.encode(), headers, encode_json(document), ANSWER_BYTES_MAX, TIMEOUT_S
            )
            found = msgspec.json.decode(body) if code == 200 else None
        except (HttpError, msgspec.DecodeError, TimeoutError) as error:
            raise lost(error, is_runner=is_runner) from error
        if not isinstance(found, dict):
            raise from_answer(code, answered, body, is_runner=is_runner)
        return found


@dataclass(frozen=True, kw_only=True)
class Tokenize(Generation):
    """``{"model", "input"}`` → ``{"model", "tokens"}``."""

    counter: TokenCounter
    name: str = "tokenize"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        texts = document.get("input")
        parts = [texts] if isinstance(texts, str) else texts
        if (
            not isinstance(parts, list)
            or not parts
            or not all(isinstance(part, str) for part in parts)
        ):
            raise invalid_fields(
                [("input", "a text or a list of texts", repr(type(texts).__name__))]
            )
        count = 0
        for part in parts[:256]:
            count += await self.counter.count_text(exchange, status, part)
        exchange.answer = Answer(200, encode_json({"model": status.name, "tokens": count}))
