"""A place for a start, for tests of runner kinds that start nothing."""

from pathlib import Path

from rempart.runners.kinds.interface import Place


def place(folder: Path, port: int = 8123) -> Place:
    return Place(
        name="m-1",
        run_dir=folder / "run",
        data_dir=folder / "data",
        key="the-key-of-this-start",
        free_port=lambda: port,
    )
