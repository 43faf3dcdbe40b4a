"""Rules over several settings."""

from dataclasses import replace
from typing import Any

import pytest

from rempart.settings.model import (
    Deadline,
    Memory,
    Model,
    ModelDeadline,
    Route,
    Server,
    Settings,
)
from rempart.settings.rules import FIELDS_OF_KIND, check
from rempart.settings.schema import table

A = Model(name="a", source="demo")
FAR = Model(name="far", kind="upstream", base_urls=["http://h:1/v1"])
MINE = Model(name="mine", kind="command", command=["run", "--port={port}"])


def texts(**sections: Any) -> list[str]:
    return [found.text for found in check(Settings(**sections))]


def test_good_settings_have_no_problem() -> None:
    routes = [
        Route(path="/generate", model="mine"),
        Route(path="/generate", model="mine", methods=["GET"]),
    ]
    assert texts(models=[A, FAR, MINE], routes=routes, server=Server(base_path="/llm/x")) == []


def test_names_of_models_are_unique_and_printable() -> None:
    assert texts(models=[A, A]) == [
        'models[1].name must be a name of its own, found "a", the name of models[0] too. '
        "Rename one of them."
    ]
    assert "must be printable" in texts(models=[replace(A, name="a\n")])[0]
    assert "must be printable" in texts(models=[replace(A, name=" a")])[0]


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("llama_cpp", "source"),
        ("vllm", "source"),
        ("transformers", "source"),
        ("command", "command"),
        ("upstream", "base_urls"),
    ],
)
def test_each_kind_says_what_it_lacks(kind: Any, needs: str) -> None:
    (found,) = check(Settings(models=[Model(name="x", kind=kind)]))
    assert found.path == ("models", 0, needs)
    assert found.text.startswith(
        f'models[0] ("x", kind {kind}) must have {needs}, found none. Write {needs} = '
    )


def test_a_command_is_told_its_port() -> None:
    assert texts(models=[replace(MINE, command=["run", "--port", "80"])]) == [
        "models[0].command must contain {port}, which is replaced by the port to listen on, "
        'found none. Add it, such as "--port", "{port}".'
    ]


def test_a_setting_of_another_kind_is_not_passed_over_in_silence() -> None:
    assert texts(models=[replace(FAR, threads=4)]) == [
        'models[0].threads is for the kind llama_cpp, found in "far" of the kind upstream. '
        "Remove it, or change kind."
    ]
    assert (
        "is for the kind upstream, found in"
        in texts(models=[replace(A, base_urls=["http://h/v1"])])[0]
    )


def test_every_setting_of_a_model_belongs_to_a_kind() -> None:
    assert set().union(*FIELDS_OF_KIND.values()) == set(table(Model))


@pytest.mark.parametrize(
    "url", ["h/v1", "ftp://h/v1", "http://", "http://h:99999/v1", "http://h/v1?x=1", "http://[::/"]
)
def test_an_address_must_be_whole(url: str) -> None:
    assert texts(models=[replace(FAR, base_urls=["https://ok/v1", url])]) == [
        f"models[0].base_urls[1] must be an address such as http://127.0.0.1:9000/v1, "
        f'found "{url}". '
        "Begin it with http:// or https://."
    ]


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    (text,) = texts(models=[replace(FAR, base_urls=["http://me:hunter2@h/v1"])])
    assert "hunter2" not in text
    assert "Use api_key." in text


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (
            Route(path="/x", model="min"),
            'must be the name of one of [[models]], found "min". Did you mean "mine"?',
        ),
        (
            Route(path="/x", model="zzz"),
            'routes[0].model must be the name of one of [[models]], found "zzz". There are: mine.',
        ),
        (
            Route(path="x", model="mine"),
            'routes[0].path must be a path that begins with /, found "x".',
        ),
        (Route(path="/x?y", model="mine"), "routes[0].path must be a path that begins with /"),
        (Route(path="/health", model="mine"), "routes[0].path must be none of our own paths"),
        (Route(path="/v1/models/x", model="mine"), "routes[0].path must be none of our own paths"),
        (
            Route(path="/x", model="mine", methods=[]),
            "routes[0].methods must name at least one method",
        ),
        (Route(path="/x", model="mine", methods=["get"]), 'found "get". Write "GET".'),
        (Route(path="/x", model="mine", methods=["BREW"]), 'found "BREW". Remove it.'),
        (
            Route(path="/x", model="mine", upstream_path="y"),
            "routes[0].upstream_path must begin with /",
        ),
    ],
)
def test_a_route_leads_to_a_model_by_a_path_of_its_own(route: Route, text: str) -> None:
    (found,) = texts(models=[MINE], routes=[route])
    assert text in found


def test_two_routes_do_not_share_path_and_method() -> None:
    route = Route(path="/x", model="mine")
    (found,) = texts(models=[MINE], routes=[route, route])
    assert found.startswith(
        "routes[1] must be the only route for its path and method, found POST /x in rou"
    )


def test_routes_without_models_say_so() -> None:
    assert "There are none yet: write [[models]]." in texts(routes=[Route(path="/x", model="m")])[0]


@pytest.mark.parametrize(
    ("server", "text"),
    [
        (
            Server(port=8001),
            "server.control_port must be another one than server.port, found 8001 for both.",
        ),
        (
            Server(base_path="llm"),
            'server.base_path must begin with / and not end with it, found "llm".',
        ),
        (Server(base_path="/llm/"), "server.base_path must begin with /"),
        (Server(base_path="/"), "server.base_path must begin with /"),
        (Server(host=""), 'server.host must be an address, found "".'),
        (Server(socket="/" + "x" * 107), "server.socket must be at most 107 bytes long"),
    ],
)
def test_the_server_can_listen_where_it_is_told(server: Server, text: str) -> None:
    (found,) = texts(server=server)
    assert text in found


def test_free_ports_and_ports_of_different_addresses_do_not_clash() -> None:
    assert texts(server=Server(port=0, control_port=0)) == []
    assert texts(server=Server(port=8001, host="127.0.0.2")) == []


def test_sizes_are_sizes() -> None:
    assert texts(memory=Memory(budget="much")) == [
        'memory.budget must be a share such as 80%, or a size such as 6GiB, found "much". '
        'Write "80%".'
    ]
    assert texts(models=[replace(A, memory_max="80%")]) == [
        'models[0].memory_max must be a size such as 500MiB or 2GiB, found "80%". '
        'Write it as in "6GiB".'
    ]
    assert texts(memory=Memory(budget="2GiB"), models=[replace(A, memory_max="6GiB")]) == []


def test_the_first_token_may_not_come_after_the_end() -> None:
    assert texts(deadline=Deadline(first_token_s=90, total_s=80)) == [
        "deadline.first_token_s must not be longer than total_s (80), found 90. Write 80 or less."
    ]
    own = ModelDeadline(first_token_s=9, total_s=8)
    assert "models[0].deadline.first_token_s" in texts(models=[replace(A, deadline=own)])[0]
    assert texts(deadline=Deadline(total_s=10)) == []  # it simply ends first
