"""A tiny real program that plays a runner, with switches for bad behaviour. Standard library only.

    python fake_runner.py --port 8123 --deaf --fork double
    python fake_runner.py --socket /tmp/x.sock --loading-s 0.5 --slots 2

It answers ``GET /health``, ``GET /v1/models`` and ``POST /v1/chat/completions`` (streamed or not,
``--tokens`` of them, one each ``--pace-s``). Whatever it forks is deaf to SIGTERM and writes its
process id, like the runner itself, as one line to ``--pids``.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

GRANT_HEADER = "x-rempart-grant"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--socket", help="listen on a Unix socket instead")
    parser.add_argument("--key-variable", help="demand the bearer key in this variable")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--deaf-but-notes", type=Path, help="... and make this file when it comes")
    parser.add_argument(
        "--fork",
        action="append",
        default=[],
        choices=["plain", "setsid", "double", "daemon", "chain"],
        help="leave a process behind: a child, one of its own session, an orphan, both, or a tree of these",
    )
    parser.add_argument("--pids", type=Path, help="append process ids here")
    parser.add_argument("--exit-at-once", type=int, metavar="STATUS")
    parser.add_argument("--exit-after-s", type=float, metavar="S", help="exit with --exit-status")
    parser.add_argument("--exit-status", type=int, default=1)
    parser.add_argument(
        "--exit-unless", type=Path, help="exit with --exit-status unless this exists"
    )
    parser.add_argument("--loading-s", type=float, default=0.0, help="/health answers 503 so long")
    parser.add_argument("--no-health", action="store_true", help="/health is 404")
    parser.add_argument("--hang-after-s", type=float, help="accept, but answer nothing after this")
    parser.add_argument(
        "--hang-when", type=Path, help="accept, but answer nothing once this exists"
    )
    parser.add_argument("--eat-mib", type=int, default=0, help="hold this much memory")
    parser.add_argument("--eat-in-child", action="store_true", help="... in a forked child")
    parser.add_argument("--print-environment", action="store_true")
    parser.add_argument("--print-descriptors", action="store_true")
    parser.add_argument("--slots", type=int, default=0, help="report them on the status pipe")
    parser.add_argument(
        "--forgets-ends", action="store_true", help="... but never that one is free"
    )
    parser.add_argument(
        "--slow-end-s", type=float, default=0.0, help="go on so long after a hang-up"
    )
    parser.add_argument("--rubbish", action="store_true", help="... after lines that are no JSON")
    parser.add_argument("--fail-reason", help="say this on the status pipe, then exit")
    parser.add_argument("--tokens", type=int, default=3)
    parser.add_argument("--pace-s", type=float, default=0.0)
    return parser.parse_args()


def write_pid(path: Path | None) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")


def linger(path: Path | None) -> None:
    """What a forked process does: nothing, for long, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_pid(path)
    while True:
        time.sleep(3600)


def leave_behind(style: str, pids: Path | None) -> None:
    """Fork in one of the ways in which programs lose their children."""
    if os.fork():
        return
    if style in ("setsid", "daemon", "chain"):
        os.setsid()
    if style in ("double", "daemon", "chain") and os.fork():
        os._exit(0)
    if style == "chain":
        for following in ("plain", "setsid", "daemon"):
            leave_behind(following, pids)
    linger(pids)


