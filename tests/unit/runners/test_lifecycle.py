"""The table of a runner's life: whole, closed, and never stuck."""

from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.models import RunnerState
from rempart.runners.lifecycle import HAS_PROCESS, TABLE, Effect, Event, Phase, move


def test_every_phase_has_a_row_and_every_state_a_phase() -> None:
    assert set(TABLE) == set(Phase)
    assert {phase.state for phase in Phase} == set(RunnerState)


def test_every_phase_can_be_reached_from_stopped() -> None:
    reached = {Phase.STOPPED}
    while True:
        further = {after for phase in reached for after, _ in TABLE[phase].values()} | reached
        if further == reached:
            break
        reached = further
    assert reached == set(Phase)


def test_every_event_and_every_effect_is_used() -> None:
    assert {event for row in TABLE.values() for event in row} == set(Event)
    used = {effect for row in TABLE.values() for _, effects in row.values() for effect in effects}
    assert used == set(Effect)


def test_an_event_without_a_row_changes_nothing() -> None:
    assert move(Phase.STOPPED, Event.HEALTHY) == (Phase.STOPPED, ())
    assert move(Phase.FAILED, Event.WANTED) == (Phase.FAILED, ())


def test_a_process_starts_only_where_there_is_none_and_is_ended_where_there_is_one() -> None:
    for phase, row in TABLE.items():
        for event, (after, effects) in row.items():
            if Effect.START in effects:
                assert phase not in HAS_PROCESS or event is Event.EXITED, (phase, event)
                assert after is Phase.STARTING
            if Effect.END in effects:
                assert phase in HAS_PROCESS, (phase, event)
            if phase in HAS_PROCESS and after not in HAS_PROCESS:
                assert event in (Event.EXITED, Event.CANNOT_LAUNCH), (phase, event)


def test_a_phase_with_a_process_always_learns_of_its_end() -> None:
    for phase in HAS_PROCESS:
        assert Event.EXITED in TABLE[phase]


def test_slots_are_taken_down_exactly_when_a_replica_could_be_up() -> None:
    open_phases = {Phase.READY, Phase.DRAINING_TO_STOP, Phase.DRAINING_TO_START}
    for phase, row in TABLE.items():
        for event, (after, effects) in row.items():
            if phase in open_phases and after not in open_phases:
                assert Effect.TAKE_DOWN in effects, (phase, event)


def test_a_request_that_comes_while_the_model_is_unloaded_starts_it_again() -> None:
    """The order in which llama-swap's router once hung for ever."""
    for ending in (Phase.DRAINING_TO_STOP, Phase.ENDING_TO_STOP):
        phase, _ = move(ending, Event.WANTED)
        after, effects = move(phase, Event.EXITED)
        assert after is Phase.STARTING
        assert Effect.START in effects


def test_only_an_operator_starts_what_has_failed() -> None:
    starters = [
        event for event, (after, _) in TABLE[Phase.FAILED].items() if after is Phase.STARTING
    ]
    assert set(starters) == {Event.LOAD, Event.RESTART}


def test_whoever_unloads_ends_in_stopped_or_starts_again_only_by_a_later_wish() -> None:
    for start in Phase:
        phase, _ = move(start, Event.UNLOAD)
        seen = [start]
        while phase in HAS_PROCESS:
            event = Event.DRAINED if Event.DRAINED in TABLE[phase] else Event.EXITED
            phase, _ = move(phase, event)
            seen.append(phase)
        assert phase is Phase.STOPPED, seen


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_any_sequence_of_events_keeps_one_process_at_most(events: list[Event]) -> None:
    """Events of the process itself only come while there is one; all others come at any time."""
    phase, has_process, is_up = Phase.STOPPED, False, False
    for event in events:
        if event in (Event.EXITED, Event.HEALTHY, Event.SICK) and not has_process:
            continue
        if event is Event.CANNOT_LAUNCH and (phase is not Phase.STARTING or not has_process):
            continue
        if event in (Event.EXITED, Event.CANNOT_LAUNCH):
            has_process = False
        phase, effects = move(phase, event)
        for effect in effects:
            if effect is Effect.START:
                assert not has_process
                has_process = True
            elif effect is Effect.OPEN:
                assert not is_up
                is_up = True
            elif effect is Effect.TAKE_DOWN:
                is_up = False
        assert has_process == (phase in HAS_PROCESS)
        assert is_up == (phase in (Phase.READY, Phase.DRAINING_TO_STOP, Phase.DRAINING_TO_START))
