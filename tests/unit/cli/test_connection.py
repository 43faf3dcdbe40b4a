"""A command's line to a server."""

import socket
import threading
from pathlib import Path

import pytest

from lab.command import rempart
from lab.control_server import ControlServer
from rempart.cli.connection import Connection, connect
from rempart.cli.failure import CommandFailed


def test_a_server_elsewhere_is_reached_with_a_key(control: ControlServer, tmp_path: Path) -> None:
    environment = {"REMPART_API_KEY": "all-scopes", "REMPART_URL": control.url}
    for arguments in (["--url", control.url], ["--url", control.url + "/"], []):
        ran = rempart("models", "list", *arguments, cwd=Path("/"), environment=environment)
        assert ran.code == 0
        assert "demo" in ran.out
    ran = rempart(
        "models",
        "load",
        "demo",
        cwd=Path("/"),
        environment={**environment, "REMPART_API_KEY": "reads-only"},
    )
    assert ran.code == 1
    assert "lacks the scope 'admin:write'" in ran.err


def test_an_address_needs_a_key_and_a_form(tmp_path: Path) -> None:
    ran = rempart("models", "list", "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert (ran.code, ran.err) == (2, "rempart: --url needs a key. Set REMPART_API_KEY.\n")
    ran = rempart(
        "models", "list", "--url", "127.0.0.1:1", cwd=tmp_path, environment={"REMPART_API_KEY": "k"}
    )
    assert ran.code == 2
    assert "--url must be an address such as http://127.0.0.1:8001" in ran.err


def test_an_address_where_nobody_is_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        CommandFailed, match=r"cannot be reached: .*Connection refused.*Check --url"
    ):
        Connection(url=f"http://127.0.0.1:{port}", key="k").ask("GET", "/")


def test_the_data_folder_is_found_by_option_variable_and_configuration(
    control: ControlServer, tmp_path: Path
) -> None:
    data_dir = str(tmp_path / "rempart-data")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert rempart("models", "list", cwd=elsewhere).code == 1
    assert rempart("models", "list", "--data-dir", data_dir, cwd=elsewhere).code == 0
    assert (
        rempart("models", "list", cwd=elsewhere, environment={"REMPART_DATA_DIR": data_dir}).code
        == 0
    )
    # Broken otherwise: that must not keep anyone from a running server.
    (elsewhere / "rempart.toml").write_text(f'data_dir = "{data_dir}"\n[nonsense]\n')
    assert rempart("models", "list", cwd=elsewhere).code == 0
    (elsewhere / "rempart.toml").write_text("data_dir = 5")
    assert rempart("models", "list", cwd=elsewhere).code == 1


def test_what_is_no_control_api_is_told_apart(tmp_path: Path) -> None:
    """An answer that is not JSON, and a server that hangs up."""
    path = tmp_path / "control.sock"
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>", b""]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                client, _ = listener.accept()
                with client:
                    client.recv(65536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        connection = Connection(socket_path=path)
        with pytest.raises(CommandFailed, match=r"the answer \(200\) is not JSON"):
            connection.ask("GET", "/")
        with pytest.raises(CommandFailed, match="did not answer on"):
            connection.ask("GET", "/")
        thread.join()


def test_a_socket_left_behind_by_a_server_that_died_is_no_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
    with pytest.raises(CommandFailed, match="no server is running with the data folder"):
        connect(tmp_path, "").ask("GET", "/")
