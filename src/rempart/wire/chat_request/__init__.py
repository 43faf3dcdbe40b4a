"""What a request for text, embeddings or a ranking may hold: types, bounds, fields that go on.

A sound body costs one typed conversion (``typed.py``). Only one that fails it is gone through again
by the rules (``rules.py``), which list every wrong field. ``fields.py`` has the allow-lists,
``media.py`` the rule for pictures and sounds. Start reading at ``validate.py``.
"""

from rempart.wire.chat_request.fields import (
    KNOWN_FIELDS_CHAT,
    KNOWN_FIELDS_COMPLETIONS,
    KNOWN_FIELDS_EMBEDDINGS,
    KNOWN_FIELDS_MESSAGES,
    KNOWN_FIELDS_RERANK,
    KNOWN_FIELDS_RESPONSES,
    REFUSED_FIELDS,
    split_fields,
)
from rempart.wire.chat_request.media import media_faults
from rempart.wire.chat_request.validate import (
    validate_chat,
    validate_completion,
    validate_embeddings,
    validate_rerank,
)
from rempart.wire.faults import FieldFault

__all__ = [
    "KNOWN_FIELDS_CHAT",
    "KNOWN_FIELDS_COMPLETIONS",
    "KNOWN_FIELDS_EMBEDDINGS",
    "KNOWN_FIELDS_MESSAGES",
    "KNOWN_FIELDS_RERANK",
    "KNOWN_FIELDS_RESPONSES",
    "REFUSED_FIELDS",
    "FieldFault",
    "media_faults",
    "split_fields",
    "validate_chat",
    "validate_completion",
    "validate_embeddings",
    "validate_rerank",
]
