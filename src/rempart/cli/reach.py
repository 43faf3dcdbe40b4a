"""Where a command's acts are carried out: by a running server, or by this process on the state itself.

Keys, projects and the audit log can be worked on while no server runs. Then this process takes the
lock of the data folder, so that no server starts meanwhile, and answers its own requests through the
same API and actions that a server has.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rempart.cli.configuration import data_folder
from rempart.cli.failure import CommandFailed, NoServer

LOOKS_MAX = 50
LOOK_EVERY_S = 0.2
"""A server that is starting or ending holds the lock and has no socket; it is given 10 s."""


class Asked(Protocol):
    """Who carries out what a command asks."""

    def ask(self, method: str, path: str, *, body: Any = None) -> Any:
        """The JSON of the answer.

        Raises:
            CommandFailed: it was not done; the message says why.
        """
        ...


@contextmanager
def reach(data_dir: Path | None, url: str) -> Iterator[Asked]:
    """The running server, or this process in its place.

    Raises:
        CommandFailed: neither can be.
    """
    from rempart.cli.connection import connect

    connection = connect(data_dir, url)
    if url or _is_there(connection):
        yield connection
        return
    from rempart.cli.offline import FolderBusy, work_on

    folder = data_folder(data_dir)
    looks = 0
    while True:
        looks += 1
        try:
            state = work_on(folder)
            break
        except FolderBusy as error:
            if _is_there(connection):
                yield connection
                return
            if looks >= LOOKS_MAX:
                raise CommandFailed(str(error)) from error
            time.sleep(LOOK_EVERY_S)
    with state as offline:
        yield offline


def _is_there(connection: Any) -> bool:
    try:
        connection.ask("GET", "/livez")
    except NoServer:
        return False
    return True
