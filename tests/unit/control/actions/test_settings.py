"""What operators see of the configuration."""

import json

from lab.control_server import SETTINGS
from rempart.control.actions.settings import show


def test_settings_are_shown_without_secrets() -> None:
    values = show(SETTINGS)
    assert values["models"][0]["name"] == "demo"
    assert "hunter2" not in json.dumps(values)
