"""From start to exit: what is told, what is refused, and how it ends."""

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.demo_runner import DemoRunner, RunnerGone, demo_runner
from lab.lora import write_adapter
from rempart.runners.status import Progress, Ready, Slots

COMPLETIONS = "/v1/completions"
ENDLESS = {"prompt": "go", "max_tokens": 1900, "ignore_eos": True, "stream": True}


@pytest.fixture
def own_runner(demo_model: Path) -> Iterator[DemoRunner]:
    """A runner that the test may end."""
    with demo_runner(demo_model, batch=8, slots=3, context=6144) as runner:
        yield runner


def test_sigterm_ends_streams_with_an_error_and_exits_with_zero(own_runner: DemoRunner) -> None:
    streamed = own_runner.stream(COMPLETIONS, ENDLESS)
    streamed.wait_for(b"data: ", 3)
    whole = own_runner.stream(COMPLETIONS, ENDLESS | {"stream": False})
    reading = own_runner.stream(
        COMPLETIONS, {"prompt": "many words " * 600, "max_tokens": 5, "stream": True}
    )
    own_runner.wait_event(lambda e: isinstance(e, Slots) and e.busy == 3)
    own_runner.process.send_signal(signal.SIGTERM)
    text = streamed.rest()
    last = text.split(b"data: ")[-1].split(b"\n\n")[0]
    assert json.loads(last)["error"]["code"] == "shutting_down"
    assert b"[DONE]" not in text
    for unstarted in (whole, reading):
        answer = unstarted.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"shutting_down"' in answer
    assert own_runner.process.wait(10) == 0
    for stream in (streamed, whole, reading):
        stream.hang_up()
    assert own_runner.folder.exists()
    left = {path.name for path in own_runner.folder.iterdir()}
    assert left == {"log"}, "sockets and the configuration with the key are gone"
    (line,) = own_runner.log_text().splitlines()
    counters = json.loads(line.removeprefix("counters at the end: "))
    assert counters["wasted_tokens"] == counters["completion_tokens"] >= 3


def test_a_runner_that_hangs_can_be_asked_where(own_runner: DemoRunner) -> None:
    stream = own_runner.stream(COMPLETIONS, ENDLESS)
    stream.wait_for(b"data: ", 2)
    assert "in run" in own_runner.stacks()
    assert own_runner.call("GET", "/health").status == 200
    stream.hang_up()


def test_a_second_sigterm_ends_it_at_once(own_runner: DemoRunner) -> None:
    stream = own_runner.stream(COMPLETIONS, ENDLESS)
    stream.wait_for(b"data: ", 2)
    own_runner.process.send_signal(signal.SIGTERM)
    assert b"shutting_down" in stream.rest()
    own_runner.process.send_signal(signal.SIGTERM)
    assert own_runner.process.wait(10) in (0, -signal.SIGTERM)
    stream.hang_up()


def test_new_connections_are_refused_while_it_ends(own_runner: DemoRunner) -> None:
    kept = own_runner.connect()
    own_runner.process.send_signal(signal.SIGTERM)
    own_runner.process.wait(10)
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        own_runner.connect()
    kept.close()


def test_nobody_can_connect_before_it_is_ready(demo_model: Path) -> None:
    runner = DemoRunner(demo_model, batch=8)
    try:
        runner.wait_event(lambda e: isinstance(e, Progress))
        with pytest.raises(ConnectionRefusedError):
            runner.connect()
        runner.wait_ready()
        assert runner.call("GET", "/health").status == 200
        assert not runner.config_path.exists(), "the key is in it"
    finally:
        runner.stop()


def test_sockets_are_for_its_owner_only(own_runner: DemoRunner) -> None:
    for socket_file in own_runner.folder.glob("*.sock"):
        assert socket_file.stat().st_mode & 0o077 == 0, socket_file


def test_the_librarys_own_door_wants_another_key(own_runner: DemoRunner) -> None:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.connect(own_runner.socket_path + ".door.sock")
    request = f"GET /props HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {own_runner.key}\r\n\r\n"
    door.sendall(request.encode())
    assert b" 401 " in door.recv(4096).split(b"\r\n")[0]
    door.close()