class FakeRunner:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.key = os.environ[options.key_variable] if options.key_variable else ""
        self.started = time.monotonic()
        self.eaten = bytearray()
        self.busy = 0
        self.status = int(os.environ["REMPART_STATUS_FD"]) if options.slots else -1
        if options.fail_reason:
            self.status = int(os.environ["REMPART_STATUS_FD"])

    def tell(self, event: str, **fields: Any) -> None:
        if self.status >= 0:
            line = json.dumps({"event": event, **fields}) + "\n"
            os.write(self.status, line.encode())

    async def run(self) -> None:
        options = self.options
        if options.rubbish:
            os.write(self.status, b'this is no JSON\n{"event": "unheard of"}\n')
        if options.fail_reason:
            self.tell("failed", reason=options.fail_reason)
            sys.exit(options.exit_status)
        if options.socket:
            server = await asyncio.start_unix_server(self.serve, options.socket)
        else:
            server = await asyncio.start_server(self.serve, options.host, options.port)
        print(f"fake runner {os.getpid()} listens on {server.sockets[0].getsockname()}", flush=True)
        stop = asyncio.Event()
        if options.deaf_but_notes:
            signal.signal(signal.SIGTERM, lambda *_: options.deaf_but_notes.touch())
        elif options.deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        self.tell("progress", ratio=0.5, what="reading")
        if options.loading_s:
            await asyncio.sleep(options.loading_s)
        self.eat()
        self.tell("ready", facts={"context_length": 2048, "supports_tools": False})
        if options.exit_after_s is not None:
            await asyncio.sleep(options.exit_after_s)
            print("fake runner gives up", flush=True)
            os._exit(options.exit_status)
        await stop.wait()
        print("fake runner ends by itself", flush=True)

    def eat(self) -> None:
        size = self.options.eat_mib * 1024 * 1024
        if size and self.options.eat_in_child:
            if os.fork() == 0:
                held = bytearray(size)
                held[::4096] = b"x" * len(held[::4096])
                linger(self.options.pids)
        elif size:
            self.eaten = bytearray(size)
            self.eaten[::4096] = b"x" * len(self.eaten[::4096])

    def hangs(self) -> bool:
        after_s, when = self.options.hang_after_s, self.options.hang_when
        late = after_s is not None and time.monotonic() - self.started >= after_s
        return late or (when is not None and when.exists())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if self.hangs():
                await reader.read()
                return
            request, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            await self.answer(request.split(" ")[1], headers, body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        is_loading = time.monotonic() - self.started < self.options.loading_s
        if path == "/health":
            if self.options.no_health:
                await self.write(writer, 404, {"error": "no such path"})
            elif is_loading:
                await self.write(writer, 503, {"status": "loading"})
            else:
                await self.write(writer, 200, {"status": "ok", "pid": os.getpid()})
        elif self.key and headers.get("authorization") != f"Bearer {self.key}":
            await self.write(writer, 401, {"error": {"message": "wrong key"}})
        elif path == "/v1/models":
            model = {"id": "fake", "object": "model", "max_model_len": 512, "pid": os.getpid()}
            status = 503 if is_loading else 200
            await self.write(writer, status, {"object": "list", "data": [model]})
        elif path == "/v1/chat/completions":
            await self.chat(json.loads(body), headers.get(GRANT_HEADER, ""), reader, writer)
        else:
            await self.write(writer, 404, {"error": {"message": "no such path"}})

    async def write(self, writer: asyncio.StreamWriter, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    async def chat(
        self,
        call: dict[str, Any],
        grant: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.busy += 1
        self.tell("slots", total=self.options.slots, busy=self.busy)
        made, is_gone = 0, False
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        try:
            for made in range(1, min(call.get("max_tokens", 10**9), self.options.tokens) + 1):
                delta = {"choices": [{"index": 0, "delta": {"content": f" t{made}"}}]}
                writer.write(f"data: {json.dumps(delta)}\n\n".encode())
                await writer.drain()
                await asyncio.sleep(self.options.pace_s)
                if reader.at_eof():
                    is_gone = True
                    break
            if not is_gone:
                last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
                writer.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
                await writer.drain()
        except ConnectionError:
            is_gone = True
        if is_gone:
            await asyncio.sleep(self.options.slow_end_s)
        self.busy -= 1
        if not self.options.forgets_ends:
            self.tell(
                "end", grant=grant, prompt_tokens=5, completion_tokens=made, cancelled=is_gone
            )
        self.tell("slots", total=self.options.slots, busy=self.busy)


def main() -> None:
    options = arguments()
    write_pid(options.pids)
    if options.print_environment:
        print("environment " + json.dumps(dict(os.environ)), flush=True)
    if options.print_descriptors:
        numbers = sorted(int(one) for one in os.listdir("/proc/self/fd"))
        print("descriptors " + json.dumps(numbers), flush=True)
    for style in options.fork:
        leave_behind(style, options.pids)
    if options.exit_at_once is not None:
        print("fake runner exits at once", file=sys.stderr, flush=True)
        sys.exit(options.exit_at_once)
    if options.exit_unless is not None and not options.exit_unless.exists():
        print(f"fake runner misses {options.exit_unless}", file=sys.stderr, flush=True)
        sys.exit(options.exit_status)
    asyncio.run(FakeRunner(options).run())


if __name__ == "__main__":
    main()
