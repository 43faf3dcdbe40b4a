"""``DATA/run/serve.json``: what ``serve`` was asked for, so that a reload can resolve it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rempart.cli.certificates import check_certificate
from rempart.cli.configuration import resolved
from rempart.cli.failure import CommandFailed

if TYPE_CHECKING:
    from rempart.settings.model import Settings


@dataclass(frozen=True)
class Asked:
    """The arguments of ``serve``, as given.

    Args:
        config: the file; empty for rempart.toml where there is one.
        options: setting → (option as typed, value).
        folder: where it was started; relative paths begin there.
    """

    model: str
    config: str
    options: Mapping[str, tuple[str, Any]]
    folder: str

    def resolve(self, *, with_files: bool) -> "Settings":
        """The configuration that these arguments come to at this moment.

        Raises:
            CommandFailed: it has errors.
        """
        settings = resolved(
            Path(self.config) if self.config else None,
            self.options,
            model=self.model,
            with_files=with_files,
            folder=Path(self.folder),
        )
        if with_files:
            check_certificate(settings)
        return settings

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2)


def read_again(file: Path) -> Asked:
    """What ``serve`` was asked for.

    Raises:
        CommandFailed: ``file`` is none of ours.
    """
    try:
        values = json.loads(file.read_text())
        return Asked(
            model=values["model"],
            config=values["config"],
            options={name: (typed, value) for name, (typed, value) in values["options"].items()},
            folder=values["folder"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(f"{file} is not what `rempart serve` writes: {error}.") from error


def resolve_again(file: Path) -> "Settings":
    """The configuration of a running server as its file and environment are now.

    Raises:
        CommandFailed: it has errors, or ``file`` is none of ours.
    """
    return read_again(file).resolve(with_files=True)
