"""OpenAI's Responses protocol, without state, said as chat, and chat's answers said as Responses.

``request.py`` turns the request, ``document.py`` the whole answer, ``stream.py`` the chunks. Pure:
no I/O, no clock; ids and moments come in.
"""

from rempart.wire.faults import ConversionError, FieldFault
from rempart.wire.responses.document import input_tokens_document, response_document
from rempart.wire.responses.request import chat_request
from rempart.wire.responses.stream import ResponsesStream

__all__ = [
    "ConversionError",
    "FieldFault",
    "ResponsesStream",
    "chat_request",
    "input_tokens_document",
    "response_document",
]
