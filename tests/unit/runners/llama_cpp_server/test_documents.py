"""Inputs are asked for one by one, and the answers put together again."""

import json
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.documents import (
    embedding_calls,
    join_embeddings,
    join_rerank,
    rerank_calls,
)
from rempart.runners.llama_cpp_server.plan import PROMPTS_MAX
from rempart.runners.llama_cpp_server.refusals import Refused


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def inputs(value: Any) -> list[Any]:
    return [json.loads(call)["input"] for call in embedding_calls(body(input=value, x=1))]


def test_each_input_is_a_call_with_the_rest_of_the_request() -> None:
    assert inputs("a") == ["a"]
    assert inputs(["a", "b"]) == ["a", "b"]
    assert inputs([1, 2]) == [[1, 2]]
    assert inputs([[1], [2, 3]]) == [[1], [2, 3]]
    (call,) = embedding_calls(body(content="a", encoding_format="base64"))
    assert json.loads(call) == {"input": "a", "encoding_format": "base64"}


@pytest.mark.parametrize(
    "wrong",
    [None, "", [], [""], ["a", None], {"a": 1}, [True], ["a", 3], 7, ["a"] * (PROMPTS_MAX + 1)],
)
def test_an_input_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(Refused, match="input"):
        inputs(wrong)


def embedded(values: list[float], tokens: int) -> bytes:
    data = [{"embedding": values, "index": 0, "object": "embedding"}]
    return body(model="m", object="list", data=data, usage={"prompt_tokens": tokens})


def test_embeddings_are_numbered_and_their_tokens_added_up() -> None:
    answer, tokens = join_embeddings([embedded([1.5], 2), embedded([2.5], 3)])
    document = json.loads(answer)
    assert tokens == 5
    assert [(e["index"], e["embedding"]) for e in document["data"]] == [(0, [1.5]), (1, [2.5])]
    assert document["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert document["model"] == "m"


def test_a_single_embedding_goes_through_as_it_is() -> None:
    only = embedded([0.1], 4)
    assert join_embeddings([only]) == (only, 4)


@pytest.mark.parametrize("answer", [b"{", b"[]"])
def test_an_answer_that_cannot_be_read_is_a_failure(answer: bytes) -> None:
    with pytest.raises(Refused) as refused:
        join_embeddings([answer])
    assert refused.value.status == 500


def scored(score: float) -> bytes:
    results = [{"index": 0, "relevance_score": score}]
    return body(model="m", results=results, usage={"prompt_tokens": 2})


def test_documents_are_put_in_the_order_of_their_scores() -> None:
    request = body(query="q", documents=["x", {"text": "y"}, "z"], top_n=2, return_documents=True)
    assert [json.loads(call) for call in rerank_calls(request)] == [
        {"query": "q", "documents": [text]} for text in "xyz"
    ]
    answer, tokens = join_rerank(request, [scored(0.1), scored(0.9), scored(0.5)])
    document = json.loads(answer)
    assert tokens == document["usage"]["prompt_tokens"] == 6
    assert document["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "y"}},
        {"index": 2, "relevance_score": 0.5, "document": {"text": "z"}},
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"documents": []},
        {"documents": "x"},
        {"documents": [1]},
        {"documents": [{"a": 1}]},
        {"query": ""},
        {"query": 3},
        {"top_n": 0},
        {"top_n": True},
        {"top_n": "2"},
    ],
)
def test_a_request_to_rank_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        rerank_calls(body(**({"query": "q", "documents": ["x"]} | wrong)))
    assert refused.value.status == 400
