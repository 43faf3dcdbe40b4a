"""From a configuration to a loaded model that is known: its batch, its context, its abilities."""

import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rempart.base.clock import Clock
from rempart.domain.models import Facts
from rempart.runners import control_tokens
from rempart.runners.files.gguf_header import GgufError, read_header
from rempart.runners.llama_cpp_server import calibrate
from rempart.runners.llama_cpp_server.config import (
    CONTEXT_DEFAULT_MAX,
    RunnerConfig,
    default_threads,
)
from rempart.runners.llama_cpp_server.door import UNIX_PATH_BYTES_MAX, Door
from rempart.runners.llama_cpp_server.engine import (
    Engine,
    EngineLoadError,
    EngineRefused,
    has_gpu,
    library_version,
)
from rempart.runners.llama_cpp_server.load_failure import explain
from rempart.runners.llama_cpp_server.stderr_tee import stderr_kept

EMBEDDING_BATCH_MAX = 2048
"""An input is embedded in one batch or not at all, and a batch of so many tokens costs memory."""
BATCH_UNKNOWN = 64
"""Where nothing could be measured."""
DOOR_ENDING = ".door.sock"
"""Behind our own socket's path; by ``.sock`` the library knows that it is no host name."""


class LoadFailure(Exception):
    """The model cannot be served; the text says why and what to do."""


class Loaded(NamedTuple):
    """A model that can be served."""

    engine: Engine
    door: Door
    facts: Facts


def load(config: RunnerConfig, *, clock: Clock, report: Callable[[str], None]) -> Loaded:
    """Load the model, measuring its best batch where that is not known. Blocks for all of it.

    To be called while this process has one thread.

    Args:
        report: gets a line for people at each stage.

    Raises:
        LoadFailure: it cannot be served.
    """
    begun = clock.now()
    path = Path(config.model_path)
    header = _header(path)
    context = config.context or min(_trained_context(header), CONTEXT_DEFAULT_MAX)
    loader = _Loader(config, path, context, report)
    with stderr_kept() as printed:
        try:
            engine, choice = loader.load()
        except EngineLoadError as exc:
            failure: EngineLoadError | None = exc
        else:
            failure = None
    if failure is not None:
        reason = explain(printed(), model=path.name, context=context, raised=str(failure))
        raise LoadFailure(reason) from failure
    door = Door(engine.door_address, loader.door_key)
    facts = _facts(config, engine, door, choice, header)
    return Loaded(engine, door, msgspec.structs.replace(facts, load_s=clock.now() - begun))


