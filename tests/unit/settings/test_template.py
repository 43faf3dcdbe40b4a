"""The file that ``rempart init`` writes."""

import re
import tomllib
from pathlib import Path

from rempart.settings.load import resolve
from rempart.settings.schema import every_setting
from rempart.settings.template import template


def settings_of(text: str, folder: Path) -> object:
    (folder / "rempart.toml").write_text(text)
    return resolve(config=None, environment={}, folder=folder)


def test_every_setting_stands_in_it_with_its_meaning() -> None:
    text = template()
    for setting in every_setting():
        if "deadline" in setting.path[1:]:
            continue  # a model's own clocks are those of [deadline]
        assert re.search(rf"^(# )?{setting.path[-1]} = ", text, re.MULTILINE), setting.name
        if not re.search(rf"^{setting.path[-1]} = ", text, re.MULTILINE):
            assert setting.kind.doc in text


def test_the_defaults_it_shows_are_the_defaults(tmp_path: Path) -> None:
    """With every setting that has a value taken out of its comment, nothing changes."""
    text = template().partition("# Another path")[0]
    written_out = re.sub(r"^# (\w+ = [^ ].*|\[[a-z._]+\].*)$", r"\1", text, flags=re.MULTILINE)
    assert len(tomllib.loads(written_out)["server"]) > 10
    assert settings_of(written_out, tmp_path) == settings_of(text, tmp_path)
