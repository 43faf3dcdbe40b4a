"""Which files a hub name stands for."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.file_server import FileServer, file_server
from rempart.runners.files.download import DownloadError
from rempart.runners.files.hub import HubFile, choose, list_files, read_json


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def files(*paths: str) -> list[HubFile]:
    return [HubFile(path=path, url="", size_bytes=1, sha256="") for path in paths]


def chosen(quant: str, *paths: str) -> list[str]:
    return [file.path for file in choose("o/n", quant, files(*paths))]


def refusal(quant: str, *paths: str) -> str:
    with pytest.raises(DownloadError) as caught:
        choose("o/n", quant, files(*paths))
    return str(caught.value)


def test_a_listing_has_addresses_sizes_and_digests() -> None:
    asked = []

    def read(url: str) -> Any:
        asked.append(url)
        return {
            "sha": "abc",
            "siblings": [
                {"rfilename": "a b.gguf", "size": 5, "lfs": {"sha256": "d1", "size": 7}},
                {"rfilename": "README.md", "size": 3},
                {"rfilename": "../../etc/passwd"},
                {"rfilename": "/etc/passwd"},
                {"rfilename": "x\\..\\y"},
            ],
        }

    found = list_files("o/n", "http://hub/", read)
    assert asked == ["http://hub/api/models/o/n?blobs=true"]
    assert found == [
        HubFile(
            path="a b.gguf", url="http://hub/o/n/resolve/abc/a%20b.gguf", size_bytes=7, sha256="d1"
        ),
        HubFile(
            path="README.md", url="http://hub/o/n/resolve/abc/README.md", size_bytes=3, sha256=""
        ),
    ]


@pytest.mark.parametrize("answer", [None, [], {}, {"siblings": [1]}, {"siblings": [{}]}])
def test_an_answer_of_another_shape_is_told(answer: Any) -> None:
    with pytest.raises(DownloadError, match="did not list the files of o/n"):
        list_files("o/n", "http://hub", lambda url: answer)


def test_the_quantization_asked_for_is_taken_as_a_word() -> None:
    names = ("n-Q4_K.gguf", "n-Q4_K_M.gguf", "n.q8_0.gguf", "mmproj-n-Q8_0.gguf")
    assert chosen("Q4_K", *names) == ["n-Q4_K.gguf"]
    assert chosen("q4_k_m", *names) == ["n-Q4_K_M.gguf"]
    assert chosen("Q8_0", *names) == ["n.q8_0.gguf"]
    assert "no GGUF file of the quantization Q2_K: n-Q4_K.gguf" in refusal("Q2_K", *names)


def test_without_one_the_usual_one_or_the_only_one_is_taken() -> None:
    assert chosen("", "n-Q8_0.gguf", "n-Q4_K_M.gguf") == ["n-Q4_K_M.gguf"]
    assert chosen("", "odd.gguf", "README.md") == ["odd.gguf"]
    assert "has several GGUF files: a.gguf, b.gguf. Ask for one" in refusal("", "a.gguf", "b.gguf")


def test_all_parts_of_a_model_belong_together() -> None:
    parts = ["Q8_0/n-Q8_0-00001-of-00002.gguf", "Q8_0/n-Q8_0-00002-of-00002.gguf"]
    assert chosen("Q8_0", *parts, "n-Q4_0.gguf") == parts
    assert chosen("", *(part.replace("Q8_0", "F16") for part in parts)) == [
        part.replace("Q8_0", "F16") for part in parts
    ]
    assert "several files that fit" in refusal("Q8_0", "a-Q8_0.gguf", "b-Q8_0.gguf")


def test_a_checkpoint_is_taken_without_pickles_and_code_and_its_config_comes_last() -> None:
    names = (
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "run.py",
        "tokenizer.json",
        "sub/x.json",
        "t.model",
    )
    assert chosen("", *names) == ["model.safetensors", "tokenizer.json", "t.model", "config.json"]
    assert "has neither a GGUF file nor config.json with safetensors" in refusal(
        "", "config.json", "pytorch_model.bin"
    )
    assert "has no GGUF files. Leave out :Q4_0" in refusal("Q4_0", *names)


def test_a_document_is_read_with_the_token(server: FileServer) -> None:
    server.listings["o/n"] = {"a": 1}
    assert read_json(f"{server.url}/api/models/o/n", "t0ken") == {"a": 1}
    assert server.requests[0][1]["authorization"] == "Bearer t0ken"


def test_what_cannot_be_read_says_why(server: FileServer) -> None:
    server.files["/x"] = b"<html>"
    for path, text in (("/none", "answered 404. Check the name"), ("/x", "could not be read")):
        with pytest.raises(DownloadError, match=text):
            read_json(server.url + path)
    server.statuses = [500]
    with pytest.raises(DownloadError, match=r"answered 500. Try later"):
        read_json(server.url + "/x")
    with pytest.raises(DownloadError, match="must begin with http"):
        read_json("file:///etc/passwd")
