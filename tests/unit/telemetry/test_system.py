"""The machine's figures: sampled by one, read by all, in the shape of the document that is the contract."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.telemetry import system
from rempart.telemetry.system import Gpu, SystemSample

sizes = st.integers(0, 2**50)
samples = st.builds(
    SystemSample,
    at_s=st.floats(0, 1e9),
    memory_total_bytes=sizes,
    memory_used_bytes=sizes,
    disk_total_bytes=sizes,
    disk_used_bytes=sizes,
    cpu_percent=st.floats(0, 100),
    gpus=st.lists(
        st.builds(
            Gpu, index=st.integers(0, 8), name=st.text(), memory_used_bytes=st.none() | sizes
        ),
        max_size=2,
    ),
    gpu_error=st.text(),
)


@given(samples)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, found: SystemSample
) -> None:
    folder = tmp_path_factory.getbasetemp()
    system.write(folder, found)
    assert system.read(folder) == found


def test_the_document_has_the_fields_and_units_of_the_contract() -> None:
    found = SystemSample(
        at_s=1.0,
        memory_total_bytes=32 * 10**9,
        memory_used_bytes=16 * 10**9,
        disk_total_bytes=100 * 10**9,
        disk_used_bytes=20 * 10**9,
        cpu_percent=25.04,
    )
    assert found.document() == {
        "memory": {"total_gb": 32.0, "used_gb": 16.0, "percent_used": 50.0},
        "disk": {"total_gb": 100.0, "used_gb": 20.0, "percent_used": 20.0},
        "cpu_percent": 25.0,
    }


def test_a_machine_that_tells_no_size_is_no_division_by_zero() -> None:
    found = SystemSample(
        at_s=1.0,
        memory_total_bytes=0,
        memory_used_bytes=0,
        disk_total_bytes=0,
        disk_used_bytes=0,
        cpu_percent=0.0,
    )
    assert found.document()["memory"]["percent_used"] == 0.0


def test_a_sample_is_of_this_machine(tmp_path: Path) -> None:
    found = system.sample(tmp_path, 12.5, [Gpu(index=0, name="x")], "a fault")
    assert found.at_s == 12.5
    assert 0 < found.memory_used_bytes < found.memory_total_bytes
    assert 0 < found.disk_used_bytes <= found.disk_total_bytes
    assert 0 <= found.cpu_percent <= 100
    assert [gpu.name for gpu in found.gpus] == ["x"]
    assert found.gpu_error == "a fault"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"at_s": "x"}', b"\xff"])
def test_before_the_first_sample_and_after_a_broken_one_there_is_none(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / system.FILE).write_bytes(content)
    assert system.read(tmp_path) is None


def test_a_reader_never_sees_half_a_sample(tmp_path: Path) -> None:
    small = system.sample(tmp_path, 1.0)
    large = system.sample(tmp_path, 2.0, [Gpu(index=n, name="x" * 2000) for n in range(50)])
    system.write(tmp_path, small)
    is_over = threading.Event()
    seen: list[SystemSample | None] = []

    def read() -> None:
        while not is_over.is_set():
            seen.append(system.read(tmp_path))

    reader = threading.Thread(target=read)
    reader.start()
    while len(seen) < 200:
        system.write(tmp_path, large)
        system.write(tmp_path, small)
    is_over.set()
    reader.join()
    assert all(found in (small, large) for found in seen)
    assert [path.name for path in tmp_path.iterdir()] == [system.FILE]
