"""A server as a newcomer starts it: no key given, data folder and log where the README says they are."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.server import READY_S, RempartServer, until

ADDRESS = re.compile(r"Rempart is ready\s+(http://\S+)/v1")


class NewcomersServer(RempartServer):
    """``rempart serve demo`` in a folder of its own, on free ports.

    Args:
        prefix: goes before the command, such as what makes namespaces.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, ["demo", "--port", "0", "--control-port", "0"], dict(environment))
        self.data_dir = folder / "rempart-data"
        self._prefix = list(prefix)

    @property
    def key(self) -> str:
        """The admin key that the first start made."""
        return (self.data_dir / "admin.key").read_text().strip()

    def start(self) -> "NewcomersServer":
        """Start it; does not wait."""
        inherited = {name: text for name, text in os.environ.items() if name[:8] != "REMPART_"}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "rempart", "serve", *self._arguments],
                cwd=self.folder,
                env={**inherited, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def until_announced(self) -> "NewcomersServer":
        """Wait until it prints its address, as a person does."""
        found = until(
            lambda: self.check_running() and _address(self.console()),
            READY_S,
            "the server prints its address",
        )
        self.port = int(found.rpartition(":")[2])
        return self


def _address(console: str) -> str:
    """Where it serves, once it says that it is ready: to a person, or line by line to a program."""
    told = ADDRESS.search(console)
    if told:
        return told[1]
    events = [json.loads(line) for line in console.splitlines() if line.startswith("{")]
    is_ready = any(event["event"] == "ready" for event in events)
    return next((str(one["address"]) for one in events if is_ready and "address" in one), "")


@contextlib.contextmanager
def newcomers_server(
    folder: Path,
    model: Path,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[NewcomersServer]:
    """A server that has said that it is ready; ended with the block.

    Args:
        model: the demo model's file, so that it is not fetched again.
    """
    server = NewcomersServer(folder, environment or {}, prefix)
    models = server.data_dir / "models"
    models.mkdir(parents=True)
    os.link(model, models / model.name)
    try:
        yield server.start().until_announced()
    finally:
        server.stop()
