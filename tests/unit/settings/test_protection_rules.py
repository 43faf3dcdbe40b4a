"""Rules over what keeps the server safe."""

from typing import Any

import pytest

from rempart.settings.model import Model, Server, Settings
from rempart.settings.protection import Cors, Guard, Jwt, Tls
from rempart.settings.rules import check

A = Model(name="a", source="demo")


def texts(**sections: Any) -> list[str]:
    return [found.text for found in check(Settings(**sections))]


def test_certificate_and_key_come_together() -> None:
    assert texts(tls=Tls()) == []
    assert texts(tls=Tls(cert="a", key="b")) == []
    for tls, missing in [(Tls(cert="a"), "tls.key"), (Tls(key="a"), "tls.cert")]:
        (text,) = texts(tls=tls)
        assert text.startswith(f"{missing} must be set when")


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "https://[::1]:8443",
        "chrome-extension://abcdefghijklmnop",
        "tauri://localhost",
        "https://xn--caf-dma.example",
    ],
)
def test_an_origin_is_written_as_browsers_send_it(origin: str) -> None:
    assert texts(cors=Cors(origins=[origin])) == []


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ("https://app.example/", "be an origin"),
        ("https://app.example/path", "be an origin"),
        ("https://*.example", "be an origin"),
        ("app.example", "be an origin"),
        ("null", "be an origin"),
        ("", "be an origin"),
        ("https://a.example,https://b.example", "be an origin"),
        ("https://user@app.example", "be an origin"),
        ("https://app.example:0", "be an origin"),
        ("https://app.example:65536", "be an origin"),
        ("https://café.example", "be an origin"),
        ("https://App.Example", 'Write "https://app.example"'),
        ("https://app.example:443", 'Write "https://app.example"'),
        ("http://app.example:0080", 'Write "http://app.example"'),
    ],
)
def test_what_no_browser_sends_is_refused(origin: str, text: str) -> None:
    (problem,) = texts(cors=Cors(origins=[origin]))
    assert text in problem


def test_any_origin_is_all_of_them() -> None:
    assert texts(cors=Cors(origins=["*"])) == []
    (problem,) = texts(cors=Cors(origins=["*", "https://app.example"]))
    assert "be the only one" in problem


def test_a_kind_of_personal_data_that_nobody_looks_for_is_told() -> None:
    (found,) = texts(guard=Guard(kinds=["iban", "emial"]), models=[A])
    assert "email" in found
    assert "emial" in found


ISSUER = {"issuer": "https://id.example", "audience": "rempart"}


def test_a_sound_issuer_has_no_problem() -> None:
    assert texts(jwt=Jwt(**ISSUER)) == []
    local = ISSUER | {"issuer": "http://127.0.0.1:9000", "scopes": {"api.use": "inference"}}
    assert texts(jwt=Jwt(**local)) == []
    assert texts(jwt=Jwt(audience="", algorithms=["none"])) == [], "no issuer, no tokens"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"issuer": "http://id.example"}, "jwt.issuer must be an https:// address"),
        ({"jwks_url": "http://id.example/keys"}, "jwt.jwks_url must be an https:// address"),
        ({"audience": ""}, "jwt.audience must be set"),
        ({"algorithms": ["none"]}, "jwt.algorithms[0] must be one of"),
        ({"algorithms": ["RS256", "HS256"]}, "jwt.algorithms[1] must be one of"),
        ({"algorithms": []}, "jwt.algorithms must name at least one"),
        ({"scopes": {"x": "root"}}, "must be one of admin:read, admin:write"),
    ],
)
def test_an_issuer_that_could_let_anybody_in_is_refused(wrong: dict[str, Any], text: str) -> None:
    (found,) = texts(jwt=Jwt(**(ISSUER | wrong)))
    assert text in found


def test_a_trusted_proxy_is_an_address_or_a_network() -> None:
    assert texts(server=Server(trusted_proxies=["10.0.0.0/8", "::1", "unix"])) == []
    (found,) = texts(server=Server(trusted_proxies=["::1", "proxy.example"]))
    assert "server.trusted_proxies[1] must be an address, a network or unix" in found
