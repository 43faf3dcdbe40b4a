"""[[routes]]: another path of a runner or upstream, behind the same steps; its bytes go through as they are."""

from dataclasses import dataclass

from rempart.domain.errors import ModelNotFound
from rempart.gateway.authentication.allowed_models import require_model
from rempart.gateway.exchange import Call, Exchange, Models
from rempart.gateway.validation.body import read_bytes
from rempart.settings.model import Route as RouteSettings
from rempart.settings.model import Settings


@dataclass(frozen=True, kw_only=True)
class CustomRoute:
    """One configured route."""

    models: Models
    settings: Settings
    route: RouteSettings
    name: str = "custom"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        require_model(exchange.principal, self.route.model)
        if self.route.model not in self.models.statuses:
            raise ModelNotFound(model=self.route.model)
        exchange.model_label = self.route.model
        request = exchange.request
        body = await read_bytes(exchange, self.settings.server.body_bytes_max)
        target = self.route.upstream_path or self.route.path
        if request.query:
            target += "?" + request.query
        return Call(
            model=self.route.model,
            endpoint=target,
            stream=True,  # it may stream for long; the silence clock ends one that hangs
            raw=body,
            raw_type=request.header(b"content-type") or b"application/octet-stream",
            method=request.method,
        )
