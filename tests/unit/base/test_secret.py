"""A secret shows nowhere but where it is revealed."""

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from rempart.base.secret import MASK, Secret

TEXT = "hunter2-hunter2"


def test_only_reveal_gives_it_out() -> None:
    secret = Secret(TEXT)
    assert secret.reveal() == TEXT
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        "{}".format(secret),  # noqa: UP032 - another way to format
        "%s %r" % (secret, secret),  # noqa: UP031 - another way to format
        repr([secret]),
        repr({"key": secret}),
        json.dumps({"key": secret}, default=str),
        msgspec.json.encode({"key": secret}, enc_hook=str).decode(),
    ]
    for text in shown:
        assert TEXT not in text
        assert MASK in text


def test_a_traceback_does_not_show_it() -> None:
    with pytest.raises(ValueError, match=MASK.replace("*", r"\*")) as caught:
        raise ValueError(Secret(TEXT))
    assert TEXT not in "".join(traceback.format_exception(caught.value))


def test_it_does_not_leave_the_process_unseen() -> None:
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(Secret(TEXT))
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret(TEXT))
    with pytest.raises(TypeError):
        vars(Secret(TEXT))


def test_secrets_compare_and_hash_by_value() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT)}) == 1
    assert not Secret("")
    assert Secret("x")
