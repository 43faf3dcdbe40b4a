"""The life of one model's runner as a table: phase and event → next phase and what to do. Pure.

Nothing here knows processes, time or chance. An event without a row in its phase changes nothing:
it came late, or asks for what is already so. What others see of a phase is its ``RunnerState``.

The phases that end a runner remember what comes after it, so that a request which wants the model
while it is being unloaded is never lost: the phase changes from "ends, then stopped" to "ends, then
starts".
"""

from enum import Enum

from rempart.domain.models import RunnerState


class Phase(Enum):
    """Where a runner is, in more detail than the world needs."""

    STOPPED = RunnerState.STOPPED, 1
    STARTING = RunnerState.STARTING, 1
    READY = RunnerState.READY, 1
    DRAINING_TO_STOP = RunnerState.DRAINING, 1
    DRAINING_TO_START = RunnerState.DRAINING, 2
    ENDING_TO_STOP = RunnerState.DRAINING, 3
    ENDING_TO_START = RunnerState.DRAINING, 4
    ENDING_SICK = RunnerState.BACKOFF, 1
    BACKOFF = RunnerState.BACKOFF, 2
    FAILED = RunnerState.FAILED, 1

    @property
    def state(self) -> RunnerState:
        """What workers, pages and the health document are told."""
        return self.value[0]


class Event(Enum):
    """What can happen to a runner."""

    WANTED = "a request wants it"
    LOAD = "an operator, or the start of the server, wants it"
    UNLOAD = "an operator wants it gone, or its model was taken out"
    RESTART = "an operator wants it anew, or a slot was stuck"
    HEALTHY = "it answers its probe for the first time"
    SICK = "it must be ended: not ready in time, silent, or too large"
    EXITED = "its process is gone"
    CANNOT_LAUNCH = "there is nothing to start: a file is missing, a program not found"
    DRAINED = "its last request has ended, or the time for that"
    PAUSE_OVER = "the pause before its restart has passed"
    GIVEN_UP = "it crashed too often"


class Effect(Enum):
    """What the owner does on a move, in the order given."""

    START = "start a process"
    OPEN = "give its slots out"
    CLOSE = "give out no more of its slots; DRAINED follows"
    TAKE_DOWN = "forget its slots and those who hold them"
    END = "end the process; EXITED follows"
    JUDGE_CRASH = "count the crash; PAUSE_OVER or GIVEN_UP follows"
    CANCEL_PAUSE = "do not wait for the pause any more"
    FORGIVE = "forget earlier crashes"
    REFUSE_WAITERS = "refuse those who wait"


Move = tuple[Phase, tuple[Effect, ...]]

_STARTS: Move = (Phase.STARTING, (Effect.FORGIVE, Effect.START))
_CRASHES: Move = (Phase.BACKOFF, (Effect.TAKE_DOWN, Effect.JUDGE_CRASH))
_FAILS: Move = (Phase.FAILED, (Effect.TAKE_DOWN, Effect.REFUSE_WAITERS))

