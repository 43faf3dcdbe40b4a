"""Another replica only before the first byte, never after an answer that another one would repeat."""

from collections.abc import Callable

import pytest

from lab.exchanges import call_of, exchange_of
from lab.sim_loop import simulate
from rempart.domain.errors import RunnerError, TimedOut, UpstreamError
from rempart.domain.models import Replica
from rempart.gateway.attempts import ATTEMPTS_MAX, attempts
from rempart.gateway.exchange import Exchange, ReplicaFailed
from rempart.gateway.operations.passed_stream import PassedStream


def lost() -> ReplicaFailed:
    return ReplicaFailed(RunnerError(reason="it died"))


def answered() -> ReplicaFailed:
    return ReplicaFailed(UpstreamError(reason="it answered 500"), has_answered=True)


def tries(
    failures: list[Exception | None],
    *,
    others: int = 0,
    shaped: bool = True,
    before: Callable[[Exchange], None] | None = None,
) -> tuple[int, Exception | None, list[str]]:
    """How many attempts were made, what came out in the end, and which replicas are known to have failed."""

    async def body() -> tuple[int, Exception | None, list[str]]:
        exchange, _ = exchange_of()
        exchange.call = call_of(
            shape=PassedStream(is_runner=True, wants_usage=False) if shaped else None
        )
        count = 0
        try:
            for attempt in attempts(exchange):
                with attempt:
                    count += 1
                    exchange.replica = Replica(id=f"r-{count}", url="http://h")
                    exchange.other_replicas = others
                    if before is not None:
                        before(exchange)
                    failure = failures[count - 1] if count <= len(failures) else None
                    if failure is not None:
                        raise failure
        except Exception as error:
            return count, error, exchange.failed_replicas
        return count, None, exchange.failed_replicas

    return simulate(body())


def test_what_succeeds_is_tried_once() -> None:
    assert tries([]) == (1, None, [])


@pytest.mark.parametrize("others", [0, 1])
def test_a_connection_that_broke_is_tried_again_also_where_there_is_one_replica_only(
    others: int,
) -> None:
    """A runner that died is restarted."""
    assert tries([lost()], others=others) == (2, None, ["r-1"])
    assert tries([lost(), lost()], others=others) == (3, None, ["r-1", "r-2"])


def test_a_5xx_is_tried_on_another_replica_and_never_on_the_same() -> None:
    assert tries([answered()], others=1) == (2, None, ["r-1"])
    failure = answered()
    assert tries([failure], others=0) == (1, failure, ["r-1"])


def test_attempts_have_a_bound() -> None:
    failures: list[Exception | None] = [lost() for _ in range(10)]
    assert tries(failures) == (ATTEMPTS_MAX, failures[ATTEMPTS_MAX - 1], ["r-1", "r-2", "r-3"])


def test_after_the_first_byte_none_is_tried_again() -> None:
    def begun(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.reply.write(b": queued\n")

    failure = lost()
    assert tries([failure], others=2, before=begun) == (1, failure, ["r-1"])


def test_a_call_that_may_not_be_repeated_is_not() -> None:
    """A route of one's own may do anything."""
    failure = lost()
    assert tries([failure], others=2, shaped=False) == (1, failure, ["r-1"])


@pytest.mark.parametrize(
    "error",
    [RunnerError(reason="it refused"), TimedOut(clock="total", limit_s=1.0), ValueError("a bug")],
)
def test_any_other_error_comes_out_at_once(error: Exception) -> None:
    assert tries([error], others=2) == (1, error, [])
    assert tries([lost(), error], others=2) == (2, error, ["r-1"])


def test_a_failure_before_a_replica_was_chosen_names_none() -> None:
    async def body() -> list[str]:
        exchange, _ = exchange_of()
        exchange.call = call_of(shape=PassedStream(is_runner=True, wants_usage=False))
        for attempt in attempts(exchange):
            with attempt:
                if not attempt.has_failed:
                    raise lost()
            if attempt.has_failed:
                break
        return exchange.failed_replicas

    assert simulate(body()) == []
