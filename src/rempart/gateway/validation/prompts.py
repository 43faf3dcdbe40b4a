"""Step 5, behind the schema: amounts, system policy, clean texts, no forged turns. One object per operation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rempart.domain.errors import InvalidRequest
from rempart.domain.models import ModelStatus
from rempart.gateway.exchange import Exchange, encode_json
from rempart.gateway.validation.body import invalid_fields
from rempart.settings.model import Settings
from rempart.settings.protection import SystemPolicy
from rempart.wire.control_strings import FAMILIES, ControlStrings
from rempart.wire.faults import FieldFault
from rempart.wire.prompt_texts import clean_prompt
from rempart.wire.request_bounds import Bounds, bound_faults
from rempart.wire.system_policy import drop_system_messages, put_system_prompt, system_places

_ALLOWED = SystemPolicy()
_SAME: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What is done to prompts, from the settings and from what each model says of itself."""

    settings: Settings
    _policies: dict[str, SystemPolicy] = field(init=False)
    _more_strings: dict[str, tuple[str, ...]] = field(init=False)
    _control: dict[str, tuple[list[str], ControlStrings]] = field(default_factory=dict, init=False)
    """By model, with what it was made of; as many as there are models."""
    _bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        models, found = self.settings.models, self.settings.input
        set_ = object.__setattr__
        set_(self, "_policies", {m.name: m.system for m in models if m.system != _ALLOWED})
        set_(self, "_more_strings", {m.name: tuple(m.control_strings) for m in models})
        set_(self, "_bounds", Bounds(*(getattr(found, name) for name in Bounds._fields)))

    def faults(
        self, exchange: Exchange, document: dict[str, Any], names: Mapping[str, str] = _SAME
    ) -> list[FieldFault]:
        """Fields that ask for more than ``[input]`` allows."""
        return bound_faults(document, self._bounds, body_bytes=exchange.bytes_in, names=names)

    def require_no_system(self, status: ModelStatus, body: dict[str, Any]) -> None:
        """Refuse a client's own system messages where the model's policy does.

        Raises:
            InvalidRequest: naming each.
        """
        policy = self._policies.get(status.name)
        if policy is not None and policy.from_clients == "refused":
            places = system_places(body)
            if places:
                raise invalid_fields(places)

    def require_raw_allowed(self, status: ModelStatus) -> None:
        """Refuse a prompt that has no roles where a system policy must hold: it would go past it.

        Raises:
            InvalidRequest.
        """
        if status.name in self._policies:
            raise InvalidRequest(
                reason=f"The model {status.name!r} has a system policy, which a prompt without roles would "
                "go past. Use /v1/chat/completions.",
                param="model",
            )

    def clean(self, exchange: Exchange, status: ModelStatus, document: dict[str, Any]) -> None:
        """Clean every text that reaches the model, and put the operator's system prompt before them."""
        raw, exchange.body = exchange.body, b""
        is_raw_prompt = "prompt" in document and self.settings.input.raw_prompts
        control = None if is_raw_prompt else self.control_strings(status)
        exchange.sanitised = clean_prompt(
            document, raw, control, sanitises=self.settings.input.sanitise
        )
        policy = self._policies.get(status.name)
        if policy is not None and "messages" in document:
            self._apply(exchange, policy, document)

    def break_again(self, status: ModelStatus, document: dict[str, Any]) -> None:
        """For a request that came before its model was loaded: the strings that the model names itself."""
        if status.facts.control_strings and not (
            "prompt" in document and self.settings.input.raw_prompts
        ):
            clean_prompt(
                document, encode_json(document), self.control_strings(status), sanitises=False
            )

    def _apply(self, exchange: Exchange, policy: SystemPolicy, chat: dict[str, Any]) -> None:
        if policy.from_clients == "dropped" and drop_system_messages(chat):
            exchange.ignored_fields = [*exchange.ignored_fields, "system"]
            if not chat["messages"]:
                raise invalid_fields(
                    [
                        (
                            "messages",
                            "more than system messages, which this model drops",
                            "nothing else",
                        )
                    ]
                )
        if policy.prompt:
            put_system_prompt(chat, policy.prompt)

    def control_strings(self, status: ModelStatus) -> ControlStrings:
        """Of this model: what it says itself, what is configured; those of all known families until then."""
        said = status.facts.control_strings
        known = self._control.get(status.name)
        if known is None or known[0] != said:
            more = self._more_strings.get(status.name, ())
            known = (said, ControlStrings((*(said or FAMILIES), *more)))
            self._control[status.name] = known
        return known[1]
