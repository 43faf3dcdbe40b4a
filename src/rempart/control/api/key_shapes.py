"""The shapes of keys, projects and audit entries in answers."""

from typing import Any, Literal

from pydantic import BaseModel, Field

KEY_SHOWN_ONCE = "the whole key, as clients send it; shown now and never again"


class Key(BaseModel):
    """A key; nothing in it is secret."""

    id: str
    name: str
    state: Literal["active", "expired", "revoked"]
    scopes: list[str]
    models: list[str] = Field(description="models it may use; empty: all")
    networks: list[str] = Field(description="networks it may come from; empty: all")
    limits: dict[str, float | int | None] = Field(
        description="its own limits, which replace the defaults by name; null: no limit"
    )
    is_unlimited: bool = Field(description="no default limits apply to it")
    project: str | None = Field(description="id of its project")
    content: Literal["off", "hashed", "on"]
    labels: dict[str, str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    old_secret_until: str | None = Field(
        description="until when the secret before the last rotation is valid"
    )


class NewKeyAnswer(Key):
    """A key just made or rotated, with its secret."""

    key: str = Field(description=KEY_SHOWN_ONCE)


class Keys(BaseModel):
    """A page of keys, newest first."""

    items: list[Key]
    next: str | None = Field(description="cursor of the next page; null at the end")


class Project(BaseModel):
    """A project: keys that share limits."""

    id: str
    name: str
    limits: dict[str, float | int | None]
    labels: dict[str, str]
    created_at: str


class Projects(BaseModel):
    """A page of projects, newest first."""

    items: list[Project]
    next: str | None = Field(description="cursor of the next page; null at the end")


class AuditEntry(BaseModel):
    """What somebody did, or what failed."""

    sequence: int
    at: str
    actor: str = Field(description="key id, `local:UID`, `jwt:SUBJECT` or `rempart`")
    address: str = Field(description="where it came from; empty: the machine itself")
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    previous_hash: str = Field(description="hexadecimal; of the entry before")
    hash: str = Field(description="hexadecimal; over the hash of the entry before, and this one")


class AuditEntries(BaseModel):
    """A page of the audit log."""

    items: list[AuditEntry]
    next: str | None = Field(description="cursor of the next page; null at the end")


class AuditVerdict(BaseModel):
    """Whether the chain of the audit log is whole."""

    is_whole: bool
    entries: int = Field(description="how many follow each other without a fault, from the first")
    head: str = Field(description="hexadecimal; hash of the last of these")
    fault: str = Field(description="what is wrong first; empty: nothing")
    checkpoints: int = Field(description="how many signed checkpoints it was compared with")
