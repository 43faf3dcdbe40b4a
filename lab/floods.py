"""Floods as attackers send them, each from many clients at once, and the client that behaves beside them.

Every attacker keeps asking until the moment given; what it was answered is counted, and a connection that was
cut under it is counted too: an attacker has no claim to an answer. They run in a process of their own, so that
the client that behaves waits for the server only:

    python -m lab.floods over_the_limit PORT CLIENTS SECONDS    (the key in REMPART_API_KEY)
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from time import perf_counter

from lab.http_client import Connection
from lab.upstream_server import Served, chat, config_for
from rempart.domain.key_format import ID_CHARACTERS, SECRET_CHARACTERS, make_key, random_base62

CHAT = "/v1/chat/completions"
KEY_VARIABLE = "REMPART_API_KEY"
CUT = 0
"""Counted in place of a status: the connection ended before an answer."""
ONE_REQUEST_S_MAX = 10.0
PAUSE_S = 0.1
"""Between two requests of an attacker: the machine that plays a thousand of them has to keep up."""
SHORT = chat("chunks=2", stream=False, model="near")
ENDLESS = chat("chunks=100000 bytes=20000")
BIG_BYTES = 17 * 65536


def flood_config(far: Served, near: Served) -> str:
    """Two workers before two upstreams: who asks the one does not wait for what the other has to do."""
    name, base_url = '[[models]]\nname = "near"\nkind = "upstream"\n', near.base_url
    near_model = f'{name}base_urls = ["{base_url}"]\nupstream_name = "fake"\n'
    return config_for(far, more="[server]\nworkers = 2\n") + near_model


def made_up() -> str:
    """A key that nobody made."""
    return make_key(
        random_base62(ID_CHARACTERS, os.urandom), random_base62(SECRET_CHARACTERS, os.urandom)
    )


Attack = Callable[[int, int, float, Counter[int]], Awaitable[None]]
"""(its number, port, when to stop, what it was answered)."""


async def _asking(
    ask: Callable[[Connection], Awaitable[int]], port: int, end_s: float, found: Counter[int]
) -> None:
    """Ask again and again, over one connection while it lasts."""
    connection: Connection | None = None
    while perf_counter() < end_s:
        try:
            async with asyncio.timeout(ONE_REQUEST_S_MAX):
                connection = connection or await Connection.open(port)
                found[await ask(connection)] += 1
                if connection.headers.get("connection") == "close":
                    connection.abort()
                    connection = None
        except (OSError, EOFError, TimeoutError):
            found[CUT] += 1
            if connection is not None:
                connection.abort()
                connection = None
        await asyncio.sleep(PAUSE_S)
    if connection is not None:
        connection.abort()


def unknown_keys(_key: str) -> Attack:
    """Each request with another key that nobody made, well-formed to its checksum."""

    async def attack(number: int, port: int, end_s: float, found: Counter[int]) -> None:
        async def ask(connection: Connection) -> int:
            await connection.send("POST", CHAT, key=made_up(), body=SHORT)
            return (await connection.answer()).status

        await _asking(ask, port, end_s, found)

    return attack


def over_the_limit(key: str) -> Attack:
    """One valid key in everybody's hands."""

    async def attack(number: int, port: int, end_s: float, found: Counter[int]) -> None:
        async def ask(connection: Connection) -> int:
            await connection.send("POST", CHAT, key=key, body=SHORT)
            return (await connection.answer()).status

        await _asking(ask, port, end_s, found)

    return attack


def big_bodies(key: str) -> Attack:
    """Above the bound; half of them say so in their head, half send chunks and never say."""
    piece = b"x" * 65536

    async def attack(number: int, port: int, end_s: float, found: Counter[int]) -> None:
        async def ask(connection: Connection) -> int:
            writer, is_chunked = connection.writer, number % 2
            framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {BIG_BYTES}"
            writer.write(
                f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n"
                f"{framing}\r\n\r\n".encode()
            )
            for _ in range(BIG_BYTES // len(piece)):
                writer.write(b"10000\r\n" + piece + b"\r\n" if is_chunked else piece)
                await writer.drain()
            return (await connection.answer()).status

        await _asking(ask, port, end_s, found)

    return attack


def slow_readers(key: str) -> Attack:
    """Ask for a long stream and read only its head."""

    async def attack(number: int, port: int, end_s: float, found: Counter[int]) -> None:
        try:
            connection = await Connection.open(port, receive_buffer=4096)
            await connection.send("POST", CHAT, key=key, body=ENDLESS)
            found[await connection.head()] += 1
            await asyncio.sleep(max(0.0, end_s - perf_counter()))
            connection.abort()
        except (OSError, EOFError):
            found[CUT] += 1

    return attack


async def well_behaved(port: int, key: str, end_s: float) -> tuple[Counter[int], list[float]]:
    """One request after the other over one connection: what came back, and seconds of each."""
    found: Counter[int] = Counter()
    times: list[float] = []
    connection = await Connection.open(port)
    while perf_counter() < end_s:
        began = perf_counter()
        await connection.send("POST", CHAT, key=key, body=SHORT)
        found[(await connection.answer()).status] += 1
        times.append(perf_counter() - began)
        await asyncio.sleep(0.01)
    await connection.close()
    return found, times


ATTACKS: dict[str, Callable[[str], Attack]] = {
    "unknown_keys": unknown_keys,
    "over_the_limit": over_the_limit,
    "big_bodies": big_bodies,
    "slow_readers": slow_readers,
}


async def flood_and_behave(
    kind: str, port: int, *, clients: int, seconds: float, bad_key: str, good_key: str
) -> tuple[Counter[int], Counter[int], list[float]]:
    """Flood from another process for so long, with one client that behaves beside it.

    Returns:
        What the flood was answered, what the good client was, and the seconds of each of its requests.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lab.floods", kind, str(port), str(clients), str(seconds)),
        env={**os.environ, KEY_VARIABLE: bad_key},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()  # it has begun
    good, times = await well_behaved(port, good_key, perf_counter() + seconds)
    answered, _ = await process.communicate()
    assert process.returncode == 0
    bad: Counter[int] = Counter()
    for status, count in json.loads(answered).items():
        bad[int(status)] = count
    return bad, good, times


async def _flood(kind: str, port: int, clients: int, seconds: float) -> Counter[int]:
    found: Counter[int] = Counter()
    attack = ATTACKS[kind](os.environ[KEY_VARIABLE])
    print("begun", flush=True)
    end_s = perf_counter() + seconds
    await asyncio.gather(*(attack(number, port, end_s, found) for number in range(clients)))
    return found


if __name__ == "__main__":
    kind, port, clients, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(_flood(kind, int(port), int(clients), float(seconds)))))
