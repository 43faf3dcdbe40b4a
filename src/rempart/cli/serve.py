"""``rempart serve``: resolve the configuration, prepare the data folder, become main by exec.

The process id stays, so that a service manager, a container or a shell still watches the right
process; and main carries none of what resolving needed (pydantic, Typer).
"""

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rempart.cli.configuration import option
from rempart.cli.failure import CommandFailed
from rempart.cli.options import Config
from rempart.cli.output import say
from rempart.cli.serve_file import Asked

if TYPE_CHECKING:
    from rempart.settings.model import Settings

ADMIN_KEY = "REMPART_ADMIN_KEY"


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="GGUF file, Hugging Face folder, hub name, configured name, or demo.",
        ),
    ] = "",
    config: Config = None,
    host: Annotated[str | None, typer.Option("--host", help="Address of the data plane.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of the data plane.")] = None,
    control_port: Annotated[
        int | None, typer.Option("--control-port", help="Port of the control API.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="FOLDER", help="Data folder.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Gateway processes.")] = None,
) -> None:
    """Serve models: the one named here, and those of the configuration."""
    options = (
        option("server.host", "--host", host)
        | option("server.port", "--port", port)
        | option("server.control_port", "--control-port", control_port)
        | option("data_dir", "--data-dir", data_dir)
        | option("server.workers", "--workers", workers)
    )
    asked = Asked(model=model, config=str(config or ""), options=options, folder=str(Path.cwd()))
    run_dir = prepare(asked)
    become_main(run_dir)


def prepare(asked: Asked) -> Path:
    """Everything that main finds in the data folder; the folder to give it.

    Models that can be fetched are fetched first: the demo model, and the hub name being served.

    Raises:
        CommandFailed: the configuration has errors, or the folder cannot be used.
    """
    from rempart.settings.resolved import dump
    from rempart.settings.source import DEMO
    from rempart.state.private_files import write_private

    take_admin_key_file()
    settings = Asked("", asked.config, asked.options, asked.folder).resolve(with_files=False)
    data_dir = Path(settings.data_dir)
    make_data_folder(data_dir)
    lock = take_lock(data_dir)
    try:
        if asked.model and asked.model not in {model.name for model in settings.models}:
            fetch_hub_model(asked, settings)
        settings = asked.resolve(with_files=True)
        if not settings.models:
            raise CommandFailed(
                "there is nothing to serve. Name a model (rempart serve demo), or write [[models]] "
                "into rempart.toml (rempart init).",
                exit_code=2,
            )
        if any(model.source == DEMO for model in settings.models):
            fetch_demo_model(data_dir)
        run_dir = data_dir / "run"
        write_private(run_dir / "settings.json", dump(settings).decode())
        write_private(run_dir / "serve.json", asked.written())
    finally:
        # Main takes it again at once; it is held here so that nothing is written into the folder
        # of a running server.
        os.close(lock)
    return run_dir


def become_main(run_dir: Path, execute: Callable[[str, list[str]], object] = os.execv) -> None:
    """Replace this process by main.

    ``-P`` keeps the folder where it was started out of the module path: a file called queue.py
    there must not be taken for Python's own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    execute(sys.executable, [sys.executable, "-P", "-m", "rempart.processes.main", str(run_dir)])


def take_admin_key_file() -> None:
    """``REMPART_ADMIN_KEY_FILE`` → ``REMPART_ADMIN_KEY``, which main reads.

    Raises:
        CommandFailed: the file cannot be read, or both are set.
    """
    path = os.environ.get(f"{ADMIN_KEY}_FILE")
    if not path:
        return
    if os.environ.get(ADMIN_KEY):
        raise CommandFailed(f"{ADMIN_KEY} and {ADMIN_KEY}_FILE must not both be set. Unset one.")
    try:
        os.environ[ADMIN_KEY] = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandFailed(
            f'{ADMIN_KEY}_FILE must name a readable file with the key in it, found "{path}": {reason}.'
        ) from error


def make_data_folder(data_dir: Path) -> None:
    """The data folder and those in it, for this user alone.

    Raises:
        CommandFailed: it cannot be made or used.
    """
    from rempart.settings.rules import SOCKET_PATH_BYTES_MAX

    socket_path = str(data_dir / "control.sock")
    if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES_MAX:
        raise CommandFailed(
            f"the data folder's path is too long: {socket_path} must have at most "
            f"{SOCKET_PATH_BYTES_MAX} bytes (the system's bound for sockets), found "
            f"{len(os.fsencode(socket_path))}. Choose a shorter --data-dir."
        )
    try:
        for folder in (data_dir, data_dir / "run", data_dir / "models"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if data_dir.stat().st_uid == os.geteuid():
            data_dir.chmod(0o700)
    except OSError as error:
        raise CommandFailed(
            f"the data folder {data_dir} cannot be used: {error.strerror}. Choose another --data-dir, "
            "or make it writable for this user."
        ) from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise CommandFailed(
            f"the data folder {data_dir} is not writable for this user. Choose another --data-dir."
        )


def take_lock(data_dir: Path) -> int:
    """The descriptor that holds ``DATA/lock``.

    Raises:
        CommandFailed: a running server holds it.
    """
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CommandFailed(
            f"another server uses the data folder {data_dir}. Stop it, or give this one another "
            "--data-dir."
        ) from error
    return descriptor


def fetch_demo_model(data_dir: Path) -> None:
    """The demo model into ``DATA/models``, with a word now and then while it takes time.

    Raises:
        CommandFailed: it cannot be fetched.
    """
    from rempart.runners.files.demo_model import DemoModelError, ensure_demo_model

    try:
        ensure_demo_model(data_dir / "models", say)
    except DemoModelError as error:
        raise CommandFailed(str(error)) from error


def fetch_hub_model(asked: Asked, settings: "Settings") -> None:
    """Pull what ``serve`` was asked for when it is a hub name that is not here yet.

    Raises:
        CommandFailed: it cannot be fetched.
    """
    from rempart.cli.pull import pull
    from rempart.settings.source import find, is_hub_name

    data_dir = Path(settings.data_dir)
    if is_hub_name(asked.model) and find(asked.model, Path(asked.folder), data_dir) is None:
        pull(asked.model, data_dir)
