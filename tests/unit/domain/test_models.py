"""Models as processes tell each other of them: nothing lost on the way, no secret shown."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.models import Abilities, Facts, HangUp, ModelStatus, Replica, RunnerState

hang_ups = st.builds(
    HangUp, decode=st.booleans(), prefill=st.booleans(), settle_s=st.floats(0, 100)
)
statuses = st.builds(
    ModelStatus,
    name=st.text(min_size=1),
    kind=st.sampled_from(["llama_cpp", "upstream"]),
    state=st.sampled_from(RunnerState),
    reason=st.text(),
    slots=st.integers(0, 100),
    preload=st.booleans(),
    replicas=st.lists(
        st.builds(Replica, id=st.text(), url=st.text(), api_key=st.text(), base_path=st.text()),
        max_size=3,
    ),
    abilities=st.builds(
        Abilities,
        endpoints=st.dictionaries(st.text(), hang_ups, max_size=3),
        extras=st.frozensets(st.text(), max_size=3),
        enforces_tool_choice=st.booleans(),
    ),
    facts=st.builds(Facts, context_length=st.none() | st.integers(1, 10**6)),
)


@given(statuses)
def test_a_status_comes_through_a_channel_as_it_was(status: ModelStatus) -> None:
    for wire in (msgspec.msgpack, msgspec.json):
        assert wire.decode(wire.encode(status), type=ModelStatus) == status


def test_a_replica_s_key_does_not_show() -> None:
    replica = Replica(id="far-1", url="http://127.0.0.1:9000", api_key="sk-hunter2")
    status = ModelStatus(name="far", kind="upstream", state=RunnerState.READY, replicas=[replica])
    for text in (repr(replica), str(replica), repr(status), f"{[status]}"):
        assert "hunter2" not in text
        assert "far-1" in text


def test_statuses_do_not_share_their_replicas() -> None:
    one, other = (ModelStatus(name=n, kind="upstream", state=RunnerState.READY) for n in "ab")
    one.replicas.append(Replica(id="r", url="http://h"))
    assert other.replicas == []
