"""Every wrong field of a body at once, or nothing within a few microseconds."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rempart.wire.chat_request import rules, typed
from rempart.wire.faults import Faults, FieldFault


def validate_chat(body: dict[str, Any]) -> list[FieldFault]:
    """The wrong fields of a ``POST /v1/chat/completions``; empty for a sound one.

    Names that are not known here are no fault, see ``split_fields``; nor are media addresses, see
    ``media_faults``; nor is ``model``, which is looked up.
    """
    try:
        chat = msgspec.convert(body, typed.Chat)
    except (msgspec.ValidationError, OverflowError):
        return _all_faults(body, rules.check_chat)
    if _has_no_ties(chat):
        return []
    return _all_faults(body, rules.check_chat)


def _has_no_ties(chat: typed.Chat) -> bool:
    """Whether nothing in ``chat`` depends on another field, as in nearly all requests."""
    if chat.top_logprobs is not None or chat.tool_choice not in (None, "none", "auto"):
        return False
    for message in chat.messages:
        if type(message) is typed.Assistant and message.content is None and not message.tool_calls:
            return False
    return True


def validate_completion(body: dict[str, Any]) -> list[FieldFault]:
    """The wrong fields of a ``POST /v1/completions``; empty for a sound one."""
    try:
        completion = msgspec.convert(body, typed.Completion)
    except (msgspec.ValidationError, OverflowError):
        return _all_faults(body, rules.check_completion)
    if completion.best_of is None:
        return []
    return _all_faults(body, rules.check_completion)


def validate_embeddings(body: dict[str, Any]) -> list[FieldFault]:
    """The wrong fields of a ``POST /v1/embeddings``; empty for a sound one."""
    return _all_faults(body, rules.check_embeddings)


def validate_rerank(body: dict[str, Any]) -> list[FieldFault]:
    """The wrong fields of a ``POST /v1/rerank``; empty for a sound one."""
    return _all_faults(body, rules.check_rerank)


def _all_faults(body: Mapping[str, Any], check: rules.Check) -> list[FieldFault]:
    wrong = Faults()
    check(body, wrong)
    return wrong.fields
