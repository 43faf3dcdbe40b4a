"""From what the operator wrote to settings, and what is said when that cannot be."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from rempart.settings.load import SettingsError, resolve
from rempart.settings.model import Settings
from rempart.settings.schema import every_setting

MODEL = '[[models]]\nname = "a"\nsource = "demo"\n'


def load(
    tmp_path: Path,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> Settings:
    if text is not None:
        (tmp_path / "rempart.toml").write_text(text)
    return resolve(config=None, environment=environment or {}, folder=tmp_path, **more)


def problems(
    tmp_path: Path, text: str | None, environment: Mapping[str, str] | None = None, **more: Any
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, environment, **more)
    return caught.value.problems


def test_without_a_file_and_variables_everything_has_its_default(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.server.port == 8000
    assert settings.models == []
    assert settings.data_dir == str(tmp_path / "rempart-data")
    assert settings.logs.file == str(tmp_path / "logs/api.log")


def test_options_go_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    text = "[server]\nport = 1\nworkers = 2\ncontrol_port = 3\n"
    environment = {"REMPART_SERVER__WORKERS": "4", "REMPART_SERVER__CONTROL_PORT": "5"}
    options = {"server.control_port": ("--control-port", 6)}
    server = load(tmp_path, text, environment, options=options).server
    assert (server.port, server.workers, server.control_port) == (1, 4, 6)


@pytest.mark.requirement("configuration")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[server]\nport = "60/min"\n',
            "rempart.toml line 2: server.port must be a whole number from 0 to 65535, "
            'found "60/min". Write 60.',
        ),
        (
            "[server]\n\nport = 70000 # high\n",
            "rempart.toml line 3: server.port must be a whole number from 0 to 65535, "
            "found 70000. Write 65535 or less.",
        ),
        (
            "server = {workers = 0, port = 1}\n",
            "rempart.toml line 1: server.workers must be a whole number from 1 to 64, "
            "found 0. Write 1 or more.",
        ),
        (
            "[server]\nworkers = 1.5\n",
            "rempart.toml line 2: server.workers must be a whole number from 1 to 64, "
            "found 1.5. Write 1.",
        ),
        (
            "[server]\nworkers = true\n",
            "rempart.toml line 2: server.workers must be a whole number from 1 to 64, "
            "found true. Write 1.",
        ),
        (
            "[deadline]\nqueue_s = 0\n",
            "rempart.toml line 2: deadline.queue_s must be a number of seconds above 0 and up to "
            "86400, found 0. Write more than 0.",
        ),
        (
            "[deadline]\nqueue_s = nan\n",
            "rempart.toml line 2: deadline.queue_s must be a number of seconds above 0 and up to "
            "86400, found nan. Write 1.",
        ),
        (
            "[deadline]\nqueue_s = 07:32:00\n",
            "rempart.toml line 2: deadline.queue_s must be a number of seconds above 0 and up to "
            '86400, found "07:32:00". Write 7.',
        ),
        (
            "[logs]\nrotate_bytes = 1\n",
            "rempart.toml line 2: logs.rotate_bytes must be a whole number of bytes of at least "
            "65536, found 1. Write 65536 or more.",
        ),
        (
            '[server]\nany_model = "no"\n',
            "rempart.toml line 2: server.any_model must be true or false, "
            'found "no". Write false, without quotes.',
        ),
        (
            '[health]\ndetail = "al"\n',
            'rempart.toml line 2: health.detail must be one of "key", "all", '
            'found "al". Write "all".',
        ),
        (
            "[server]\nhost = 5\n",
            'rempart.toml line 2: server.host must be a text in quotes, found 5. Write "5".',
        ),
        (
            "server = 5\n",
            "rempart.toml line 1: server must be a table, found 5. "
            "Write [server] and its settings below it.",
        ),
        (
            "models = [5]\n",
            "rempart.toml line 1: models[0] must be a table, found a number (not shown). "
            "Write [[models]] and its settings below it.",
        ),
        (
            '[[models]]\nname = "a"\nkind = "command"\ncommand = "run {port}"\n',
            "rempart.toml line 4: models[0].command must be a list of texts, such as "
            '["one", "two"], found "run {port}". Put it in square brackets.',
        ),
        (
            '[[models]]\nname = "a"\nkind = "command"\ncommand = ["{port}",\n 5]\n',
            "rempart.toml line 5: models[0].command[1] must be a text in quotes, found 5. "
            'Write "5".',
        ),
        (
            MODEL + '\n[[models]]\nsource = "demo"\n',
            "rempart.toml line 5: models[1] must have the setting name (what clients ask for), "
            'found none. Write name = "…".',
        ),
        (
            MODEL.replace('"a"', '""'),
            "rempart.toml line 2: models[0].name must be a text in quotes of 1 to 128 characters, "
            'found "". Write "…".',
        ),
    ],
)
def test_an_error_names_line_expectation_finding_and_remedy(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1\n", "line 2: server.prot is not a setting. Did you mean server.port?"),
        ("[srver]\nport = 1\n", "line 1: srver is not a setting. Did you mean server?"),
        ("port = 1\n", "line 1: port is not a setting. Did you mean server.port?"),
        (
            "[deadline]\nhost = 1\n",
            "line 2: deadline.host is not a setting. Did you mean server.host?",
        ),
        (
            MODEL + "[models.deadline]\ntotals = 1\n",
            "line 5: models[0].deadline.totals is not a setting. "
            "Did you mean models[0].deadline.total_s?",
        ),
        (
            "[shutdown]\nxyz = 1\n",
            "line 2: shutdown.xyz is not a setting. There are: grace_s.",
        ),
        (
            "[alerts]\ntargets = []\n",
            "line 1: [alerts] is not available in this version. Remove it.",
        ),
        (
            '[[aliases]]\nname = "x"\n',
            "line 1: [[aliases]] is not available in this version. Remove it.",
        ),
    ],
)
def test_an_unknown_name_is_an_error_that_says_what_was_probably_meant(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems(tmp_path, text) == ["rempart.toml " + expected]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "[server]\nport = 'x'\nprot = 1\n"
        '[[models]]\nname = "a"\nkind = "upstream"\nslots = 0\n'
        '[[routes]]\npath = "/x"\nmodel = "b"\n'
    )
    found = problems(tmp_path, text)
    assert [line.split(":")[0] for line in found] == [
        f"rempart.toml line {number}" for number in (2, 3, 4, 7, 10)
    ]
    assert "must have base_urls" in found[2]
    assert 'found "b"' in found[4]


def test_a_rule_says_nothing_of_what_is_known_to_be_wrong(tmp_path: Path) -> None:
    """A model without a name is one error, not a second one about names that clash."""
    assert (
        len(problems(tmp_path, '[[models]]\nsource = "demo"\n[[models]]\nsource = "demo"\n')) == 2
    )


def test_a_text_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert problems(tmp_path, "[server]\nhost = localhost\n") == [
        "rempart.toml line 2: the file must be TOML, found: Invalid value. "
        "Put texts in quotes; true and false are written small."
    ]
    assert problems(tmp_path, "[server]\nport 80\n")[0].startswith("rempart.toml line 2: ")
    assert problems(tmp_path, "a = 1\na = 2\n")[0].startswith("rempart.toml line 2: ")
    assert problems(tmp_path, 'a = """\nx\n')[0].startswith("rempart.toml line 3: ")


