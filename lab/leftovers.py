"""What a test leaves behind: child processes, open descriptors, asyncio tasks."""

import asyncio
import asyncio.runners
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

CANCEL_ALL_TASKS = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

SETTLE_S = 2.0
"""How long the operating system may take to show what has just been closed."""


@dataclass(frozen=True)
class Held:
    """What this process holds at one moment.

    Args:
        children: pid → command line of direct children, ended ones not waited for too.
        descriptors: number → what it is open on; empty where there is no /proc.
    """

    children: dict[int, str]
    descriptors: dict[int, str]

    def beyond(self, before: "Held") -> list[str]:
        """One line for each thing held now that was not held before."""
        lines = [
            f"child process {pid}: {command}"
            for pid, command in self.children.items()
            if pid not in before.children
        ]
        new = [
            f"descriptor {number}: {target}"
            for number, target in self.descriptors.items()
            if before.descriptors.get(number) != target
        ]
        # A descriptor may be closed and its number given out anew, so only growth is a leak.
        if len(self.descriptors) > len(before.descriptors):
            lines += new
        return lines


def held() -> Held:
    """What this process holds now."""
    children: dict[int, str] = {}
    for child in psutil.Process().children():
        try:
            command = " ".join(child.cmdline()) or f"({child.status()})"
        except psutil.ZombieProcess:
            command = "(ended, not waited for)"
        except psutil.NoSuchProcess:
            continue
        if "multiprocessing.resource_tracker" not in command:  # lives as long as we do
            children[child.pid] = command
    return Held(children, _descriptors())


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return found
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one that listed the folder
            continue
    return found


def left_over(before: Held, pause: Callable[[float], None] = time.sleep) -> list[str]:
    """What is held beyond `before` and does not go away by itself within `SETTLE_S`."""
    lines = held().beyond(before)
    deadline = time.monotonic() + SETTLE_S
    if lines:
        gc.collect()
        lines = held().beyond(before)
    while lines and time.monotonic() < deadline:
        pause(0.02)
        lines = held().beyond(before)
    return lines


@dataclass
class LooseTasks:
    """Tasks that were running when their event loop was closed, in words."""

    lines: list[str] = field(default_factory=list)


@contextmanager
def loose_tasks() -> Iterator[LooseTasks]:
    """Watch every ``asyncio.run`` in the block for tasks that nobody waited for.

    asyncio.run cancels them without a word, so they would otherwise never be seen. A task that is
    already being cancelled is on its way out and does not count.
    """
    found = LooseTasks()
    outer = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

    def watch(loop: asyncio.AbstractEventLoop) -> None:
        found.lines += [
            f"task {task.get_name()}: {task.get_coro()!r}"
            for task in asyncio.all_tasks(loop)
            if not task.cancelling()
        ]
        CANCEL_ALL_TASKS(loop)  # not the outer watch: what is seen here is not seen again there

    asyncio.runners._cancel_all_tasks = watch  # type: ignore[attr-defined]
    try:
        yield found
    finally:
        asyncio.runners._cancel_all_tasks = outer  # type: ignore[attr-defined]
