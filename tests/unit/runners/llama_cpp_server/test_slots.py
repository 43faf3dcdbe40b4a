"""Slots are taken and given back once each, and every change is told in order."""

import os

import pytest

from rempart.runners.llama_cpp_server.refusals import Refused
from rempart.runners.llama_cpp_server.slots import SlotTable
from rempart.runners.llama_cpp_server.status_pipe import StatusPipe
from rempart.runners.status import End, Slots, StatusLines


class FakeWork:
    """Work that has cost something."""

    def __init__(self, prompt: int, completion: int, *, is_stopped: bool) -> None:
        self.prompt_tokens = prompt
        self.completion_tokens = completion
        self.is_stopped = is_stopped

    def stop(self) -> None: ...

    def run(self) -> None: ...


def test_a_table_gives_out_its_slots_and_no_more() -> None:
    table = SlotTable(2, StatusPipe(None))
    first, second = table.take("a"), table.take("b")
    assert table.busy == 2
    with pytest.raises(Refused) as refused:
        table.take("c")
    assert refused.value.status == 503
    table.free(first)
    assert table.take("c") is first
    assert [s["grant"] for s in table.listing()] == ["c", "b"]
    table.free(second)
    assert table.busy == 1


def test_every_change_is_told_and_counted() -> None:
    read_end, write_end = os.pipe()
    status = StatusPipe(write_end)
    table = SlotTable(2, status)
    whole, stopped = table.take("a"), table.take("b")
    whole.work = FakeWork(10, 3, is_stopped=False)
    stopped.work = FakeWork(7, 5, is_stopped=True)
    assert table.works() == [whole.work, stopped.work]
    assert table.listing()[1]["completion_tokens"] == 5
    assert table.listing()[1]["stopping"]
    table.free(stopped)
    table.free(whole)
    status.close()
    assert StatusLines().feed(os.read(read_end, 65536)) == [
        Slots(total=2, busy=1),
        Slots(total=2, busy=2),
        End(grant="b", prompt_tokens=7, completion_tokens=5, cancelled=True),
        Slots(total=2, busy=1),
        End(grant="a", prompt_tokens=10, completion_tokens=3, cancelled=False),
        Slots(total=2, busy=0),
    ]
    os.close(read_end)
    counters = table.counters
    assert (counters.requests, counters.prompt_tokens) == (2, 17)
    assert (counters.completion_tokens, counters.wasted_tokens) == (8, 5)
    assert table.works() == []
