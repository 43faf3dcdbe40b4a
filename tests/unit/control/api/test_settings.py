"""``/api/settings``."""

from lab.control_client import ask
from lab.control_server import ControlServer


def test_settings_are_shown_with_secrets_masked(control: ControlServer) -> None:
    answer = ask(control.port, "GET", "/api/settings", "reads-only")
    assert answer.json["secrets"] == {"master_key": "********", "previous_master_key": ""}
    assert answer.json["server"]["port"] == 8000
