"""What one start of the runner is told: a JSON file that is read once and removed."""

import os
from pathlib import Path
from typing import Literal

import msgspec

Pooling = Literal["mean", "cls", "last", "rank", "none"]
Speculative = Literal["off", "ngram"]


class RunnerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One start of the runner. The key does not show in ``repr``.

    Args:
        model_path: the GGUF file; of a split model its first part.
        alias: the model's name in answers.
        address: ``unix:/path`` or ``host:port`` (port 0: a free one, told in the ready event).
        api_key: random for each start; every route but ``/health`` wants it as a bearer token.
        context: tokens of all slots together; 0: the model's own, at most ``CONTEXT_DEFAULT_MAX``.
        slots: requests at a time.
        threads: CPU threads; None: one less than there are cores.
        gpu_layers: layers on the GPU; None: all that fit.
        batch: prompt tokens per batch; None: measured at load.
        prompt_cache_mib: host memory for old prompts, 0 for none.
        loras: adapter files, each applied at full strength.
        chat_template: Jinja text that replaces the model's own template; empty: the model's.
        embeddings: serve ``/v1/embeddings`` (with ``pooling`` rank: ``/v1/rerank``).
        draft: GGUF file of a draft model for speculative decoding; empty: none.
        status_fd: descriptor that status events are written to; None: none are.
        calibration_dir: where measured batch sizes are kept; empty: beside the model.
    """

    model_path: str
    alias: str
    address: str
    api_key: str
    context: int = 0
    slots: int = 1
    threads: int | None = None
    gpu_layers: int | None = None
    batch: int | None = None
    prompt_cache_mib: int = 0
    loras: list[str] = []
    chat_template: str = ""
    embeddings: bool = False
    pooling: Pooling = "mean"
    speculative: Speculative = "off"
    draft: str = ""
    status_fd: int | None = None
    calibration_dir: str = ""

    def __post_init__(self) -> None:
        # `compare_digest("", "")` holds: without a key the door would stand open.
        if len(self.api_key) < KEY_CHARACTERS_MIN or not self.api_key.isascii():
            raise ValueError(f"api_key must have {KEY_CHARACTERS_MIN} or more ASCII characters")
        if self.slots < 1:
            raise ValueError("slots must be 1 or more")
        if self.context < 0:
            raise ValueError("context must be 0 or more")
        if self.batch is not None and self.batch < 1:
            raise ValueError("batch must be 1 or more")

    def __repr__(self) -> str:
        return f"RunnerConfig(model_path={self.model_path!r}, address={self.address!r})"

    @property
    def embeds(self) -> bool:
        """Whether ``/v1/embeddings`` works."""
        return self.embeddings and self.pooling != "rank"

    @property
    def reranks(self) -> bool:
        """Whether ``/v1/rerank`` works."""
        return self.pooling == "rank"


KEY_CHARACTERS_MIN = 16
CONTEXT_DEFAULT_MAX = 8192
"""Most models are trained on far more than a machine has memory for."""
CONFIG_BYTES_MAX = 4 * 1024 * 1024


class ConfigError(Exception):
    """The file is not there or not what it should be; the text says which."""


def take_config(path: Path) -> RunnerConfig:
    """The configuration in ``path``; the file is removed, since the key is in it.

    Raises:
        ConfigError: it cannot be read or does not hold a configuration. It is removed all the same.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path} may be read by others; its mode must be 0600")
            data = file.read(CONFIG_BYTES_MAX)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    finally:
        path.unlink(missing_ok=True)
    try:
        return msgspec.json.decode(data, type=RunnerConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} does not hold a runner's configuration: {exc}") from exc


def default_threads(cores_count: int) -> int:
    """Threads where none are set: a core is left to everybody else."""
    return max(1, cores_count - 1)
