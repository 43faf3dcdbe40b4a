"""Keys as operators and clients meet them: real processes, two workers, the command line, the API and the socket."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.command import Ran, rempart
from lab.control_client import ask, send_local
from lab.http_client import Answer, Connection, request
from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_process import Far, upstream_process
from lab.upstream_server import chat, config_for

TWO_WORKERS = """
[server]
workers = 2
[limits]
requests_per_minute = 100000
requests_per_hour = 1000000
"""


@pytest.fixture(scope="module")
def fake() -> Iterator[Far]:
    with upstream_process() as one:
        yield one


@pytest.fixture(scope="module")
def server(fake: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder: Path = tmp_path_factory.mktemp("keys")
    with running_server(folder, config_for(fake, more=TWO_WORKERS)) as one:
        yield one.until_ready()


def run(server: RempartServer, *arguments: str) -> Ran:
    """A command against the server's data folder."""
    return rempart(*arguments, "--data-dir", str(server.data_dir), cwd=server.folder)


def created(server: RempartServer, *options: str, name: str = "test") -> Any:
    ran = run(server, "keys", "create", "--name", name, *options, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def post(server: RempartServer, path: str, body: Any = None, key: str = ADMIN_KEY) -> Any:
    answer = ask(server.control_port, "POST", path, key, json_body=body)
    assert answer.status in (200, 201), answer.body
    return answer.json


def chats(server: RempartServer, key: str) -> Answer:
    """A chat with this key."""
    return asyncio.run(
        request(server.port, "POST", "/v1/chat/completions", key=key, body=chat(stream=False))
    )


def statuses_of_all_workers(server: RempartServer, key: str, count: int = 12) -> set[int]:
    """What new connections are answered; so many that each worker surely had some."""

    async def scenario() -> set[int]:
        answers = await asyncio.gather(
            *(request(server.port, "GET", "/v1/models", key=key) for _ in range(count))
        )
        return {answer.status for answer in answers}

    return asyncio.run(scenario())


@pytest.mark.requirement("problem-authentication", "after-authentication")
def test_a_key_works_at_once_however_it_was_made(server: RempartServer) -> None:
    by_command = created(server)["key"]
    by_api = post(server, "/api/keys", {"name": "by API"})["key"]
    body = json.dumps({"name": "by socket"}).encode()
    answer = send_local(
        server.data_dir / "control.sock",
        b"POST /api/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    by_socket = json.loads(answer.partition(b"\r\n\r\n")[2])["key"]
    for key in (by_command, by_api, by_socket):
        assert statuses_of_all_workers(server, key) == {200}
        assert chats(server, key).status == 200


@pytest.mark.requirement("authentication-audit")
def test_what_was_done_is_in_the_audit_log_with_who_and_from_where(server: RempartServer) -> None:
    key = created(server, name="audited")
    post(server, f"/api/keys/{key['id']}/revoke")
    entries = json.loads(run(server, "audit", "list", "--json").out)["items"]
    mine = [entry for entry in entries if entry["target"] == f"key:{key['id']}"]
    told = [(entry["action"], entry["actor"], entry["address"]) for entry in mine]
    assert told == [
        ("key.revoke", "bootstrapkey", "127.0.0.1"),
        ("key.create", f"local:{os.geteuid()}", ""),
    ]
    assert key["key"] not in json.dumps(entries)


def test_a_key_does_what_its_scopes_say(server: RempartServer) -> None:
    inference, metrics = created(server), created(server, "--scope", "metrics")
    assert server.get("/metrics", key=metrics["key"])[0] == 200
    assert server.get("/metrics", key=inference["key"])[0] == 403
    assert server.get("/v1/models", key=metrics["key"])[0] == 403
    for key in (inference, metrics):
        assert server.get("/api/keys", key=key["key"], control=True)[0] == 403
    reader = created(server, "--scope", "admin:read")["key"]
    assert server.get("/api/keys", key=reader, control=True)[0] == 200
    answer = ask(server.control_port, "POST", "/api/keys", reader, json_body={"name": "more"})
    assert answer.error["code"] == "insufficient_scope"
    writer = created(server, "--scope", "admin:write")["key"]
    body = {"name": "more", "scopes": ["inference"]}
    answer = ask(server.control_port, "POST", "/api/keys", writer, json_body=body)
    assert answer.error["code"] == "insufficient_scope"


def test_a_key_may_use_the_models_and_come_from_the_networks_that_it_names(
    server: RempartServer,
) -> None:
    assert chats(server, created(server, "--model", "other")["key"]).json["error"]["code"] == (
        "model_not_allowed"
    )
    assert chats(server, created(server, "--network", "10.0.0.0/8")["key"]).json["error"][
        "code"
    ] == ("address_not_allowed")
    assert chats(server, created(server, "--network", "127.0.0.0/8")["key"]).status == 200


def test_an_expired_key_is_told_so(server: RempartServer) -> None:
    key = created(server, "--expires-in", "1s")["key"]
    found = until(
        lambda: (answer := chats(server, key)).status == 401 and answer, 10, "the key has expired"
    )
    assert found.json["error"]["code"] == "expired_api_key"


def test_a_rotated_secret_lasts_for_its_grace(server: RempartServer) -> None:
    old = created(server)
    ran = run(server, "keys", "rotate", old["id"], "--grace", "2s", "--json")
    new = json.loads(ran.out)
    assert statuses_of_all_workers(server, new["key"]) == {200}
    until(lambda: statuses_of_all_workers(server, old["key"]) == {401}, 10, "the old secret ended")
    assert statuses_of_all_workers(server, new["key"]) == {200}


def test_an_update_holds_when_the_command_returns(server: RempartServer) -> None:
    key = created(server)
    assert run(server, "keys", "update", key["id"], "--model", "other").code == 0
    assert chats(server, key["key"]).json["error"]["code"] == "model_not_allowed"


@pytest.mark.requirement("problem-authentication", "after-authentication")
def test_a_revoked_key_ends_on_every_worker_and_its_streams_within_a_second(
    server: RempartServer,
) -> None:
    key = created(server)
    slow = chat("chunks=500 interval_ms=20")

    async def scenario() -> list[float]:
        streams = []
        for _ in range(8):
            connection = await Connection.open(server.port)
            await connection.send("POST", "/v1/chat/completions", key=key["key"], body=slow)
            assert await connection.head() == 200
            await connection.chunk()
            streams.append(connection)
        loop = asyncio.get_running_loop()
        answer = await asyncio.to_thread(
            ask, server.control_port, "POST", f"/api/keys/{key['id']}/revoke", ADMIN_KEY
        )
        assert answer.status == 200
        revoked_at = loop.time()
        refused = await asyncio.gather(
            *(request(server.port, "GET", "/v1/models", key=key["key"]) for _ in range(12))
        )
        assert {one.json["error"]["code"] for one in refused} == {"revoked_api_key"}
        ended = []
        for connection in streams:
            events = (await connection.answer()).events
            ended.append(loop.time() - revoked_at)
            assert json.loads(events[-1])["error"]["code"] == "revoked_api_key"
            await connection.close()
        return ended

    # The contract's second, with as much again for a machine that does other things too.
    assert max(asyncio.run(scenario())) < 2.0


def test_a_new_pepper_locks_nobody_out(server: RempartServer) -> None:
    before, unused = created(server), created(server)
    ran = run(server, "secrets", "rotate")
    assert ran.code == 0, ran.err
    after = created(server)
    for key in (before, after):
        assert statuses_of_all_workers(server, key["key"]) == {200}
    assert server.get("/v1/models", key=ADMIN_KEY)[0] == 200
    assert statuses_of_all_workers(server, unused["key"]) == {200}


def test_last_use_is_written_down(server: RempartServer) -> None:
    key = created(server)
    assert statuses_of_all_workers(server, key["key"]) == {200}

    def used() -> bool:
        shown = json.loads(run(server, "keys", "show", key["id"], "--json").out)
        return shown["last_used_at"] is not None

    until(used, 20, "last_used_at is set")


def test_failed_attempts_are_in_the_audit_log(server: RempartServer) -> None:
    revoked = created(server)
    post(server, f"/api/keys/{revoked['id']}/revoke")
    for _ in range(3):
        assert server.get("/v1/models", key=revoked["key"])[0] == 401

    def told() -> bool:
        entries = json.loads(run(server, "audit", "list", "--json").out)["items"]
        found = [
            entry
            for entry in entries
            if entry["action"] == "authentication.failed" and entry["actor"] == revoked["id"]
        ]
        return sum(entry["after"]["count"] for entry in found) == 3

    until(told, 30, "the failures are told")


def test_a_new_control_and_new_workers_know_everything(server: RempartServer) -> None:
    key = created(server)
    (before,) = server.control_pids
    os.kill(before, signal.SIGKILL)
    assert statuses_of_all_workers(server, key["key"]) == {200}
    server.signal(signal.SIGHUP)
    until(
        lambda: any(line["event"] == "reloaded" for line in server.log()), 60, "the server reloads"
    )
    assert statuses_of_all_workers(server, key["key"]) == {200}
    # A command may meet the control that is just being replaced.
    shown = until(
        lambda: (ran := run(server, "keys", "show", key["id"], "--json")).code == 0 and ran,
        30,
        "control answers",
    )
    assert json.loads(shown.out)["state"] == "active"


def test_control_killed_while_it_makes_keys_leaves_whole_keys_only(
    fake: Far, tmp_path: Path
) -> None:
    """Each key that was answered works; each that is listed has its audit entry; and the other way round."""
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        until(lambda: server.get("/livez", control=True)[0] == 200, 30, "control serves")
        answered: list[dict[str, Any]] = []
        stop = threading.Event()

        def make() -> None:
            while not stop.is_set():
                try:
                    answer = ask(
                        server.control_port, "POST", "/api/keys", ADMIN_KEY, json_body={"name": "k"}
                    )
                except OSError:
                    continue  # killed in the middle
                if answer.status == 201:
                    answered.append(answer.json)

        thread = threading.Thread(target=make)
        thread.start()
        for _ in range(3):
            count = len(answered)
            until(lambda count=count: len(answered) > count + 5, 30, "keys are made")
            pids = until(lambda: server.control_pids, 10, "control runs")
            os.kill(pids[0], signal.SIGKILL)
        count = len(answered)
        until(lambda: len(answered) > count, 30, "control is back")
        stop.set()
        thread.join(30)
        for key in answered[:: max(1, len(answered) // 20)]:
            assert server.get("/v1/models", key=key["key"])[0] == 200
        listed = _all(server, "keys", "list")
        entries = _all(server, "audit", "list")
        made = {entry["target"] for entry in entries if entry["action"] == "key.create"}
        assert {f"key:{key['id']}" for key in listed if key["name"] == "k"} == made
        assert {key["id"] for key in answered} <= {key["id"] for key in listed}
        assert run(server, "audit", "verify").code == 0


def _all(server: RempartServer, *command: str) -> list[Any]:
    found, cursor = [], ""
    while True:
        more = ("--cursor", cursor) if cursor else ()
        page = json.loads(run(server, *command, "--json", "--limit", "1000", *more).out)
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = page["next"]


def test_commands_work_while_no_server_runs_and_the_server_knows_what_they_did(
    fake: Far, tmp_path: Path
) -> None:
    (tmp_path / "rempart.toml").write_text(config_for(fake))

    def offline(*arguments: str) -> Any:
        ran = rempart(*arguments, "--data-dir", "data", "--json", cwd=tmp_path)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    kept = offline("keys", "create", "--name", "kept")
    revoked = offline("keys", "create", "--name", "revoked")
    offline("keys", "revoke", revoked["id"])
    offline("secrets", "rotate")
    project = offline("projects", "create", "--name", "law")
    assert offline("keys", "update", kept["id"], "--project", "law")["project"] == project["id"]
    assert [key["name"] for key in offline("keys", "list")["items"]] == ["revoked", "kept"]
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        assert server.get("/v1/models", key=kept["key"])[0] == 200
        assert server.get("/v1/models", key=revoked["key"])[0] == 401
        with_server = created(server)
    assert {key["id"] for key in offline("keys", "list")["items"]} >= {
        kept["id"],
        with_server["id"],
    }


def test_the_made_admin_key_goes_when_it_is_rotated_and_does_not_come_back(
    fake: Far, tmp_path: Path
) -> None:
    environment = {"REMPART_ADMIN_KEY": ""}
    with running_server(tmp_path, config_for(fake), environment=environment) as server:
        server.until_ready()
        file = server.data_dir / "admin.key"
        first = file.read_text().strip()
        assert server.get("/v1/models", key=first)[0] == 200
        new = json.loads(run(server, "keys", "rotate", first.split("_")[1], "--json").out)["key"]
        assert not file.exists()
        assert server.get("/v1/models", key=first)[0] == 401
        assert server.get("/v1/models", key=new)[0] == 200
    with running_server(tmp_path, config_for(fake), environment=environment) as server:
        server.until_ready()
        assert not file.exists()
        assert server.get("/v1/models", key=new)[0] == 200
        assert server.get("/v1/models", key=first)[0] == 401
        keys = json.loads(run(server, "keys", "list", "--json").out)["items"]
        assert len(keys) == 1


def test_a_revoked_text_of_the_environment_does_not_come_back(fake: Far, tmp_path: Path) -> None:
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        assert run(server, "keys", "revoke", "bootstrapkey").code == 0
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        assert server.get("/v1/models", key=ADMIN_KEY)[0] == 401
        until(
            lambda: any(line["event"] == "admin_key_ignored" for line in server.log()),
            10,
            "the log says so",
        )
        key = created(server)["key"]
        assert server.get("/v1/models", key=key)[0] == 200


@pytest.mark.requirement("recommend-security")
def test_secrets_appear_nowhere(fake: Far, tmp_path: Path) -> None:
    """Not in logs, files, command lines, environments nor errors, after everything was done once."""
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        secrets = [ADMIN_KEY]
        key = created(server, "--scope", "inference", "--scope", "admin:read")
        secrets.append(key["key"])
        assert chats(server, key["key"]).status == 200
        secrets.append(
            json.loads(run(server, "keys", "rotate", key["id"], "--grace", "1m", "--json").out)[
                "key"
            ]
        )
        run(server, "secrets", "rotate")
        texts = [server.get("/v1/models", key=secret + "x")[1] for secret in secrets]
        texts += [server.get("/api/keys", key=secret, control=True)[1] for secret in secrets]
        texts += [server.get(f"/v1/models?key={secret}")[1] for secret in secrets[1:]]
        for command in (("keys", "list"), ("keys", "show", key["id"]), ("audit", "list")):
            ran = run(server, *command, "--json")
            texts += [ran.out.encode(), ran.err.encode()]
        run(server, "keys", "revoke", key["id"])
        for pid in [server.pid, *server.worker_pids, *server.control_pids]:
            texts += [Path(f"/proc/{pid}/cmdline").read_bytes()]
            if pid != server.pid:  # main was given the key there, as its user wished
                texts += [Path(f"/proc/{pid}/environ").read_bytes()]
        server.signal(signal.SIGTERM)
        server.wait()
        for path in tmp_path.rglob("*"):
            if path.is_file():
                texts.append(path.read_bytes())
        # Whole or in part: the secret halves of made keys, without id and checksum.
        needles = [secret.rpartition("_")[2][:33] for secret in secrets]
        for needle in needles:
            assert not [text[:200] for text in texts if needle.encode() in text]


def test_without_its_database_requests_go_on_and_changes_are_refused_until_it_is_back(
    fake: Far, tmp_path: Path
) -> None:
    """The file is taken away while no control has it open, and given back later."""
    with running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        key = created(server)["key"]
        database, away = server.data_dir / "rempart.db", server.data_dir / "away"
        (pid,) = server.control_pids
        os.kill(pid, signal.SIGSTOP)
        database.rename(away)
        database.mkdir()
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.control_pids not in ([], [pid]), 30, "another control")
        until(lambda: server.get("/livez", control=True)[0] == 200, 30, "control serves")
        answer = ask(server.control_port, "POST", "/api/keys", ADMIN_KEY, json_body={"name": "k"})
        assert (answer.status, answer.error["code"]) == (503, "state_unavailable")
        assert chats(server, key).status == 200

        def told() -> bool:
            status, body = server.get("/readyz")
            return status == 200 and "the database is away" in str(json.loads(body)["reasons"])

        until(told, 30, "/readyz tells")
        database.rmdir()
        away.rename(database)
        until(lambda: run(server, "keys", "create", "--name", "back").code == 0, 30, "it is back")
        until(lambda: json.loads(server.get("/readyz")[1])["reasons"] == [], 10, "it is told")
        assert chats(server, key).status == 200

        def events() -> list[str]:
            return [line["event"] for line in server.log()]

        until(lambda: "state_available" in events(), 10, "the log tells")
        assert events().count("state_unavailable") == events().count("state_available") == 1
