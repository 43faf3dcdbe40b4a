"""The shapes of answers, for the OpenAPI document and the check before an answer goes out."""

from typing import Any

from pydantic import BaseModel, Field

from rempart.domain.models import ModelStatus, RunnerState


class ModelSlots(BaseModel):
    """Room for requests inside a model's runner."""

    total: int = Field(description="0: no bound")
    busy: int


class ModelQueue(BaseModel):
    """Who waits for a slot."""

    waiting: int
    predicted_wait_seconds: float


class Model(BaseModel):
    """A model and how it does."""

    id: str = Field(description="its name")
    name: str
    kind: str
    state: RunnerState
    reason: str = Field(description="why it is in this state, for people")
    state_seconds: float = Field(description="how long it has been in it")
    preload: bool
    slots: ModelSlots
    queue: ModelQueue
    memory_bytes: int
    restarts: int
    context_length: int | None = Field(description="tokens that one request may use")
    replicas: int

    @classmethod
    def of(cls, status: ModelStatus, now: float) -> "Model":
        """As it stands at monotonic ``now``."""
        return cls(
            id=status.name,
            name=status.name,
            kind=status.kind,
            state=status.state,
            reason=status.reason,
            state_seconds=round(max(0.0, now - status.since_s), 3),
            preload=status.preload,
            slots=ModelSlots(total=status.slots, busy=status.slots_busy),
            queue=ModelQueue(
                waiting=status.waiting, predicted_wait_seconds=status.predicted_wait_s
            ),
            memory_bytes=status.memory_bytes,
            restarts=status.restarts,
            context_length=status.facts.context_length,
            replicas=len(status.replicas),
        )


class Models(BaseModel):
    """A page of models."""

    items: list[Model]
    next: str | None = Field(description="cursor of the next page; null at the end")


class Lines(BaseModel):
    """Lines of a log, the oldest first."""

    items: list[str]
    next: None = None


class Liveness(BaseModel):
    """The probe's answer."""

    status: str
    reasons: list[str]


class Error(BaseModel):
    """What was wrong, what was expected, what to do."""

    message: str
    type: str
    code: str
    param: str | None
    request_id: str
    timestamp: str
    details: dict[str, Any]


class ErrorAnswer(BaseModel):
    """Every error answer."""

    error: Error
