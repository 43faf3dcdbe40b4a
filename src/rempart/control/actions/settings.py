"""What an operator can see of the configuration."""

from typing import Any

from rempart.settings.model import Settings
from rempart.settings.resolved import masked


def show(settings: Settings) -> dict[str, Any]:
    """Every setting as it takes effect; secrets are masked."""
    return masked(settings)
