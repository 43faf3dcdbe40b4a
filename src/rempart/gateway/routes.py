"""The table of routes: path, methods, scope, operation. Nothing else decides who may ask what.

``PUBLIC`` has to be written out. Paths not in the table need a key before they are told to be unknown.
"""

from collections.abc import Sequence

from rempart.domain.keys import Scope
from rempart.gateway.exchange import Operation, Route

PUBLIC = ""
READ = ("GET", "HEAD")
POST = ("POST",)


def table(operations: dict[str, Operation], *, metrics_open: bool) -> list[Route]:
    """The fixed routes.

    Args:
        operations: by the name used here.
    """
    inference = Scope.INFERENCE.value
    metrics_scope = PUBLIC if metrics_open else Scope.METRICS.value
    return [
        Route(path="/livez", methods=READ, scope=PUBLIC, operation=operations["livez"]),
        Route(path="/readyz", methods=READ, scope=PUBLIC, operation=operations["readyz"]),
        Route(path="/health", methods=READ, scope=PUBLIC, operation=operations["health"]),
        Route(path="/openapi.json", methods=READ, scope=PUBLIC, operation=operations["openapi"]),
        Route(path="/docs", methods=READ, scope=PUBLIC, operation=operations["docs"]),
        Route(path="/metrics", methods=READ, scope=metrics_scope, operation=operations["metrics"]),
        Route(path="/v1/models", methods=READ, scope=inference, operation=operations["models"]),
        Route(path="/v1/models/{id}", methods=READ, scope=inference, operation=operations["model"]),
        Route(
            path="/v1/chat/completions", methods=POST, scope=inference, operation=operations["chat"]
        ),
        Route(
            path="/v1/completions",
            methods=POST,
            scope=inference,
            operation=operations["completions"],
        ),
        Route(
            path="/v1/embeddings", methods=POST, scope=inference, operation=operations["embeddings"]
        ),
        Route(path="/v1/rerank", methods=POST, scope=inference, operation=operations["rerank"]),
        Route(
            path="/v1/responses", methods=POST, scope=inference, operation=operations["responses"]
        ),
        Route(
            path="/v1/responses/input_tokens",
            methods=POST,
            scope=inference,
            operation=operations["responses_input_tokens"],
        ),
        Route(path="/v1/messages", methods=POST, scope=inference, operation=operations["messages"]),
        Route(
            path="/v1/messages/count_tokens",
            methods=POST,
            scope=inference,
            operation=operations["messages_count_tokens"],
        ),
        Route(path="/v1/tokenize", methods=POST, scope=inference, operation=operations["tokenize"]),
    ]


class RouteTable:
    """Finds rows by method and path. A path ending in ``{id}`` matches any non-empty rest."""

    def __init__(self, routes: Sequence[Route], preflight: Operation) -> None:
        self.routes = list(routes)
        self._exact: dict[str, list[Route]] = {}
        self._prefixes: list[tuple[str, Route]] = []
        self._preflight = preflight
        for route in routes:
            if route.path.endswith("{id}"):
                self._prefixes.append((route.path.removesuffix("{id}"), route))
            else:
                self._exact.setdefault(route.path, []).append(route)

    def find(self, method: str, path: str) -> Route | None:
        """The row for this method and path, or None."""
        for route in self._rows(path):
            if method in route.methods:
                return route
        if method == "OPTIONS":
            return Route(path=path, methods=("OPTIONS",), scope=PUBLIC, operation=self._preflight)
        return None

    def allowed(self, path: str) -> tuple[str, ...]:
        """Methods that the path takes."""
        return tuple(method for route in self._rows(path) for method in route.methods)

    def _rows(self, path: str) -> list[Route]:
        rows = self._exact.get(path)
        if rows is not None:
            return rows
        return [
            route
            for prefix, route in self._prefixes
            if path.startswith(prefix) and len(path) > len(prefix)
        ]
