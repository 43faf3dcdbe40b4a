"""Smuggling and malformed requests: each has its verdict, and no cut of the bytes changes it."""

import asyncio

import pytest

from lab.http1_corpus import CORPUS, GET, GOT, Item, Seen
from lab.http1_pipe import play

pytestmark = pytest.mark.requirement("smuggling")

RUBBISH = [
    b"\0\xff\r\n\r\n" * 50,
    GET.replace(b"GET /", b"GET /behind") + b"\r\n",
    b"GET /" + b"a" * 70_000,
]
LONGEST_BYTE_BY_BYTE = 40_000


def corpus(*, refused: bool | None = None) -> pytest.MarkDecorator:
    """Parametrises a test with the items, all or only those that are (not) refused."""
    items = {
        name: item
        for name, item in CORPUS.items()
        if refused is None or (item.refused is not None) == refused
    }
    return pytest.mark.parametrize("item", items.values(), ids=items.keys())


@corpus()
def test_each_item_gets_its_verdict(item: Item) -> None:
    """Requests reach the handler, or a rule is named; a refusal ends the connection."""
    outcome = asyncio.run(play([item.data]))
    assert outcome.seen == list(item.seen)
    assert outcome.refused == ([item.refused] if item.refused else [])
    assert outcome.is_ended == item.closes
    if item.refused is not None:
        last_answer = outcome.written[
            outcome.written.rindex(b"HTTP/1.1 %d" % item.refused.status) :
        ]
        assert last_answer.endswith(item.refused.reason.encode())
        assert b"\r\nconnection: close\r\n" in last_answer


@corpus()
def test_byte_by_byte_gives_the_same(item: Item) -> None:
    """What is decided, and what is answered, does not depend on how reads cut the bytes."""
    data = item.data[:LONGEST_BYTE_BY_BYTE]
    whole = asyncio.run(play([data]))
    assert asyncio.run(play([bytes([byte]) for byte in data])) == whole


@corpus(refused=True)
@pytest.mark.parametrize("rubbish", RUBBISH, ids=["noise", "request", "endless"])
def test_rubbish_behind_a_refusal_changes_nothing(item: Item, rubbish: bytes) -> None:
    """What stands behind a refused request is never judged, let alone served."""
    alone = asyncio.run(play([item.data]))
    assert asyncio.run(play([item.data + rubbish])) == alone
    assert asyncio.run(play([item.data, rubbish])) == alone


@corpus(refused=False)
def test_a_request_behind_a_good_one_is_served_unless_it_was_the_last(item: Item) -> None:
    """The place where a request ends is known exactly, whole or byte by byte."""
    behind = [] if item.closes else [Seen("GET", "/behind")]
    data = item.data + b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"
    assert asyncio.run(play([data])).seen == [*item.seen, *behind]
    assert asyncio.run(play([bytes([byte]) for byte in data])).seen == [*item.seen, *behind]


@corpus(refused=False)
def test_noise_behind_a_good_request_does_not_reach_into_it(item: Item) -> None:
    """The request is answered as if nothing followed; then the noise is refused."""
    alone = asyncio.run(play([item.data]))
    noisy = asyncio.run(play([item.data + b"\0\xff\r\n\r\n"]))
    assert noisy.seen == alone.seen
    assert noisy.written.startswith(alone.written)
    assert len(noisy.refused) == (0 if item.closes else 1)


def test_the_corpus_has_both_kinds() -> None:
    assert sum(item.refused is None for item in CORPUS.values()) > 40
    assert sum(item.refused is not None for item in CORPUS.values()) > 120
    assert GOT in CORPUS["request line: plain"].seen
