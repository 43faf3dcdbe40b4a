"""Anthropic's Messages protocol said as chat, and chat's answers said as Messages.

``request.py`` turns the request, ``document.py`` the whole answer, ``stream.py`` the chunks. Pure:
no I/O, ids come in. Cached prompt tokens come on top of ``input_tokens`` there, while chat counts
them in ``prompt_tokens``.
"""

from rempart.wire.faults import ConversionError, FieldFault
from rempart.wire.messages.document import count_tokens_document, message_document
from rempart.wire.messages.request import chat_request
from rempart.wire.messages.stream import MessagesStream

__all__ = [
    "ConversionError",
    "FieldFault",
    "MessagesStream",
    "chat_request",
    "count_tokens_document",
    "message_document",
]