def test_a_port_is_told_when_any_is_asked_for(demo_model: Path) -> None:
    with demo_runner(demo_model, batch=8, address="127.0.0.1:0") as runner:
        host, port = runner.facts.more["address"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_the_best_batch_is_measured_once(demo_model: Path, tmp_path: Path) -> None:
    said: list[list[str]] = []
    chosen = []
    for _ in range(2):
        runner = DemoRunner(demo_model, calibration_dir=str(tmp_path))
        try:
            events = []
            while not any(isinstance(event, Ready) for event in events):
                events.append(runner.wait_event(lambda _: True))
            said.append([event.what for event in events if isinstance(event, Progress)])
            (ready,) = [event for event in events if isinstance(event, Ready)]
            chosen.append((ready.facts.batch_tokens, ready.facts.prompt_tokens_per_s))
        finally:
            runner.stop()
    assert any("measuring" in line for line in said[0])
    assert not any("measuring" in line for line in said[1])
    assert chosen[0] == chosen[1]
    assert chosen[0][0] >= 8
    assert chosen[0][1] > 0


@pytest.mark.parametrize("settings", [{"speculative": "ngram"}, {"draft": "the model itself"}])
def test_speculation_gives_answers_and_counts_their_tokens(
    demo_model: Path, settings: dict[str, Any]
) -> None:
    if "draft" in settings:
        settings = {"draft": str(demo_model)}
    with demo_runner(demo_model, batch=64, context=2048, slots=1, **settings) as runner:
        asked = ENDLESS | {"max_tokens": 20, "stream": False}
        assert runner.call("POST", COMPLETIONS, asked).json()["usage"]["completion_tokens"] == 20
        with runner.stream(COMPLETIONS, ENDLESS, grant="g") as stream:
            stream.wait_for(b"data: ", 8)
        end = runner.wait_end("g")
        assert end.cancelled
        assert end.completion_tokens >= 8


def test_a_lora_adapter_changes_the_answers(demo_model: Path, tmp_path: Path) -> None:
    def answer(*loras: Path) -> str:
        settings = {"batch": 64, "context": 2048, "slots": 1, "loras": [str(one) for one in loras]}
        with demo_runner(demo_model, **settings) as runner:
            asked = ENDLESS | {"max_tokens": 20, "stream": False, "temperature": 0}
            text: str = runner.call("POST", COMPLETIONS, asked).json()["choices"][0]["text"]
            return text

    plain = answer()
    assert answer(write_adapter(tmp_path / "nothing.gguf", strength=0.0)) == plain
    assert answer(write_adapter(tmp_path / "much.gguf", strength=1.0)) != plain


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_path": "/nowhere/m.gguf"}, "there is no file /nowhere/m.gguf"),
        ({"model_path": "TEXT"}, "not a GGUF file"),
        ({"model_path": "CUT"}, "incomplete or damaged"),
        ({"model_path": "/"}, "cannot be read"),
        ({"context": 131072, "slots": 1}, "not enough memory"),
        ({"chat_template": "{% for x in %}"}, "chat template cannot be read"),
        ({"loras": ["/nowhere/adapter.gguf"]}, "LoRA adapter does not load"),
        ({"address": "unix:/nowhere/r.sock"}, "No such file"),
        ({"address": "here"}, "address must be"),
    ],
)
def test_why_it_does_not_start_is_told(
    demo_model: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    if settings.get("model_path") == "TEXT":
        (tmp_path / "m.gguf").write_text("<html>not found</html>")
        settings = {"model_path": str(tmp_path / "m.gguf")}
    if settings.get("model_path") == "CUT":
        with demo_model.open("rb") as whole:
            (tmp_path / "m.gguf").write_bytes(whole.read(40_000_000))
        settings = {"model_path": str(tmp_path / "m.gguf")}
    runner = DemoRunner(demo_model, **({"batch": 8} | settings))
    if "context" in settings:  # 3 GiB, which some machines would have
        resource.prlimit(runner.process.pid, resource.RLIMIT_AS, (1500 * 2**20, 1500 * 2**20))
    try:
        with pytest.raises(RunnerGone) as gone:
            runner.wait_ready()
        assert said in gone.value.reason
        assert gone.value.code == 1
        assert not runner.config_path.exists()
        assert said in runner.log_text(), "for whoever reads its log"
    finally:
        runner.stop()


@pytest.mark.parametrize(
    ("text", "mode"),
    [("{", 0o600), ('{"model_path": 3}', 0o600), ("{}", 0o644), ('{"a": 1}', 0o600)],
)
def test_a_configuration_that_makes_no_sense_is_wrong_usage(
    tmp_path: Path, text: str, mode: int
) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    file.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-m", "rempart.runners.llama_cpp_server", str(file)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert str(file) in done.stderr.decode()
    assert not file.exists()
