"""The files of the checkpoints: their form, who may read them, and what is wrong with them."""

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lab.registry import DictStore
from rempart.base.clock import SystemClock
from rempart.state.durable import checkpoints as module
from rempart.state.durable.checkpoints import AuditLogChanged, Checkpoint, Checkpoints
from rempart.state.durable.interface import Act

ACT = Act(actor="x", address="", action="a", target="key:a")


def signed(folder: Path, count: int = 1) -> DictStore:
    """A log of so many entries, each of them signed."""
    store = DictStore()

    async def scenario() -> None:
        checkpoints = Checkpoints(folder, SystemClock())
        for _ in range(count):
            await store.append(ACT)
            assert await checkpoints.advance(store, is_last=True)

    asyncio.run(scenario())
    return store


def read(folder: Path) -> list[Checkpoint]:
    return asyncio.run(Checkpoints(folder, SystemClock()).read())


def test_a_checkpoint_has_the_form_that_others_can_check(tmp_path: Path) -> None:
    store = signed(tmp_path)
    content = (tmp_path / "audit.checkpoints").read_text()
    origin, entries, head, empty, signature, *rest = content.split("\n")
    assert (entries, empty, rest) == ("1", "", ["", ""])
    assert base64.b64decode(head) == store.entries[0].hash
    dash, name, text = signature.split(" ")
    assert (dash, name) == ("\u2014", origin)
    key = load_pem_private_key((tmp_path / "audit.key").read_bytes(), None).public_key()
    public = key.public_bytes_raw()  # type: ignore[union-attr]
    raw = base64.b64decode(text)
    assert raw[:4] == hashlib.sha256(origin.encode() + b"\n\x01" + public).digest()[:4]
    key.verify(raw[4:], f"{origin}\n{entries}\n{head}\n".encode())  # type: ignore
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_there_is_nothing_before_the_first_entry(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    checkpoints = Checkpoints(tmp_path, SystemClock())
    assert asyncio.run(checkpoints.advance(DictStore(), is_last=True)) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_was_changed_is_found(tmp_path: Path) -> None:
    signed(tmp_path, 2)
    path = tmp_path / "audit.checkpoints"
    path.write_text(path.read_text().replace("\n2\n", "\n3\n"))
    with pytest.raises(AuditLogChanged, match="checkpoint 2 "):
        read(tmp_path)


@pytest.mark.parametrize("name", ["audit.key", "audit.checkpoints"])
def test_a_missing_file_is_named_and_nothing_is_begun_anew(tmp_path: Path, name: str) -> None:
    store = signed(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(AuditLogChanged, match=f"{name} is missing"):
        read(tmp_path)
    with pytest.raises(AuditLogChanged, match=f"{name} is missing"):
        asyncio.run(Checkpoints(tmp_path, SystemClock()).advance(store, is_last=True))
    assert not (tmp_path / name).exists()


def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    signed(tmp_path)
    (tmp_path / "audit.key").write_text("x")
    with pytest.raises(AuditLogChanged, match=r"audit\.key cannot be used"):
        read(tmp_path)


def test_a_torn_end_is_taken_away_by_the_next_checkpoint(tmp_path: Path) -> None:
    store = signed(tmp_path, 2)
    path = tmp_path / "audit.checkpoints"
    path.write_bytes(path.read_bytes()[:-20])
    assert [found.entries for found in read(tmp_path)] == [1]
    assert asyncio.run(Checkpoints(tmp_path, SystemClock()).advance(store, is_last=True))
    assert [found.entries for found in read(tmp_path)] == [1, 2]


def test_the_file_is_kept_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 500)
    monkeypatch.setattr(module, "KEPT", 2)
    signed(tmp_path, 9)
    found = read(tmp_path)
    assert len(found) <= 5
    assert found[-1].entries == 9
