"""Status events are whole lines; a reader that is slow or gone never makes the loop wait."""

import asyncio
import os

from rempart.runners.llama_cpp_server import status_pipe
from rempart.runners.llama_cpp_server.status_pipe import StatusPipe
from rempart.runners.status import End, Progress, Slots, StatusLines


def read_all(descriptor: int) -> bytes:
    data = b""
    while piece := os.read(descriptor, 65536):
        data += piece
    os.close(descriptor)
    return data


def test_an_event_is_a_line() -> None:
    read_end, write_end = os.pipe()
    pipe = StatusPipe(write_end)
    pipe.send(Progress(what="loading"))
    pipe.send(Slots(total=4, busy=1))
    pipe.close()
    assert StatusLines().feed(read_all(read_end)) == [
        Progress(what="loading"),
        Slots(total=4, busy=1),
    ]


def test_without_a_descriptor_events_go_nowhere() -> None:
    pipe = StatusPipe(None)
    pipe.send(Progress(what="loading"))
    pipe.close()


def test_a_reader_that_is_gone_does_no_harm() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    pipe = StatusPipe(write_end)
    pipe.send(Progress(what="loading"))
    pipe.close()
    pipe.close()


def test_what_does_not_fit_is_sent_when_it_does() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    count = 4000  # some 300 KiB, where a pipe holds 64
    lines = StatusLines()
    got: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        all_came = asyncio.Event()

        def read() -> None:
            got.extend(lines.feed(os.read(read_end, 65536)))
            if len(got) >= count:
                all_came.set()

        pipe = StatusPipe(write_end)
        pipe.use_loop(loop)
        for number in range(count):
            pipe.send(End(grant=f"g-{number}"))
        loop.add_reader(read_end, read)
        async with asyncio.timeout(20):
            await all_came.wait()
        loop.remove_reader(read_end)
        pipe.close()
        assert pipe.dropped_count == 0

    asyncio.run(main())
    os.close(read_end)
    assert got == [End(grant=f"g-{number}") for number in range(count)]


def test_beyond_its_bound_the_oldest_are_dropped_and_counted() -> None:
    read_end, write_end = os.pipe()

    async def main() -> int:
        pipe = StatusPipe(write_end)
        pipe.use_loop(asyncio.get_running_loop())
        for number in range(status_pipe.EVENTS_WAITING_MAX + 2000):
            pipe.send(End(grant=f"g-{number:06}"))
        pipe.close()
        return pipe.dropped_count

    dropped = asyncio.run(main())
    assert 0 < dropped < 2000
    data = read_all(read_end)
    assert data.endswith(b"\n"), "no event is cut"
