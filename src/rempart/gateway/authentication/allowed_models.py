"""Which models a principal may use: asked where an operation knows the model, and by the listing."""

from rempart.domain.errors import ModelNotAllowed
from rempart.domain.keys import Principal

NAME_CHARACTERS_MAX = 128


def may_use(principal: Principal, model: str) -> bool:
    """Whether this principal may use the model."""
    return not principal.models or model in principal.models


def require_model(principal: Principal, model: str) -> None:
    """Refuse a model that the principal may not use, whether it exists or not: nobody learns which.

    Raises:
        ModelNotAllowed.
    """
    if principal.models and model not in principal.models:
        raise ModelNotAllowed(model=model[:NAME_CHARACTERS_MAX], param="model")
