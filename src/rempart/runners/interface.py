"""What workers and main say to each other about runners: slots wanted, granted, given back.

Tagged structs, so that one decoder reads any of them (``WorkerToMain``, ``MainToWorker``). A
*ticket* is the worker's own number for one request that wants a slot, unique within that worker; a
*grant* is main's name for one slot held, unique within the model, and is sent to runners that
report their slots, so that they can say which one has ended.
"""

import msgspec

from rempart.domain.models import Replica

GRANT_HEADER = "x-rempart-grant"
"""Request header by which a runner that reports its slots learns the grant."""


class SlotWanted(msgspec.Struct, frozen=True, kw_only=True, tag="slot_wanted"):
    """Worker to main: a request waits for a slot of ``model``; starts the model if need be.

    Args:
        deadline_s: moment (monotonic seconds, the same for all processes of a machine) after which
            a grant would be of no use.
    """

    ticket: int
    model: str
    deadline_s: float


class SlotLeft(msgspec.Struct, frozen=True, kw_only=True, tag="slot_left"):
    """Worker to main: the ticket does not want a slot any more.

    A grant that crossed this message on its way is given back by main itself; the worker answers
    it with nothing.
    """

    ticket: int


class SlotReleased(msgspec.Struct, frozen=True, kw_only=True, tag="slot_released"):
    """Worker to main: the ticket's request has ended inside the runner, or was hung up on.

    Args:
        cancelled: the connection was closed before the answer was whole: the runner may go on for
            a while. False where no byte reached the runner.
        settle_s: the endpoint's ``HangUp.settle_s``, for kinds that do not report their slots.
    """

    ticket: int
    cancelled: bool = False
    settle_s: float = 0.0


class EnsureReady(msgspec.Struct, frozen=True, kw_only=True, tag="ensure_ready"):
    """Worker to main: start this model if it is stopped; nothing is answered, the statuses tell."""

    model: str


class SlotGranted(msgspec.Struct, frozen=True, kw_only=True, tag="slot_granted"):
    """Main to worker: send the request now, to this replica.

    The replica comes whole, so that a worker need not have read the newest statuses.
    """

    ticket: int
    replica: Replica
    grant: str
    slot_wait_s: float


class SlotRefused(msgspec.Struct, frozen=True, kw_only=True, tag="slot_refused"):
    """Main to worker: there will be no slot.

    Args:
        code: of ``domain.errors``: ``overloaded``, ``model_loading``, ``model_unavailable``,
            ``model_not_found``, ``shutting_down`` or ``timeout`` (it waited too long).
        reason: for people; it may go to the client.
        retry_after_s: when to try again; 0 where that is not known.
        waiting: how many wait, and ``waiting_max`` how many may, for ``overloaded``.
    """

    ticket: int
    code: str
    reason: str = ""
    retry_after_s: float = 0.0
    waiting: int = 0
    waiting_max: int = 0


class SlotPlace(msgspec.Struct, frozen=True, kw_only=True, tag="slot_place"):
    """Main to worker: the ticket's place; comes when it starts to wait, then every few seconds.

    Args:
        place: 1 is next.
        predicted_wait_s: from how long slots were held of late; 0 where that is not known.
    """

    ticket: int
    place: int
    predicted_wait_s: float


WorkerToMain = SlotWanted | SlotLeft | SlotReleased | EnsureReady
MainToWorker = SlotGranted | SlotRefused | SlotPlace
