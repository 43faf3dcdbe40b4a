"""The official clients, given bytes as the answer of a server: what they read and raise."""

import anthropic
import httpx2
import openai

STREAM_TYPE = {"content-type": "text/event-stream"}


def _transport(body: bytes, status: int, headers: dict[str, str]) -> httpx2.Client:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers=headers)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def openai_reading(
    body: bytes, *, status: int = 200, headers: dict[str, str] = STREAM_TYPE
) -> openai.OpenAI:
    """An OpenAI client whose every request is answered with ``body``; it never retries."""
    return openai.OpenAI(
        api_key="k",
        base_url="http://127.0.0.1/v1",
        max_retries=0,
        http_client=_transport(body, status, headers),
    )


def anthropic_reading(
    body: bytes, *, status: int = 200, headers: dict[str, str] = STREAM_TYPE
) -> anthropic.Anthropic:
    """An Anthropic client whose every request is answered with ``body``; it never retries."""
    return anthropic.Anthropic(
        api_key="k",
        base_url="http://127.0.0.1",
        max_retries=0,
        http_client=_transport(body, status, headers),
    )
