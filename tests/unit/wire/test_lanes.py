"""Every block is written from its begin to its end, however the deltas alternate."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.chat_streams import streams
from rempart.wire.lanes import Lane, Lanes


class Log:
    """A writer that notes what it is asked."""

    def __init__(self) -> None:
        self.blocks: list[list[Any]] = []
        self.is_open = False

    def open(self, lane: Lane) -> bytes:
        assert not self.is_open
        self.is_open = True
        self.blocks.append([lane.kind, lane.call_id, lane.name, ""])
        return b"("

    def write(self, lane: Lane, text: str) -> bytes:
        assert self.is_open
        assert text
        self.blocks[-1][3] += text
        assert lane.text == self.blocks[-1][3]
        return b"."

    def close(self, lane: Lane) -> bytes:
        assert self.is_open
        self.is_open = False
        return b")"


def run(*deltas: dict[str, Any]) -> tuple[Log, list[bytes]]:
    log = Log()
    lanes = Lanes(log)
    outputs = [lanes.feed(delta) for delta in deltas]
    return log, [*outputs, lanes.finish()]


def call(index: int, arguments: str, id: str = "", name: str = "") -> dict[str, Any]:
    return {
        "tool_calls": [
            {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
        ]
    }


@given(streams())
def test_nothing_is_lost_or_doubled_and_one_block_is_open_at_a_time(
    stream: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    document, chunks = stream
    deltas = [
        choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == 0
    ]
    log, _ = run(*deltas)
    assert not log.is_open
    message = document["choices"][0]["message"]
    for kind, member in (
        ("text", "content"),
        ("reasoning", "reasoning_content"),
        ("refusal", "refusal"),
    ):
        assert "".join(b[3] for b in log.blocks if b[0] == kind) == (message.get(member) or "")
    calls = sorted(b for b in log.blocks if type(b[0]) is int)
    assert calls == [
        [index, c["id"], c["function"]["name"], c["function"]["arguments"]]
        for index, c in enumerate(message.get("tool_calls", []))
    ]


def test_a_piece_goes_out_at_once_where_servers_send_one_block_after_the_other() -> None:
    _, outputs = run(
        {"reasoning_content": "a"},
        {"content": "b"},
        {"content": "c"},
        call(0, "", "x", "f"),
        call(0, "{}"),
        call(1, "{", "y", "g"),
        call(1, "}"),
    )
    assert outputs == [b"(.", b")(.", b".", b")(", b".", b")(.", b".", b")"]


def test_a_call_waits_for_its_name() -> None:
    log, outputs = run(call(0, '{"a":', "x"), call(0, "1}", name="f"))
    assert outputs == [b"", b"(.", b")"]
    assert log.blocks == [[0, "x", "f", '{"a":1}']]


def test_what_belongs_to_others_waits_behind_a_call_that_is_not_whole() -> None:
    log, outputs = run(
        call(0, "{", "x", "f"), call(1, "{}", "y", "g"), {"content": "t"}, call(0, "}")
    )
    assert outputs == [b"(.", b"", b"", b".)(.)(.", b")"]
    assert [b[0] for b in log.blocks] == [0, 1, "text"]


def test_a_call_without_arguments_ends_with_the_stream() -> None:
    log, _ = run(call(0, "", "x", "f"), call(1, "", "y", "g"))
    assert log.blocks == [[0, "x", "f", ""], [1, "y", "g", ""]]


def test_more_of_a_call_that_is_over_is_left_out() -> None:
    log, _ = run(call(0, "{}", "x", "f"), {"content": "t"}, call(0, " "), {"content": "u"})
    assert log.blocks == [[0, "x", "f", "{}"], ["text", "", "", "tu"]]


ODD = st.recursive(
    st.none() | st.integers(-2, 2) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["index", "id", "function", "name", "arguments"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(st.fixed_dictionaries({}, optional={"content": ODD, "tool_calls": ODD}), max_size=5)
)
def test_deltas_of_any_shape_never_raise(deltas: list[dict[str, Any]]) -> None:
    log, _ = run(*deltas)
    assert not log.is_open
