"""HTTPS served directly: both listeners, renewal under open connections, and what breaks nothing."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.new_certificates import Pair, new_pair
from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_server import chat, config_for, upstream

pytestmark = pytest.mark.requirement("gap-tls")
KEY = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def first(folder: Path) -> Pair:
    return new_pair(folder)


@pytest.fixture(scope="module")
def server(folder: Path, first: Pair) -> Iterator[RempartServer]:
    """One with a certificate, named by paths that begin where its configuration is."""
    tls = '[tls]\ncert = "server.pem"\nkey = "server.key"\n'
    with upstream() as fake, running_server(folder, config_for(fake, more=tls)) as one:
        one.tls = first.client()
        one.until_ready()
        client = connect(one.port, first)  # opens the one connection to the upstream, which stays
        client.request("POST", "/v1/chat/completions", json.dumps(chat()), KEY)
        assert client.getresponse().read()
        client.close()
        yield one


def connect(port: int, pair: Pair) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=pair.client())


def seen_by(port: int, pair: Pair) -> bytes:
    """The certificate that a new client gets."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        pair.client().wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        return client.getpeercert(binary_form=True) or b""


def events(server: RempartServer, name: str) -> list[dict[str, object]]:
    return [line for line in server.log() if line["event"] == name]


def test_both_listeners_speak_it_and_say_so(server: RempartServer) -> None:
    assert server.url.startswith("https://")
    assert f"https://127.0.0.1:{server.port}/v1" in server.console()
    assert server.get("/livez")[0] == 200
    until(lambda: server.get("/livez", control=True)[0] == 200, 20, "control serves")
    assert server.get("/api/models", key=ADMIN_KEY, control=True)[0] == 200
    for port in (server.port, server.control_port):
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", "/livez")
            plain.getresponse()
        plain.close()


def test_only_new_versions_and_http_1_are_spoken(server: RempartServer, first: Pair) -> None:
    client = first.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    for port in (server.port, server.control_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as spoken,
        ):
            assert (spoken.version(), spoken.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_the_sockets_of_this_machine_speak_none(server: RempartServer) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(server.data_dir / "control.sock"))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_stream_outlives_a_renewal_that_new_clients_see(
    server: RempartServer, first: Pair, folder: Path
) -> None:
    open_one = connect(server.port, first)
    body = json.dumps(chat("chunks=40 interval_ms=100"))
    open_one.request("POST", "/v1/chat/completions", body, KEY)
    answer = open_one.getresponse()
    assert answer.status == 200
    assert answer.readline().startswith(b"data: ")
    new = new_pair(folder)
    for port in (server.port, server.control_port):
        until(lambda port=port: _is(port, new), 10, "the new certificate is used")  # type: ignore[misc]
    rest = answer.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    open_one.request("GET", "/livez")
    assert open_one.getresponse().read()
    open_one.close()
    server.tls = new.client()
    assert len(server.worker_pids) == 1
    assert not events(server, "bug")
    assert len(events(server, "tls_reloaded")) == 2


def _is(port: int, pair: Pair) -> bool:
    try:
        return seen_by(port, pair) == pair.der
    except ssl.SSLCertVerificationError:
        return False


def test_a_broken_renewal_changes_nothing_and_is_told(server: RempartServer, folder: Path) -> None:
    good = folder / "server.pem"
    kept = good.read_bytes()
    broken_before = len(events(server, "tls_unusable"))
    good.write_bytes(new_pair(folder, "other").cert.read_bytes())
    until(
        lambda: len(events(server, "tls_unusable")) == broken_before + 2, 10, "both processes tell"
    )
    assert all("tls.key" in str(line["reason"]) for line in events(server, "tls_unusable"))
    assert server.get("/livez")[0] == 200
    assert server.get("/livez", control=True)[0] == 200
    good.write_bytes(kept)


def test_handshakes_that_fail_are_counted(server: RempartServer) -> None:
    before = server.metric("rempart_tls_handshakes_failed_total")
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.recv(1000)
    until(lambda: server.metric("rempart_tls_handshakes_failed_total") == before + 1, 10, "counted")


def test_a_pair_that_does_not_belong_together_starts_nothing(tmp_path: Path) -> None:
    one, other = new_pair(tmp_path, "one"), new_pair(tmp_path, "other")
    tls = f'[tls]\ncert = "{one.cert}"\nkey = "{other.key}"\n'
    with upstream() as fake, running_server(tmp_path, config_for(fake, more=tls)) as server:
        assert server.wait() == 1
        assert "tls.key must be the key of the certificate" in server.console()
