"""What needs no key."""

from lab.control_client import ask
from lab.control_server import ControlServer


def test_the_probe_answers(control: ControlServer) -> None:
    assert ask(control.port, "GET", "/livez").json == {"status": "healthy", "reasons": []}
