"""Plays a worker or control for the tests of main's children: a process that does what its script says.

The script is the environment's ``STAND_IN``, words separated by blanks:

    crash            ends at once with status 7
    mute             never says that it is ready
    deaf             does not end when it is told to
    accept           answers each connection to its listening sockets with its name and ends it

Otherwise it says that it is ready, gives signs of life, counts (a worker does) one in ``lives_total`` and
one in ``in_flight``, and ends when it is told to drain or to stop, or when main is gone.
"""

import os
import sys

if "crash" in os.environ.get("STAND_IN", "").split():  # before anything takes time
    sys.exit(7)

import asyncio
import signal
from pathlib import Path
from typing import Any

from rempart.processes import messages
from rempart.processes.arguments import Inherited, Link
from rempart.telemetry.cells import Cells

BEAT_S = 0.02


async def run() -> int:
    script = os.environ.get("STAND_IN", "").split()
    inherited = Inherited(sys.argv[1:])
    link = Link()
    welcome = await link.open(inherited.channel)
    if welcome.name != "control":
        cells = Cells(Path(welcome.run_dir) / "metrics", welcome.name)
        for name in ("lives_total", "in_flight"):
            cells.values[cells.cell(name)] += 1
    ended = asyncio.Event()

    def heard(message: Any) -> None:
        if isinstance(message, (messages.Drain, messages.Stop)) and "deaf" not in script:
            ended.set()

    loop = asyncio.get_running_loop()
    if "deaf" in script:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
    link.listen(heard, ended.set)
    async with asyncio.TaskGroup() as tasks:
        if "accept" in script:
            for listener in inherited.listeners:
                tasks.create_task(greet(listener, welcome.name))
        if "mute" not in script:
            link.send(messages.Ready())
            tasks.create_task(beat(link))
        await ended.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    link.send(messages.Drained())
    link.close()
    return 0


async def beat(link: Link) -> None:
    while True:
        link.send(messages.Heartbeat(in_flight=1))
        await asyncio.sleep(BEAT_S)


async def greet(listener: Any, name: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        await loop.sock_sendall(connection, name.encode())
        connection.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
