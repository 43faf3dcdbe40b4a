"""What is known of a model, its replicas and their states, as every process sees it."""

from enum import StrEnum
from typing import Any

import msgspec


class RunnerState(StrEnum):
    """Where a runner is in its life (the table of moves is ``runners/lifecycle.py``)."""

    STOPPED = "stopped"
    """Not running, and not asked to: it starts when a request wants it."""
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Takes nothing new; what runs may finish."""
    BACKOFF = "backoff"
    """It failed; it is started again after a pause."""
    FAILED = "failed"
    """It failed too often in a short time; ``reason`` says how. Only an operator or a reload starts it again."""


class HangUp(msgspec.Struct, frozen=True, kw_only=True):
    """What closing the connection does to a request inside a runner, for one endpoint.

    Args:
        decode: whether it ends while tokens are made.
        prefill: whether it ends while the prompt is read.
        settle_s: seconds after which the slot may be taken as free, where the runner does not report it.
    """

    decode: bool
    prefill: bool
    settle_s: float = 0.0


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner kind can do.

    Args:
        endpoints: path (``/v1/chat/completions``) → what a hang-up does there; other paths are not offered.
        extras: names of request fields beyond OpenAI's own that it takes.
        reports_slots: whether it tells by itself when a slot is free (our llama.cpp server does).
        enforces_tool_choice: whether ``tool_choice`` required or named is kept by the runner.
        return_progress: whether ``"return_progress": true`` makes it send prompt progress.
        stream_usage: whether it takes ``stream_options.include_usage``; if not, usage is in the last
            chunk, whose ``choices`` is then not empty.
        sends_done: whether a stream that is whole ends with ``data: [DONE]``.
        fields: if not empty, the only request fields it takes; it refuses a request with any other.
        ignores: request fields that it takes without heeding them; what asks for their effect is to
            be refused by name.
    """

    endpoints: dict[str, HangUp] = {}
    extras: frozenset[str] = frozenset()
    reports_slots: bool = False
    enforces_tool_choice: bool = True
    return_progress: bool = False
    stream_usage: bool = True
    sends_done: bool = True
    fields: frozenset[str] = frozenset()
    ignores: frozenset[str] = frozenset()


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a runner told of its model when it became ready.

    Args:
        context_length: tokens that one request may use, prompt and answer together; None if not known.
        supports_tools: whether the chat template takes tools; None if not known.
        embeds: whether ``/v1/embeddings`` works.
        reranks: whether ``/v1/rerank`` works.
        memory_bytes: resident memory when it became ready.
        batch_tokens: prompt tokens per batch that calibration chose.
        prompt_tokens_per_s: speed of prompt processing at that batch.
        load_s: seconds from start to ready.
        control_strings: what its tokenizer or template takes as more than text, one of each family of
            numbered ones; empty if not known.
        more: whatever else it said.
    """

    context_length: int | None = None
    supports_tools: bool | None = None
    embeds: bool = False
    reranks: bool = False
    memory_bytes: int | None = None
    batch_tokens: int | None = None
    prompt_tokens_per_s: float | None = None
    load_s: float | None = None
    control_strings: list[str] = []
    more: dict[str, Any] = {}


class Replica(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One address that can serve a model.

    Args:
        id: unique over restarts: a restarted runner is another replica.
        url: ``http://host:port``, ``https://…`` or ``unix:/path``; without the ``/v1`` of a base URL.
        base_path: what goes before ``/chat/completions``: ``/v1`` for nearly all.
        api_key: sent as a bearer token; empty for none. Never shown: processes alone exchange this value.
        upstream_name: the model's name in requests to it.
    """

    id: str
    url: str
    base_path: str = "/v1"
    api_key: str = ""
    upstream_name: str = ""

    def __repr__(self) -> str:
        return f"Replica(id={self.id!r}, url={self.url!r})"


class ModelStatus(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A model as published to workers and control: its state, replicas and figures.

    Args:
        slots: requests at a time over all workers; 0 is no bound, then workers choose a replica themselves.
        reason: why it is in this state, for people.
        since_s: monotonic seconds at which the state began.
    """

    name: str
    kind: str
    state: RunnerState
    reason: str = ""
    since_s: float = 0.0
    slots: int = 0
    slots_busy: int = 0
    waiting: int = 0
    predicted_wait_s: float = 0.0
    memory_bytes: int = 0
    restarts: int = 0
    preload: bool = False
    replicas: list[Replica] = []
    abilities: Abilities = Abilities()
    facts: Facts = Facts()
