"""What control asks of main."""

from typing import Protocol

from rempart.domain.models import ModelStatus


class Link(Protocol):
    """Control's view of the running server; the process's ``run.py`` brings the real one.

    The acts raise the errors of ``domain.errors``: ModelNotFound, ModelUnavailable,
    InsufficientMemory, Overloaded.
    """

    @property
    def started_at(self) -> float:
        """Monotonic seconds at which the server started."""
        ...

    @property
    def version(self) -> str:
        """The server's version."""
        ...

    def statuses(self) -> list[ModelStatus]:
        """All models in the order of the configuration, as main last told."""
        ...

    async def log_lines(self, model: str, n: int) -> list[str]:
        """The last ``n`` lines that the model's runner wrote, the oldest first."""
        ...

    async def load(self, model: str) -> None:
        """Load the model; returns when it is ready."""
        ...

    async def unload(self, model: str) -> None:
        """Unload the model; returns when its process is gone."""
        ...

    async def restart(self, model: str) -> None:
        """End the model's runner and start it anew, also one that was given up."""
        ...