class _Loader:
    def __init__(
        self, config: RunnerConfig, path: Path, context: int, report: Callable[[str], None]
    ) -> None:
        self._config = config
        self._path = path
        self._context = context
        self._report = report
        self._threads = config.threads or default_threads(os.cpu_count() or 1)
        self.door_key = secrets.token_urlsafe(32)

    def load(self) -> tuple[Engine, calibrate.Measured | None]:
        """The engine with the right batch, and how fast that is if it was measured."""
        self._report(f"loading {self._path.name} ({self._path.stat().st_size // 2**20} MiB)")
        config = self._config
        if config.embeds or config.reranks:
            per_slot = max(1, self._context // config.slots)
            return self._engine(config.batch or min(per_slot, EMBEDDING_BATCH_MAX)), None
        if config.batch is not None:
            return self._engine(max(config.batch, config.slots)), None
        return self._calibrated()

    def _calibrated(self) -> tuple[Engine, calibrate.Measured | None]:
        config, path = self._config, self._path
        folder = Path(config.calibration_dir) if config.calibration_dir else path.parent
        remembered = calibrate.Remembered(folder / f"{path.name}.calibration.json")
        name = calibrate.fingerprint(
            path, self._threads, config.slots, config.gpu_layers, config.loras, library_version()
        )
        choice = remembered.get(name)
        if choice is not None:
            return self._engine(choice.tokens), choice
        probe = calibrate.PROBE_BATCH_GPU if has_gpu() else calibrate.PROBE_BATCH_CPU
        engine = self._engine(max(probe, config.slots))
        self._report("measuring how fast prompts are read")
        choice = self._measured(engine)
        batch = choice.tokens if choice is not None else max(BATCH_UNKNOWN, config.slots)
        if choice is not None:
            remembered.put(name, choice)
        if batch != engine.batch:
            self._report(f"loading it again for batches of {batch} tokens")
            engine.close()
            engine = self._engine(batch)
        return engine, choice

    def _measured(self, engine: Engine) -> calibrate.Measured | None:
        slots = self._config.slots
        tokens_max = min(engine.batch, self._context // slots - 1)
        try:
            found = calibrate.measure(engine.batch_ms, slots=slots, tokens_max=tokens_max)
            return calibrate.choose(found)
        except (EngineRefused, ValueError, KeyError, msgspec.DecodeError):
            return None  # a model that cannot be asked like this (an encoder) is not measured

    def _engine(self, batch: int) -> Engine:
        return Engine(
            self._config,
            context=self._context,
            batch=batch,
            threads=self._threads,
            door=self._door(),
            door_key=self.door_key,
        )

    def _door(self) -> str:
        """Beside our own socket, if that is one, since that folder is private; else a port."""
        address = self._config.address
        if not address.startswith("unix:"):
            return ""
        door = address.removeprefix("unix:") + DOOR_ENDING
        if len(door.encode()) > UNIX_PATH_BYTES_MAX:
            return ""
        Path(door).unlink(missing_ok=True)
        return door


def _header(path: Path) -> dict[str, Any]:
    try:
        return dict(read_header(path, until=".context_length"))
    except FileNotFoundError as exc:
        raise LoadFailure(f"there is no file {path}. Check the model's 'source'.") from exc
    except OSError as exc:
        raise LoadFailure(f"{path} cannot be read: {exc.strerror}.") from exc
    except GgufError as exc:
        raise LoadFailure(f"{path.name} cannot be loaded: {exc}. Fetch the file again.") from exc


def _trained_context(header: dict[str, Any]) -> int:
    trained = header.get(f"{header.get('general.architecture', '')}.context_length")
    return trained if isinstance(trained, int) and trained > 0 else CONTEXT_DEFAULT_MAX


def _facts(
    config: RunnerConfig,
    engine: Engine,
    door: Door,
    choice: calibrate.Measured | None,
    header: dict[str, Any],
) -> Facts:
    _, data = door.ask("GET", "/props")
    properties = msgspec.json.decode(data)
    per_slot = int(properties["default_generation_settings"]["n_ctx"])
    more: dict[str, Any] = {
        "architecture": header.get("general.architecture"),
        "trained_context": _trained_context(header),
        "quantization": properties.get("model_ftype"),
        "library": library_version(),
    }
    if choice is not None:
        more["batch_ms"] = round(choice.ms, 1)
    if config.embeds or config.reranks:
        more["input_tokens_max"] = min(engine.batch, per_slot)
    return Facts(
        context_length=per_slot,
        control_strings=_control_strings(config, properties),
        supports_tools=bool(properties.get("chat_template_caps", {}).get("supports_tools")),
        embeds=config.embeds,
        reranks=config.reranks,
        memory_bytes=resident_bytes(),
        batch_tokens=engine.batch,
        prompt_tokens_per_s=round(choice.tokens_per_s, 1) if choice is not None else None,
        more=more,
    )


def _control_strings(config: RunnerConfig, properties: dict[str, Any]) -> list[str]:
    """None where the file cannot be understood: those of all known families are used then."""
    template = str(properties.get("chat_template", "")) or config.chat_template
    try:
        return control_tokens.of_gguf(Path(config.model_path), template)
    except (GgufError, OSError, struct.error):
        return []


def resident_bytes() -> int:
    """This process's resident memory."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
