"""Servers that someone else runs: nothing is started, each base URL is a replica."""

from urllib.parse import urlsplit

from rempart.domain.models import Abilities, HangUp, Replica
from rempart.runners.kinds.command import EXTRAS, PATHS
from rempart.runners.kinds.interface import Launch, LaunchError, Place
from rempart.settings.model import Model

TAKEN_TO_STOP = HangUp(decode=True, prefill=True, settle_s=0.5)
"""What a service does is its own affair; it only matters where ``slots`` bounds what we send."""


class Upstream:
    """See ``RunnerKind``."""

    name = "upstream"
    slots_default: int | None = None

    def abilities(self, model: Model) -> Abilities:
        """It is taken to speak the protocol as OpenAI does."""
        return Abilities(endpoints=dict.fromkeys(PATHS, TAKEN_TO_STOP), extras=EXTRAS)

    def launch(self, model: Model, place: Place) -> Launch:
        """No command: it is ready at once, and trouble shows when it is asked."""
        if not model.base_urls:
            raise LaunchError("base_urls is empty. Write the server's address, with /v1.")
        return Launch(
            replicas=tuple(
                _replica(model, url, f"{place.name}.{number}")
                for number, url in enumerate(model.base_urls)
            )
        )


def _replica(model: Model, base_url: str, name: str) -> Replica:
    parts = urlsplit(base_url)
    return Replica(
        id=name,
        url=f"{parts.scheme}://{parts.netloc}",
        base_path=parts.path.rstrip("/"),
        api_key=model.api_key,
        upstream_name=model.upstream_name or model.name,
    )
