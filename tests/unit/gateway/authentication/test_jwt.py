"""A token opens the door only if it is an access token, for us, of the issuer, signed as configured, and of now."""

import base64
import hmac
import json
import time
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from lab.issuer import AUDIENCE, Issuer
from rempart.domain.errors import ExpiredApiKey, InvalidApiKey, RempartError
from rempart.domain.keys import Principal
from rempart.gateway.authentication.jwt import (
    TOKEN_BYTES_MAX,
    TokenKeys,
    TokenRules,
    header_of,
    principal_of,
)

ISSUER = Issuer()
ISSUER.url = "https://issuer.example"
ISSUER.add_rsa("rsa1")
ISSUER.add_ed25519("ed1")
RULES = TokenRules(
    issuer=ISSUER.url, audience=AUDIENCE, algorithms=frozenset({"RS256", "ES256", "EdDSA"}),
    scopes={}, leeway_s=30,
)  # fmt: skip


def asked(token: str, rules: TokenRules = RULES, keys: Any = None) -> Principal:
    found = TokenKeys(keys if keys is not None else ISSUER.jwks)
    key = found.find(header_of(token, rules).get("kid"))
    if key is None:
        raise InvalidApiKey
    return principal_of(token, key, rules, time.time())


def refused(token: str, rules: TokenRules = RULES) -> str:
    with pytest.raises(RempartError) as error:
        asked(token, rules)
    return error.value.code


@pytest.mark.parametrize(("kid", "alg"), [("ec1", "ES256"), ("rsa1", "RS256"), ("ed1", "EdDSA")])
def test_a_good_token_is_its_subject(kid: str, alg: str) -> None:
    principal = asked(ISSUER.token(kid, alg=alg))
    assert principal.id == "jwt:someone"
    assert principal.scopes == {"inference"}
    assert principal.expires_s == pytest.approx(time.time() + 330, abs=5)
    assert not principal.is_unlimited


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_type_is_that_of_an_access_token(kind: str) -> None:
    assert asked(ISSUER.token(header={"typ": kind})).id == "jwt:someone"


@pytest.mark.parametrize("kind", ["JWT", "id_token+jwt", "", None, "logout+jwt"])
def test_an_id_token_or_any_other_opens_nothing(kind: str | None) -> None:
    assert refused(ISSUER.token(header={"typ": kind})) == "invalid_api_key"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"}, {"iss": "https://issuer.example/"}, {"iss": None},
        {"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": ["x", "y"]}, {"aud": {"rempart": 1}},
        {"sub": None}, {"sub": ""}, {"sub": 5}, {"sub": "x" * 257}, {"sub": "a\nb"},
        {"client_id": None}, {"exp": None}, {"exp": "soon"}, {"exp": True}, {"exp": -1}, {"exp": 1e300},
        {"nbf": time.time() + 3600}, {"iat": time.time() + 3600}, {"nbf": "x"}, {"scope": ["inference"]},
    ],
)  # fmt: skip
def test_a_claim_that_is_wrong_or_missing_refuses(changes: dict[str, Any]) -> None:
    assert refused(ISSUER.token(**changes)) == "invalid_api_key"


def test_one_of_several_audiences_is_enough() -> None:
    assert asked(ISSUER.token(aud=["other", AUDIENCE])).id == "jwt:someone"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    now = time.time()
    assert asked(ISSUER.token(exp=int(now) - 20)).id == "jwt:someone"
    assert refused(ISSUER.token(exp=int(now) - 40)) == "expired_api_key"
    assert asked(ISSUER.token(nbf=int(now) + 20)).id == "jwt:someone"


def test_scopes_are_mapped_and_others_count_for_nothing() -> None:
    everything = "openid inference admin:write made-up api.use"
    assert asked(ISSUER.token(scope=everything)).scopes == {"inference", "admin:write"}
    mapped = RULES._replace(scopes={"api.use": "metrics"})
    assert asked(ISSUER.token(scope=everything), mapped).scopes == {"metrics"}
    assert asked(ISSUER.token(scope=None)).scopes == set()


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_without_a_signature_is_none() -> None:
    for alg in ("none", "None", "NONE", ""):
        head = segment({"alg": alg, "typ": "at+jwt", "kid": "ec1"})
        assert refused(f"{head}.{segment(ISSUER.claims())}.") == "invalid_api_key"