def test_a_file_that_is_not_there_not_utf8_or_far_too_large_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"other.toml: the file cannot be read: No such file"):
        resolve(config=Path("other.toml"), environment={}, folder=tmp_path)
    (tmp_path / "rempart.toml").write_bytes(b"[server]\nhost = '\xff'\n")
    assert problems(tmp_path, None) == [
        "rempart.toml line 2: the file must be UTF-8, found another encoding. Save it anew."
    ]
    (tmp_path / "rempart.toml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    assert "larger than" in problems(tmp_path, None)[0]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "rempart.toml").write_bytes(b"\xef\xbb\xbf[server]\nport = 7\n")
    assert load(tmp_path).server.port == 7


def test_a_wrong_variable_or_option_is_named_instead_of_a_line(tmp_path: Path) -> None:
    text = "[server]\nport = 5\nworkers = 1\n"
    assert problems(tmp_path, text, {"REMPART_SERVER__PORT": "x"}) == [
        "environment variable REMPART_SERVER__PORT: server.port must be a whole number from 0 to "
        '65535, found "x". Write 0.'
    ]
    assert problems(tmp_path, text, options={"server.workers": ("--workers", 90)}) == [
        "--workers: server.workers must be a whole number from 1 to 64, found 90. Write 64 or less."
    ]


def test_a_list_given_by_a_variable_replaces_that_of_the_file(tmp_path: Path) -> None:
    models = [{"name": "b", "source": "demo"}, {"name": "c", "source": "demo", "slots": 0}]
    found = problems(tmp_path, MODEL, {"REMPART_MODELS": json.dumps(models)})
    assert found == [
        "environment variable REMPART_MODELS: models[1].slots must be a whole number from 1 to "
        "4096, found 0. Write 1 or more."
    ]
    models[1]["slots"] = 1
    settings = load(tmp_path, MODEL, {"REMPART_MODELS": json.dumps(models)})
    assert [model.name for model in settings.models] == ["b", "c"]


def test_an_element_of_a_list_can_be_set_and_a_list_grows_by_one(tmp_path: Path) -> None:
    environment = {
        "REMPART_MODELS__0__SLOTS": "7",
        "REMPART_MODELS__1__NAME": "b",
        "REMPART_MODELS__1__SOURCE": "demo",
    }
    settings = load(tmp_path, MODEL, environment)
    assert [(model.name, model.slots) for model in settings.models] == [("a", 7), ("b", None)]
    assert problems(tmp_path, MODEL, {"REMPART_MODELS__5__NAME": "c"}) == [
        "environment variable REMPART_MODELS__5__NAME: models[5].name cannot be set, since what is "
        "above it is not there. Numbers of lists begin with 0."
    ]


def test_a_secret_can_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    text = (
        '[[models]]\nname = "far"\nkind = "upstream"\n'
        'base_urls = ["http://h/v1"]\napi_key_file = "key"\n'
    )
    assert load(tmp_path, text).models[0].api_key == "s3cret"
    environment = {"REMPART_SECRETS__MASTER_KEY_FILE": str(tmp_path / "key")}
    assert load(tmp_path, "", environment).secrets.master_key == "s3cret"
    environment = {"REMPART_MODELS__0__API_KEY_FILE": "key"}
    assert (
        load(tmp_path, text.replace("api_key_file", "api_key"), environment).models[0].api_key
        == "s3cret"
    )


def test_a_secrets_file_that_cannot_be_read_or_is_one_too_many_is_told(tmp_path: Path) -> None:
    text = '[secrets]\nmaster_key = "x"\nmaster_key_file = "nowhere"\n'
    assert problems(tmp_path, text) == [
        "rempart.toml line 3: secrets.master_key_file and master_key must not both be set. "
        "Remove one of them."
    ]
    assert problems(tmp_path, '[secrets]\nmaster_key_file = "nowhere"\n') == [
        "rempart.toml line 2: secrets.master_key_file must be a readable file with the secret in "
        'it, found "nowhere": No such file or directory. Check the path.'
    ]
    assert "must be the path of a file" in problems(tmp_path, "[secrets]\nmaster_key_file = 5\n")[0]
    assert "is not a setting" in problems(tmp_path, '[server]\nhost_file = "x"\n')[0]


def test_no_secret_gets_into_an_error(tmp_path: Path) -> None:
    secret = "hunter2hunter2"
    texts = [
        f'secrets = "{secret}"\n',
        f'[secrets]\nmaster_key = ["{secret}"]\n',
        f'[secrets]\nmaster_kee = "{secret}"\n',
        f'models = "{secret}"\n',
        f'[[models]]\nname = "a"\nkind = "upstream"\nbase_urls = ["http://me:{secret}@h/v1"]\n',
        f'[[models]]\nname = "a"\nsource = "demo"\nenv = "{secret}"\n',
        f'[[models]]\nname = "a"\nsource = "demo"\nenv = {{A = ["{secret}"]}}\n',
        f'[[models]]\nname = "a"\nsource = "demo"\napi_key = "{secret}"\n',
        f'[secrets]\nmaster_key = "{secret}\n',
    ]
    for text in texts:
        assert secret not in "\n".join(problems(tmp_path, text))
    environments = [
        {"REMPART_MODELS": f'[{{"api_key": "{secret}"'},
        {"REMPART_SECRETS": f'"{secret}"'},
        {"REMPART_SECRETS__MASTER_KEYS": secret},
    ]
    for environment in environments:
        assert secret not in "\n".join(problems(tmp_path, "", environment))


def test_the_detail_of_health_depends_on_where_we_listen(tmp_path: Path) -> None:
    assert load(tmp_path).health.detail == "all"
    for host, detail in (
        ("0.0.0.0", "key"),
        ("localhost.example", "key"),
        ("localhost", "all"),
        ("::1", "all"),
    ):
        assert load(tmp_path, f'[server]\nhost = "{host}"\n').health.detail == detail
    assert load(tmp_path, '[health]\ndetail = "key"\n').health.detail == "key"


def test_relative_paths_become_absolute_from_the_folder_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    text = (
        'data_dir = "d"\n[server]\nsocket = "s"\n[[models]]\nname = "a"\nsource = "m.gguf"\n'
        'loras = ["l"]\ndraft = "x"\nchat_template = "/t"\n'
    )
    settings = load(tmp_path, text)
    model = settings.models[0]
    assert settings.data_dir == str(tmp_path / "d")
    assert settings.server.socket == str(tmp_path / "s")
    assert (model.source, model.loras) == (str(tmp_path / "m.gguf"), [str(tmp_path / "l")])
    assert (model.draft, model.chat_template) == (str(tmp_path / "x"), "/t")


def test_a_missing_model_file_is_an_error_only_where_files_are_asked_for(tmp_path: Path) -> None:
    text = MODEL.replace("demo", "gone.gguf")
    assert load(tmp_path, text).models[0].source == "gone.gguf"
    assert problems(tmp_path, text, with_files=True) == [
        "rempart.toml line 3: models[0].source must be an existing file or folder, "
        'found "gone.gguf", which is not there. Check the path.'
    ]


def test_the_model_that_is_served_comes_first(tmp_path: Path) -> None:
    settings = load(tmp_path, MODEL, model="demo")
    assert [(model.name, model.preload) for model in settings.models] == [
        ("demo", True),
        ("a", False),
    ]


@pytest.mark.requirement("configuration")
def test_every_setting_can_be_written_in_the_file_and_as_a_variable(tmp_path: Path) -> None:
    """Its own default is accepted, or, where it must be given, some text."""
    for setting in every_setting():
        default = setting.default
        if setting.path[0] in ("models", "routes") or default is None:
            continue
        name = "REMPART_" + "__".join(setting.path).upper()
        text = default if isinstance(default, str) else json.dumps(default)
        settings: Any = load(tmp_path, "", {name: text})
        for part in setting.path:
            settings = getattr(settings, part)
        assert str(settings).endswith(str(default))
    assert {field.name for field in fields(Settings)} >= {path.path[0] for path in every_setting()}


def test_what_is_wrong_inside_a_list_does_not_hide_what_the_rules_find(tmp_path: Path) -> None:
    text = (
        '[[models]]\nname = "a"\nkind = "command"\ncommand = ["{port}", 5]\n'
        '[[models]]\nname = "b"\nkind = "upstream"\n'
    )
    found = problems(tmp_path, text)
    assert [line.split(" must ")[0] for line in found] == [
        "rempart.toml line 4: models[0].command[1]",
        'rempart.toml line 5: models[1] ("b", kind upstream)',
    ]


def test_what_the_file_says_below_a_variable_counts_no_more(tmp_path: Path) -> None:
    found = problems(tmp_path, MODEL, {"REMPART_MODELS": '[{"name": 5, "source": "demo"}]'})
    assert found[0].startswith("environment variable REMPART_MODELS: models[0].name must be")
    found = problems(tmp_path, MODEL, {"REMPART_MODELS__0": '{"name": 5, "source": "demo"}'})
    assert found[0].startswith("environment variable REMPART_MODELS__0: models[0].name must be")


def test_one_element_of_a_list_can_be_replaced(tmp_path: Path) -> None:
    text = '[[models]]\nname = "a"\nkind = "command"\ncommand = ["run", "{port}"]\n'
    model = load(tmp_path, text, {"REMPART_MODELS__0__COMMAND__0": "walk"}).models[0]
    assert model.command == ["walk", "{port}"]
    model = load(tmp_path, text, {"REMPART_MODELS__0": '{"name": "b", "source": "demo"}'}).models[0]
    assert (model.name, model.command) == ("b", [])
    assert "cannot be set" in problems(tmp_path, text, {"REMPART_MODELS__0__COMMAND__5": "x"})[0]
