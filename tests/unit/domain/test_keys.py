"""A stored key recognises its secret and shows nothing of it."""

from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.keys import (
    ALL_SCOPES,
    ANONYMOUS,
    DIGEST_BYTES,
    Principal,
    Scope,
    StoredKey,
    digest_secret,
    secret_in_header,
)

PEPPER = b"p" * 32


def key(name: str, secret: str, pepper: bytes = PEPPER) -> StoredKey:
    return StoredKey(
        id=name, digest=digest_secret(pepper, secret), scopes=frozenset({Scope.INFERENCE.value})
    )


@given(st.text(st.characters(), max_size=80), st.text(st.characters(), max_size=80))
def test_digests_are_equal_only_for_equal_secrets(one: str, other: str) -> None:
    """Also for secrets with bytes that are no text."""
    digests = []
    for secret in (one, other):
        try:
            digests.append(digest_secret(PEPPER, secret))
        except UnicodeEncodeError:  # surrogates that stand for no byte: no header can have them
            assert any(0xD800 <= ord(c) < 0xDC80 or 0xDCFF < ord(c) < 0xE000 for c in secret)
            return
    assert {len(digest) for digest in digests} == {DIGEST_BYTES}
    same_bytes = one.encode("utf-8", "surrogateescape") == other.encode("utf-8", "surrogateescape")
    assert (digests[0] == digests[1]) == same_bytes


def test_a_key_s_repr_shows_neither_secret_nor_digest() -> None:
    stored = key("a", "secret-a")
    for text in (repr(stored), str(stored), f"{[stored]}"):
        assert stored.digest.hex() not in text
        assert repr(stored.digest)[2:-1] not in text
        assert "'a'" in text


def test_the_scopes_are_the_contract_s() -> None:
    assert {"inference", "metrics", "admin:read", "admin:write"} == ALL_SCOPES


def test_nobody_in_particular_may_do_nothing() -> None:
    assert Principal(id="", scopes=frozenset()) == ANONYMOUS


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_a_secret_in_a_header_is_found_whatever_its_characters(secret: str) -> None:
    sent = b" " + secret.strip(" \t").encode() + b" "
    assert secret_in_header(sent) == secret.strip(" \t")


def test_bytes_that_are_no_text_are_no_key_and_no_exception() -> None:
    secret = secret_in_header(b"\xff\xfe" * 16)
    assert digest_secret(PEPPER, secret) != digest_secret(PEPPER, "secret-a")


def test_without_the_pepper_a_stolen_table_recognises_nothing() -> None:
    assert digest_secret(PEPPER, "secret-a") != digest_secret(b"q" * 32, "secret-a")