TABLE: dict[Phase, dict[Event, Move]] = {
    Phase.STOPPED: {
        Event.WANTED: (Phase.STARTING, (Effect.START,)),
        Event.LOAD: _STARTS,
        Event.RESTART: _STARTS,
    },
    Phase.STARTING: {
        Event.HEALTHY: (Phase.READY, (Effect.OPEN,)),
        Event.SICK: (Phase.ENDING_SICK, (Effect.END,)),
        Event.EXITED: _CRASHES,
        Event.CANNOT_LAUNCH: _FAILS,
        Event.UNLOAD: (Phase.ENDING_TO_STOP, (Effect.REFUSE_WAITERS, Effect.END)),
        Event.RESTART: (Phase.ENDING_TO_START, (Effect.END,)),
    },
    Phase.READY: {
        Event.SICK: (Phase.ENDING_SICK, (Effect.TAKE_DOWN, Effect.END)),
        Event.EXITED: _CRASHES,
        Event.UNLOAD: (Phase.DRAINING_TO_STOP, (Effect.REFUSE_WAITERS, Effect.CLOSE)),
        Event.RESTART: (Phase.DRAINING_TO_START, (Effect.CLOSE,)),
    },
    Phase.DRAINING_TO_STOP: {
        Event.DRAINED: (Phase.ENDING_TO_STOP, (Effect.TAKE_DOWN, Effect.END)),
        Event.SICK: (Phase.ENDING_TO_STOP, (Effect.TAKE_DOWN, Effect.END)),
        Event.EXITED: (Phase.STOPPED, (Effect.TAKE_DOWN,)),
        Event.WANTED: (Phase.DRAINING_TO_START, ()),
        Event.LOAD: (Phase.DRAINING_TO_START, (Effect.FORGIVE,)),
        Event.RESTART: (Phase.DRAINING_TO_START, (Effect.FORGIVE,)),
    },
    Phase.DRAINING_TO_START: {
        Event.DRAINED: (Phase.ENDING_TO_START, (Effect.TAKE_DOWN, Effect.END)),
        Event.SICK: (Phase.ENDING_TO_START, (Effect.TAKE_DOWN, Effect.END)),
        Event.EXITED: (Phase.STARTING, (Effect.TAKE_DOWN, Effect.START)),
        Event.UNLOAD: (Phase.DRAINING_TO_STOP, (Effect.REFUSE_WAITERS,)),
    },
    Phase.ENDING_TO_STOP: {
        Event.EXITED: (Phase.STOPPED, ()),
        Event.WANTED: (Phase.ENDING_TO_START, ()),
        Event.LOAD: (Phase.ENDING_TO_START, (Effect.FORGIVE,)),
        Event.RESTART: (Phase.ENDING_TO_START, (Effect.FORGIVE,)),
    },
    Phase.ENDING_TO_START: {
        Event.EXITED: (Phase.STARTING, (Effect.START,)),
        Event.UNLOAD: (Phase.ENDING_TO_STOP, (Effect.REFUSE_WAITERS,)),
    },
    Phase.ENDING_SICK: {
        Event.EXITED: (Phase.BACKOFF, (Effect.JUDGE_CRASH,)),
        Event.UNLOAD: (Phase.ENDING_TO_STOP, (Effect.REFUSE_WAITERS,)),
        Event.LOAD: (Phase.ENDING_TO_START, (Effect.FORGIVE,)),
        Event.RESTART: (Phase.ENDING_TO_START, (Effect.FORGIVE,)),
    },
    Phase.BACKOFF: {
        Event.PAUSE_OVER: (Phase.STARTING, (Effect.START,)),
        Event.GIVEN_UP: (Phase.FAILED, (Effect.REFUSE_WAITERS,)),
        Event.UNLOAD: (Phase.STOPPED, (Effect.CANCEL_PAUSE, Effect.REFUSE_WAITERS)),
        Event.LOAD: (Phase.STARTING, (Effect.CANCEL_PAUSE, Effect.FORGIVE, Effect.START)),
        Event.RESTART: (Phase.STARTING, (Effect.CANCEL_PAUSE, Effect.FORGIVE, Effect.START)),
    },
    Phase.FAILED: {
        Event.LOAD: _STARTS,
        Event.RESTART: _STARTS,
        Event.UNLOAD: (Phase.STOPPED, ()),
    },
}
"""One row per phase; the documentation's diagram and the test of unreachable phases read this."""

HAS_PROCESS: frozenset[Phase] = frozenset(TABLE) - {Phase.STOPPED, Phase.BACKOFF, Phase.FAILED}
"""Phases in which a process exists, or is about to; only they end with ``EXITED``."""


def move(phase: Phase, event: Event) -> Move:
    """Where the event leads and what to do; an event without a row changes nothing."""
    return TABLE[phase].get(event, (phase, ()))
