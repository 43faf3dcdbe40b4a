"""Models into the data folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.file_server import FileServer, file_server
from rempart.runners.files.download import DownloadError
from rempart.runners.files.pull import Puller

GGUF = b"GGUF" + b"x" * 5000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def puller(tmp_path: Path, server: FileServer | None = None, bytes_max: int = 10**6) -> Puller:
    return Puller(
        models_dir=tmp_path / "models",
        bytes_max=bytes_max,
        progress=lambda name: lambda done, total: None,
        report=lambda line: None,
        pause=lambda seconds: None,
        endpoint=server.url if server else "",
    )


def refusal(pulling: Puller, source: str, sha256: str = "") -> str:
    with pytest.raises(DownloadError) as caught:
        pulling.pull(source, sha256=sha256)
    visible = [
        path for path in pulling.models_dir.rglob("*") if path.is_file() and path.name[0] != "."
    ]
    assert visible == []
    return str(caught.value)


def test_an_address_becomes_a_file_of_its_name_going_on_where_it_broke(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/a/b/x%20y.gguf"] = server.files["/a/x-q4_0.gguf"] = GGUF
    server.cuts = [1000]
    path = puller(tmp_path).pull(f"{server.url}/a/x-q4_0.gguf?download=true")
    assert path == tmp_path / "models/x-q4_0.gguf"
    assert path.read_bytes() == GGUF
    assert server.requests[1][1]["range"] == "bytes=1000-"
    assert "its last part must be a file's name" in refusal(
        puller(tmp_path / "2"), f"{server.url}/a/b/x%20y.gguf"
    )


@pytest.mark.parametrize("path", ["/", "/..", "/.hidden", "/a%2Fb.gguf/..%2fx"])
def test_an_address_cannot_choose_a_place_outside(
    server: FileServer, tmp_path: Path, path: str
) -> None:
    assert "must be a file's name" in refusal(puller(tmp_path), server.url + path)


def test_a_web_page_instead_of_a_model_is_thrown_away(server: FileServer, tmp_path: Path) -> None:
    server.files["/x.gguf"] = b"<html>Log in first</html>"
    assert "perhaps a web page" in refusal(puller(tmp_path), f"{server.url}/x.gguf")


def test_a_hub_name_becomes_its_files_checked_by_the_hubs_digests(
    server: FileServer, tmp_path: Path
) -> None:
    name, digest = "Q4/n-Q4_0.gguf", hashlib.sha256(GGUF).hexdigest()
    server.listings["o/n"] = {
        "sha": "r",
        "siblings": [{"rfilename": name, "lfs": {"sha256": digest, "size": len(GGUF)}}],
    }
    server.files[f"/o/n/resolve/r/{name}"] = GGUF
    path = puller(tmp_path, server).pull("o/n:Q4_0")
    assert path == tmp_path / "models/o/n/n-Q4_0.gguf"
    before = len(server.requests)
    assert puller(tmp_path, server).pull("o/n:Q4_0") == path
    assert len(server.requests) == before + 1  # the listing only: the file is there already
    server.files[f"/o/n/resolve/r/{name}"] = GGUF[:-1] + b"!"
    assert "its SHA-256 is" in refusal(puller(tmp_path / "2", server), "o/n:Q4_0")


def test_the_quantization_that_was_asked_for_is_fetched(server: FileServer, tmp_path: Path) -> None:
    names = ["n-Q4_K_M.gguf", "n-Q8_0.gguf"]
    server.listings["o/n"] = {"sha": "r", "siblings": [{"rfilename": name} for name in names]}
    for name in names:
        server.files[f"/o/n/resolve/r/{name}"] = GGUF
    assert puller(tmp_path, server).pull("o/n:Q8_0").name == "n-Q8_0.gguf"
    assert puller(tmp_path, server).pull("o/n").name == "n-Q4_K_M.gguf"


def test_a_checkpoint_is_complete_once_its_config_is_there(
    server: FileServer, tmp_path: Path
) -> None:
    names = ["config.json", "model.safetensors", "tokenizer.json"]
    server.listings["o/hf"] = {
        "sha": "r",
        "siblings": [{"rfilename": name, "size": 2} for name in names],
    }
    for name in names[:2]:
        server.files[f"/o/hf/resolve/r/{name}"] = b"{}"
    with pytest.raises(DownloadError):
        puller(tmp_path, server).pull("o/hf")
    folder = tmp_path / "models/o/hf"
    assert not (folder / "config.json").exists()
    server.files["/o/hf/resolve/r/tokenizer.json"] = b"{}"
    assert puller(tmp_path, server).pull("o/hf") == folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    with pytest.raises(DownloadError, match="--sha256 is for one"):
        puller(tmp_path, server).pull("o/hf", sha256="0" * 64)


def test_a_file_is_copied_and_checked(tmp_path: Path) -> None:
    source = tmp_path / "x.gguf"
    source.write_bytes(GGUF)
    digest = hashlib.sha256(GGUF).hexdigest()
    path = puller(tmp_path).pull(str(source), sha256=digest)
    assert (path, path.read_bytes()) == (tmp_path / "models/x.gguf", GGUF)
    assert puller(tmp_path).pull(str(path)) == path
    assert "its SHA-256 is" in refusal(puller(tmp_path / "2"), str(source), "0" * 64)
    assert "larger than the bound" in refusal(puller(tmp_path / "3", bytes_max=10), str(source))
    source.write_bytes(b"no model")
    assert "is not a GGUF file" in refusal(puller(tmp_path / "4"), str(source))


def test_the_demo_model_can_be_pulled_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rempart.runners.files.pull.ensure_demo_model", lambda folder, report: folder / "demo.gguf"
    )
    assert puller(tmp_path).pull("demo") == tmp_path / "models/demo.gguf"


def test_what_is_nothing_known_is_told(tmp_path: Path) -> None:
    assert "Name a file, an http(s) address, or a hub name" in refusal(
        puller(tmp_path), "gone.gguf"
    )
    (tmp_path / "file").write_text("")
    pulling = puller(tmp_path / "file")
    with pytest.raises(DownloadError, match="cannot be written"):
        pulling.pull("gone.gguf")
