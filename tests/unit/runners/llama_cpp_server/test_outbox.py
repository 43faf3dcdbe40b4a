"""Bytes cross from a thread to the loop, all of them, with few wake-ups and a bound."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from rempart.runners.llama_cpp_server.outbox import HIGH_MARK_BYTES, Outbox


def test_everything_arrives_in_order_with_fewer_wake_ups_than_pieces() -> None:
    pieces = [b"%d," % number for number in range(5000)]
    got: list[bytes] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop, lambda: got.append(outbox.take()))
        with ThreadPoolExecutor(1) as pool:
            results = await loop.run_in_executor(pool, lambda: [outbox.put(p) for p in pieces])
        assert all(results)

    asyncio.run(main())
    assert b"".join(got) == b"".join(pieces)
    assert len(got) < len(pieces)


def test_the_thread_waits_while_nobody_takes() -> None:
    taken: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop, lambda: None)
        put_bytes = 0
        is_full = threading.Event()

        def fill() -> None:
            nonlocal put_bytes
            for _ in range(40):
                if put_bytes >= HIGH_MARK_BYTES:
                    is_full.set()
                outbox.put(b"x" * 4096)
                put_bytes += 4096

        with ThreadPoolExecutor(1) as pool:
            done = loop.run_in_executor(pool, fill)
            await loop.run_in_executor(None, is_full.wait)
            while not done.done():
                taken.append(len(outbox.take()))
                await asyncio.sleep(0)
            await done
            taken.append(len(outbox.take()))

    asyncio.run(main())
    assert sum(taken) == 40 * 4096
    assert max(taken) < HIGH_MARK_BYTES + 4096


def test_closing_frees_a_thread_that_waits() -> None:
    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop, lambda: None)
        is_full = threading.Event()

        def fill() -> list[bool]:
            results = [outbox.put(b"x" * HIGH_MARK_BYTES)]
            is_full.set()
            return [*results, outbox.put(b"y"), outbox.put(b"z")]

        with ThreadPoolExecutor(1) as pool:
            done = loop.run_in_executor(pool, fill)
            await loop.run_in_executor(None, is_full.wait)
            outbox.close()
            return await done

    assert asyncio.run(main()) == [True, False, False]


def test_a_closed_loop_ends_it() -> None:
    loop = asyncio.new_event_loop()
    outbox = Outbox(loop, lambda: None)
    loop.close()
    assert outbox.put(b"x") is False