def test_a_public_key_is_no_shared_secret() -> None:
    """The oldest trick: HS256 with the RSA key's public half as the secret."""
    pem = ISSUER.keys["rsa1"].as_pem(private=False)
    head = segment({"alg": "HS256", "typ": "at+jwt", "kid": "rsa1"})
    text = f"{head}.{segment(ISSUER.claims())}"
    mac = hmac.new(pem, text.encode(), "sha256").digest()
    token = f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    assert refused(token) == "invalid_api_key"
    every = RULES._replace(algorithms=RULES.algorithms | {"HS256"})
    assert refused(token, every) == "invalid_api_key"


def test_only_configured_algorithms_are_taken_and_only_with_their_kind_of_key() -> None:
    assert (
        refused(ISSUER.token(), RULES._replace(algorithms=frozenset({"RS256"})))
        == "invalid_api_key"
    )
    token = ISSUER.token("rsa1", alg="RS256", header={"kid": "ec1"})
    assert refused(token) == "invalid_api_key"


def test_a_token_of_another_key_with_the_same_id_is_none() -> None:
    other = ECKey.generate_key("P-256", {"kid": "ec1"})
    assert refused(ISSUER.token(key=other)) == "invalid_api_key"


def test_a_token_cannot_bring_its_own_key() -> None:
    other = ECKey.generate_key("P-256", {"kid": "mine"})
    header = {
        "kid": "mine",
        "jwk": other.as_dict(private=False),
        "jku": "https://evil.example/jwks",
    }
    assert refused(ISSUER.token(key=other, header=header)) == "invalid_api_key"


def test_a_changed_token_is_none() -> None:
    head, claims, signature = ISSUER.token().split(".")
    forged = segment(ISSUER.claims(scope="admin:write"))
    for changed in (
        f"{head}.{forged}.{signature}",
        f"{head}.{claims}.{signature[:-4]}AAAA",
        f"{head}.{claims}.",
    ):
        assert refused(changed) == "invalid_api_key"


def test_a_token_has_a_largest_size() -> None:
    assert refused(ISSUER.token(more="x" * TOKEN_BYTES_MAX)) == "invalid_api_key"


@given(st.text(max_size=200))
def test_any_text_is_refused_in_the_same_way(text: str) -> None:
    for token in (
        text,
        f"eyJ.{text}.x",
        f"{segment({'alg': 'ES256', 'typ': 'at+jwt'})}.{text}.{text}",
    ):
        with pytest.raises(InvalidApiKey):
            asked(token)


def test_a_token_that_names_no_key_has_the_only_one() -> None:
    token = ISSUER.token(header={"kid": None})
    only = {"keys": [ISSUER.keys["ec1"].as_dict(private=False)]}
    assert asked(token, keys=only).id == "jwt:someone"
    with pytest.raises(InvalidApiKey):
        asked(token)


def test_keys_of_other_kinds_uses_and_sizes_are_passed_over() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        small = RSAKey.generate_key(1024, {"kid": "small"})
    good = ISSUER.keys["ec1"].as_dict(private=False)
    keys = TokenKeys(
        {
            "keys": [
                "x", None, {}, {"kty": "oct", "k": "AAAA", "kid": "shared"},
                {**good, "use": "enc", "kid": "enc"}, {**good, "x": "!", "kid": "broken"},
                small.as_dict(private=False), ISSUER.keys["ec1"].as_dict(private=True) | {"kid": "private"},
                good,
            ]
        }
    )  # fmt: skip
    assert list(keys._keys) == ["ec1"]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="no list of keys"):
        TokenKeys(document)


def test_an_expired_token_is_told_apart_only_when_its_signature_is_right() -> None:
    with pytest.raises(ExpiredApiKey):
        asked(ISSUER.token(exp=int(time.time()) - 100))
    other = ECKey.generate_key("P-256", {"kid": "ec1"})
    assert refused(ISSUER.token(key=other, exp=int(time.time()) - 100)) == "invalid_api_key"
