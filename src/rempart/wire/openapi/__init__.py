"""The OpenAPI document of the data plane: ``document.py`` has the paths, ``schemas.py`` the shapes.

The bounds in it are those of ``wire/chat_request``; a test sends what the document allows and forbids.
"""

from rempart.wire.openapi.document import openapi_document

__all__ = ["openapi_document"]
