"""GET /v1/models and /v1/models/{id}."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from rempart.domain.errors import ModelNotFound
from rempart.domain.models import ModelStatus
from rempart.gateway.authentication.allowed_models import may_use, require_model
from rempart.gateway.exchange import Answer, Exchange, Models, encode_json

PREFIX = "/v1/models/"


@dataclass(frozen=True, kw_only=True)
class ListModels:
    """The models that this key may use."""

    models: Models
    created: int
    name: str = "models"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        data = [
            entry(status, self.created)
            for status in self.models.statuses.values()
            if may_use(exchange.principal, status.name)
        ]
        exchange.answer = Answer(200, encode_json({"object": "list", "data": data}))


@dataclass(frozen=True, kw_only=True)
class ShowModel:
    """One model. Its name may contain slashes, escaped or not."""

    models: Models
    created: int
    name: str = "models"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        name = unquote(exchange.request.path.partition(PREFIX)[2])
        require_model(exchange.principal, name)
        status = self.models.statuses.get(name)
        if status is None:
            raise ModelNotFound(model=name[:128], param="model")
        exchange.answer = Answer(200, encode_json(entry(status, self.created)))


def entry(status: ModelStatus, created: int) -> dict[str, Any]:
    """A model as OpenAI's list has it, with its context length and state."""
    return {
        "id": status.name,
        "object": "model",
        "created": created,
        "owned_by": "rempart",
        "context_length": status.facts.context_length,
        "state": status.state.value,
    }
