"""What the endpoints that generate text share: the model, and the request as the runner must get it.

We always stream from the runner, also for a client that does not stream: only then is a hang-up
noticed, and the slot free, at the next token.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from rempart.domain.errors import (
    InvalidRequest,
    MediaNotAllowed,
    ModelNotFound,
    ModelUnavailable,
)
from rempart.domain.models import ModelStatus
from rempart.gateway.authentication.allowed_models import require_model
from rempart.gateway.exchange import Exchange, Models
from rempart.gateway.validation.body import invalid_fields, read_object, take_model
from rempart.gateway.validation.context_length import TokenCounts, require_fit
from rempart.gateway.validation.prompts import Prompts
from rempart.settings.model import Settings
from rempart.wire import chat_request

_UNFIT_FOR_HEADER = re.compile(r"[^A-Za-z0-9._-]")
RUNNER_KINDS = frozenset({"llama_cpp", "vllm", "transformers", "command"})
"""Kinds whose process is ours; ``upstream`` is someone else's server."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What such an operation is built from."""

    models: Models
    settings: Settings
    counter: TokenCounts | None = None
    prompts: Prompts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", Prompts(settings=self.settings))

    async def read(self, exchange: Exchange) -> dict[str, Any]:
        """The request's document.

        Raises: as ``read_object``.
        """
        settings = self.settings
        return await read_object(exchange, settings.server.body_bytes_max, settings.input)

    async def finish(
        self, exchange: Exchange, status: ModelStatus, document: dict[str, Any]
    ) -> None:
        """The last of a request's checks, on the document that the runner gets: its texts, and their length.

        Raises:
            InvalidRequest, ContextLengthExceeded.
        """
        self.prompts.clean(exchange, status, document)
        if not status.replicas and not status.facts.control_strings:
            exchange.late_check = lambda: self.prompts.break_again(
                self.models.statuses[status.name], document
            )
        await require_fit(exchange, status, document, self.counter)

    @property
    def default_model(self) -> str:
        """The model that is served when there is no other: the first configured."""
        return self.settings.models[0].name if self.settings.models else ""

    def status_for(self, exchange: Exchange, document: dict[str, Any]) -> ModelStatus:
        """The model that the request names; noted for the record.

        Raises:
            InvalidRequest, ModelNotFound, ModelNotAllowed.
        """
        try:
            name = take_model(
                document,
                self.models.statuses,
                any_model=self.settings.server.any_model,
                default=self.default_model,
            )
        except ModelNotFound:
            require_model(exchange.principal, str(document.get("model")))
            raise
        require_model(exchange.principal, name)
        exchange.model_label = name
        return self.models.statuses[name]

    def extra_fields(self, status: ModelStatus) -> frozenset[str]:
        """Request fields beyond the protocol's own that this model takes."""
        for model in self.settings.models:
            if model.name == status.name and model.extra_fields:
                return status.abilities.extras | frozenset(model.extra_fields)
        return status.abilities.extras


def require_endpoint(status: ModelStatus, endpoint: str) -> None:
    """Refuse, before any wait, what the model's kind does not serve.

    Raises:
        InvalidRequest: its kind has no such endpoint.
    """
    if status.abilities.endpoints and f"/v1{endpoint}" not in status.abilities.endpoints:
        raise InvalidRequest(
            reason=f"The model {status.name!r} does not serve /v1{endpoint}; "
            f"it serves {', '.join(sorted(status.abilities.endpoints))}.",
            param="model",
        )


def require_own_media(document: dict[str, Any]) -> None:
    """Refuse media that are addresses: the runner would fetch them from inside the network.

    Raises:
        MediaNotAllowed: naming the first, and all of them in ``details.fields``.
    """
    faults = chat_request.media_faults(document)
    if faults:
        fields = [
            {"path": path, "expected": expected, "found": found} for path, expected, found in faults
        ]
        raise MediaNotAllowed(
            found=f"{faults[0].path}", param=faults[0].path, details={"fields": fields}
        )


def keep_known_fields(
    exchange: Exchange, document: dict[str, Any], known: frozenset[str], extras: frozenset[str]
) -> None:
    """Drop unknown fields and name them once; refuse those that touch another's work.

    Raises:
        InvalidRequest: a refused field is there.
    """
    if document.keys() <= known:
        return
    unknown, refused = chat_request.split_fields(document, known, extras)
    if refused:
        raise invalid_fields(
            (name, "absent: it would touch other clients' requests", "a value") for name in refused
        )
    for name in unknown:
        del document[name]
    # A name is the client's text and goes into a header: nothing but what is harmless there.
    exchange.ignored_fields = [_UNFIT_FOR_HEADER.sub("?", name[:64]) for name in unknown[:32]]


def for_runner(document: dict[str, Any], status: ModelStatus, *, takes_tools: bool = True) -> None:
    """Turn a client's request into the one for the runner: streamed, with its usage told.

    Raises:
        InvalidRequest: ``tool_choice`` asks for what this kind would ignore in silence.
    """
    abilities = status.abilities
    document["stream"] = True
    if abilities.stream_usage:
        document["stream_options"] = {"include_usage": True}
    else:
        document.pop("stream_options", None)
    if abilities.return_progress:
        document["return_progress"] = True
    refuse_unheeded(document, status)
    choice = document.get("tool_choice")
    is_forced = choice == "required" or isinstance(choice, dict)
    if takes_tools and is_forced and not abilities.enforces_tool_choice:
        raise InvalidRequest(
            reason=f"The model {status.name!r} cannot be made to call a tool: its runner ignores tool_choice. "
            "Send tool_choice 'auto', or use response_format with a JSON schema.",
            param="tool_choice",
        )


_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0, 0.0),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh"),
}
"""Values that ask for nothing a runner without the field would not do anyway; null and false always do."""


def refuse_unheeded(document: dict[str, Any], status: ModelStatus) -> None:
    """For a runner that takes only some fields: drop those that ask for nothing, refuse the others by name.

    Raises:
        InvalidRequest: a field asks for what this kind would ignore in silence.
    """
    abilities = status.abilities
    unheeded = [
        name
        for name in document
        if name in abilities.ignores
        and document[name] not in (None, False, *_NEUTRAL.get(name, ()))
    ]
    if unheeded:
        raise invalid_fields(
            (
                name,
                f"absent: the runner of {status.name!r} does not heed it",
                str(document[name])[:60],
            )
            for name in unheeded
        )
    if abilities.fields:
        for name in [
            one for one in document if one not in abilities.fields and one not in abilities.extras
        ]:
            del document[name]


def wants_usage(document: dict[str, Any]) -> bool:
    """Whether the client asked for a usage chunk."""
    options = document.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def require_loaded(status: ModelStatus) -> None:
    """For endpoints that only count: a model that is not loaded is not loaded to count.

    Raises:
        ModelUnavailable: no replica is ready.
    """
    if not status.replicas:
        raise ModelUnavailable(
            model=status.name,
            reason=f"it is {status.state.value}, and is not loaded to count",
            retry_after_s=1.0,
        )
