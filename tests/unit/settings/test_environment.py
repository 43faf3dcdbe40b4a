"""Settings from variables."""

import pytest

from rempart.settings.environment import (
    NOT_SETTINGS,
    Assignment,
    from_environment,
    is_secret_file,
    variable_of,
)


def values(**environment: str) -> dict[tuple[str | int, ...], object]:
    assignments, problems = from_environment(environment)
    assert problems == []
    return {assignment.path: assignment.value for assignment in assignments}


def problem(name: str, value: str = "x") -> str:
    assignments, problems = from_environment({name: value})
    assert assignments == []
    return problems[0]


def test_text_becomes_what_the_setting_takes() -> None:
    assert values(
        REMPART_SERVER__PORT="9000",
        REMPART_SERVER__ANY_MODEL="TRUE",
        REMPART_DEADLINE__QUEUE_S="2.5",
        REMPART_HEALTH__DETAIL="key",
        REMPART_SERVER__HOST="0.0.0.0",
        REMPART_DATA_DIR="/data",
        REMPART_MODELS__0__COMMAND='["run", "{port}"]',
        REMPART_MODELS__0__ENV__Hf_Token="T",
    ) == {
        ("server", "port"): 9000,
        ("server", "any_model"): True,
        ("deadline", "queue_s"): 2.5,
        ("health", "detail"): "key",
        ("server", "host"): "0.0.0.0",
        ("data_dir",): "/data",
        ("models", 0, "command"): ["run", "{port}"],
        ("models", 0, "env", "Hf_Token"): "T",
    }


def test_text_that_does_not_fit_is_left_for_the_checks_to_explain() -> None:
    found = values(REMPART_SERVER__PORT="many", REMPART_SERVER__ANY_MODEL="perhaps")
    assert found == {("server", "port"): "many", ("server", "any_model"): "perhaps"}


def test_a_table_comes_before_what_stands_in_it() -> None:
    found = values(REMPART_SERVER__PORT="1", REMPART_SERVER='{"port": 2}')
    assert list(found) == [("server",), ("server", "port")]


def test_broken_json_is_told_without_the_value() -> None:
    assert problem("REMPART_MODELS", '[{"a"') == (
        "environment variable REMPART_MODELS: REMPART_MODELS must be a JSON list, "
        "found something else at character 5. Write JSON."
    )


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("REMPART_SERVER_PORT", "Did you mean REMPART_SERVER__PORT?"),
        ("REMPART_SERVER__PROT", "Did you mean REMPART_SERVER__PORT?"),
        ("REMPART_ADMINKEY", "Did you mean REMPART_ADMIN_KEY?"),
        ("REMPART_SERVER__HOST_FILE", "Did you mean REMPART_SERVER__HOST?"),
        ("REMPART_", "Unset it."),
        ("REMPART_XYZZY", "Unset it."),
    ],
)
def test_what_is_no_setting_is_an_error(name: str, guess: str) -> None:
    assert problem(name) == f"environment variable {name}: {name} is not a setting. {guess}"


def test_a_section_of_a_later_version_is_refused_by_name() -> None:
    assert problem("REMPART_ALERTS__TARGETS", "5") == (
        "environment variable REMPART_ALERTS__TARGETS: "
        "[alerts] is not available in this version. Unset it."
    )


def test_other_variables_and_those_of_kubernetes_are_passed_over() -> None:
    assert (
        values(
            PATH="/bin",
            REMPART_PORT="tcp://10.0.0.1:8000",
            REMPART_SERVICE_HOST="10.0.0.1",
            REMPART_SERVICE_PORT="8000",
            REMPART_SERVICE_PORT_HTTP="8000",
            REMPART_PORT_8000_TCP="tcp://10.0.0.1:8000",
            REMPART_PORT_8000_TCP_ADDR="10.0.0.1",
            REMPART_CONTROL_SERVICE_HOST="10.0.0.2",
            **dict.fromkeys(NOT_SETTINGS, "x"),
        )
        == {}
    )
    assert "Did you mean REMPART_SERVER__PORT?" in problem("REMPART_SERVER_PORT", "8000")


def test_a_secret_and_its_file_are_not_both_set() -> None:
    name = "REMPART_SECRETS__MASTER_KEY"
    _, problems = from_environment({name: "x", f"{name}_FILE": "f"})
    assert problems == [f"environment variable {name}_FILE: {name} is set too. Unset one of them."]


def test_only_secret_texts_have_files() -> None:
    assert is_secret_file(("secrets", "master_key_file"))
    assert is_secret_file(("models", 3, "api_key_file"))
    assert not is_secret_file(("models", 0, "env_file"))
    assert not is_secret_file(("logs", "file"))
    assert not is_secret_file(("data_dir",))


def test_an_assignment_says_where_it_was_written() -> None:
    assignments, _ = from_environment({"REMPART_SERVER__PORT": "1"})
    assert assignments == [
        Assignment(("server", "port"), 1, "environment variable REMPART_SERVER__PORT")
    ]
    assert variable_of("server.port") == "REMPART_SERVER__PORT"
