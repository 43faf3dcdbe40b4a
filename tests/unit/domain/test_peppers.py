"""A ring of peppers: new digests under the newest, old ones recognised as long as theirs is there."""

import pytest

from rempart.domain.keys import digest_secret
from rempart.domain.peppers import Peppers, pepper_of

NEW, OLD = b"n" * 32, b"o" * 32


def test_new_digests_are_made_under_the_newest() -> None:
    peppers = Peppers.of([NEW, OLD])
    assert peppers.digest("secret") == (digest_secret(NEW, "secret"), pepper_of(NEW).id)
    assert peppers.newest.id == pepper_of(NEW).id


def test_each_is_found_by_its_id_and_a_digest_that_names_none_is_of_the_oldest() -> None:
    peppers = Peppers.of([NEW, OLD])
    assert peppers.key(pepper_of(NEW).id) == NEW
    assert peppers.key(pepper_of(OLD).id) == OLD
    assert peppers.key("") == OLD
    assert peppers.key("00000000") is None


def test_one_that_comes_twice_counts_once() -> None:
    assert len(Peppers.of([NEW, OLD, NEW]).ring) == 2


def test_there_is_always_one() -> None:
    with pytest.raises(ValueError, match="must be a pepper"):
        Peppers([])


def test_nothing_shows_a_pepper() -> None:
    peppers = Peppers.of([NEW])
    for text in (repr(peppers), str(peppers), repr(peppers.newest), f"{[peppers.ring]}"):
        assert "nnnn" not in text
        assert NEW.hex() not in text
        assert peppers.newest.id in text
