"""A text in pieces is the whole text masked; nothing of a finding leaves before it is decided."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.guard_texts import PEM, github_token, pieces, samples, texts
from rempart.gateway.guard.detectors.personal_data import personal_data
from rempart.gateway.guard.detectors.secrets import secrets
from rempart.gateway.guard.lane import Lane, mask_text

MATCHERS = secrets().matchers + personal_data(frozenset()).matchers
NO_CAP = 10**6


def lane(held_max: int = NO_CAP, *, is_json: bool = False) -> Lane:
    return Lane(MATCHERS, held_max, lambda kind: None, is_json=is_json)


def masked(text: str, *, is_json: bool = False) -> str:
    return mask_text(MATCHERS, text, lambda kind: None, is_json=is_json)


def assert_same(text: str, parts: list[str], *, is_json: bool = False) -> None:
    whole = masked(text, is_json=is_json)
    one = lane(is_json=is_json)
    sent = ""
    for part in parts:
        sent += one.feed(part)
        assert whole.startswith(sent)  # nothing has gone out that should have been masked
    assert sent + one.feed("", is_final=True) == whole
    assert one.released_count == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_cut_gives_the_whole_text_masked(data: st.DataObject) -> None:
    text = data.draw(texts())
    assert_same(text, pieces(data.draw, text))


@settings(max_examples=100, deadline=None)
@given(texts(), st.booleans())
def test_character_by_character_gives_the_whole_text_masked(text: str, is_json: bool) -> None:
    assert_same(text, list(text), is_json=is_json)


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in samples(random.Random(1))}))
def test_no_character_of_a_finding_leaves(kind: str) -> None:
    rng = random.Random(2)
    for found, text in samples(rng):
        if found == kind:
            one = lane()
            out = "".join([one.feed(character) for character in f"a {text} b"])
            assert out + one.feed("", is_final=True) == f"a [{kind.upper()}] b"


def test_only_what_can_still_become_a_finding_is_held() -> None:
    one = lane()
    assert one.feed("Bonjour, ") == "Bonjour, "
    assert one.feed("mon") == ""  # mon@…
    assert one.feed(" numéro est 06 12") == "mon numéro est "
    assert one.feed(" 34, ") == "06 12 34, "
    assert not one.is_holding


def test_a_private_key_is_masked_at_its_first_line_and_never_held() -> None:
    one = lane(held_max=64)
    out = one.feed(PEM[:60])
    for at in range(60, len(PEM), 7):
        out += one.feed(PEM[at : at + 7])
    assert out + one.feed(" fin", is_final=True) == "[PRIVATE_KEY] fin"
    assert one.released_count == 0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_cap_holds_and_the_rest_of_a_finding_is_masked_still(data: st.DataObject) -> None:
    text = data.draw(texts())
    held_max = data.draw(st.integers(16, 40))
    one = lane(held_max)
    fed = sent = ""
    for part in pieces(data.draw, text):
        fed += part
        sent += one.feed(part)
        assert len(one._raw) - one._sent <= held_max or one._tail is not None
    sent += one.feed("", is_final=True)
    if not one.released_count:
        assert sent == masked(text)


def test_at_the_cap_the_oldest_characters_go_and_the_rest_is_masked() -> None:
    one = lane(held_max=16)
    out = one.feed("jean.dupont.de.la.tour")
    assert out == "jean.d"
    assert one.feed("@exemple.fr ") == "[EMAIL] "
    assert one.released_count == 1


def test_json_stays_json_whatever_is_masked_in_it() -> None:
    rng = random.Random(3)
    token = github_token(rng)
    document = {
        "to": "a\njean@x.fr",
        "n": 4111111111111111,
        "deep": [{token: 'say "hi" to b@c.fr\\'}],
    }
    for ascii_only in (True, False):
        text = json.dumps(document, ensure_ascii=ascii_only)
        expected = {
            "to": "a\n[EMAIL]",
            "n": "[CARD]",
            "deep": [{"[GITHUB_TOKEN]": 'say "hi" to [EMAIL]\\'}],
        }
        assert json.loads(masked(text, is_json=True)) == expected
        assert_same(text, list(text), is_json=True)


json_values = st.recursive(
    st.none() | st.integers(0, 10**20) | st.text(max_size=12) | texts(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_json_stays_json(data: st.DataObject) -> None:
    text = json.dumps(data.draw(json_values), ensure_ascii=data.draw(st.booleans()))
    json.loads(masked(text, is_json=True))
    assert_same(text, pieces(data.draw, text), is_json=True)


def test_time_lets_words_go_and_holds_what_looks_like_something() -> None:
    one = lane()
    assert one.feed("bonjour") == ""
    assert one.release_weak() == "bonjour"
    assert one.release_weak() == ""
    assert one.feed("@exemple.fr ") == "[EMAIL] "  # the rest of it is masked still
    assert one.feed("ghp_abc") == ""
    assert one.release_weak() == ""
    assert one.feed(" 4970 1012 34") == "ghp_abc "
    assert one.release_weak() == ""
    assert one.feed("", is_final=True) == "4970 1012 34"


def test_an_unfinished_escape_is_never_cut() -> None:
    one = lane()
    assert one.feed("a \\u00") == "a "
    assert one.release_weak() == ""
    assert one.feed("e9 ") == "\\u00e9 "


def test_since_when_text_is_held_is_known() -> None:
    one = lane()
    one.feed("jean", now_s=5.0)
    one.feed("ne", now_s=6.0)
    assert (one.is_holding, one.held_since_s) == (True, 5.0)
    one.feed(" et paul", now_s=7.0)
    assert one.held_since_s == 7.0
