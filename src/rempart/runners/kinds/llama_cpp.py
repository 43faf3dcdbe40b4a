"""Our own small server around llama.cpp: one GGUF model on a Unix socket behind a random key."""

import contextlib
import sys
from pathlib import Path

import msgspec

from rempart.domain.models import Abilities, HangUp, Replica
from rempart.runners.files.source import SourceError, resolve_source
from rempart.runners.kinds.interface import Launch, LaunchError, Place
from rempart.runners.llama_cpp_server.config import RunnerConfig
from rempart.runners.shim import STATUS_FD
from rempart.settings.model import Model

STOPS = HangUp(decode=True, prefill=True)
"""Decoding stops at the next token, reading a prompt after at most two batches; the runner says so."""

SAMPLING_FIELDS = frozenset(
    {
        *("top_k", "min_p", "typical_p", "top_n_sigma", "repeat_penalty", "repeat_last_n"),
        *("xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent"),
        *("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"),
        *("dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "samplers"),
        *("ignore_eos", "grammar", "json_schema", "min_keep", "t_max_predict_ms"),
    }
)
TEMPLATE_FIELDS = frozenset(
    {"chat_template_kwargs", "reasoning_format", "add_generation_prompt", "parse_tool_calls"}
)


class LlamaCpp:
    """See ``RunnerKind``."""

    name = "llama_cpp"
    slots_default: int | None = 4

    def abilities(self, model: Model) -> Abilities:
        """What its server serves depends on how it is started."""
        endpoints = {"/v1/chat/completions": STOPS, "/v1/completions": STOPS}
        if model.pooling == "rank":
            endpoints = {"/v1/rerank": STOPS}
        elif model.embeddings:
            endpoints["/v1/embeddings"] = STOPS
        return Abilities(
            endpoints=endpoints,
            extras=SAMPLING_FIELDS | TEMPLATE_FIELDS,
            reports_slots=True,
            # Our server adds it to its own calls; clients may still ask for it through `extra_fields`.
            return_progress=False,
        )

    def launch(self, model: Model, place: Place) -> Launch:
        """The key goes through a file that the server reads once and removes."""
        socket = place.run_dir / f"{place.name}.sock"
        config_path = place.run_dir / f"{place.name}.json"
        calibrations = place.data_dir / "calibration"
        with contextlib.suppress(OSError):  # without it the batch is measured at every start
            calibrations.mkdir(parents=True, exist_ok=True)
        config = RunnerConfig(
            model_path=str(_source(model.source, place.models_dir)),
            alias=model.name,
            address=f"unix:{socket}",
            api_key=place.key,
            context=model.context or 0,
            slots=model.slots or self.slots_default or 1,
            threads=model.threads,
            gpu_layers=model.gpu_layers,
            batch=model.batch,
            prompt_cache_mib=model.prompt_cache_mib,
            loras=[str(_file("loras", name)) for name in model.loras],
            chat_template=_template(model),
            embeddings=model.embeddings,
            pooling=model.pooling,
            speculative=model.speculative,
            draft=str(_source(model.draft, place.models_dir)) if model.draft else "",
            status_fd=STATUS_FD,
            calibration_dir=str(calibrations),
        )
        # -P: a file of the working directory must not take the place of one of ours.
        module = "rempart.runners.llama_cpp_server"
        return Launch(
            replicas=(
                Replica(
                    id=place.name,
                    url=f"unix:{socket}",
                    api_key=place.key,
                    upstream_name=model.name,
                ),
            ),
            command=(sys.executable, "-P", "-m", module, str(config_path)),
            files={config_path: msgspec.json.encode(config).decode()},
            sockets=(socket, socket.with_name(f"{socket.name}.door.sock")),
            has_status_pipe=True,
            says_ready=True,
        )


def _source(source: str, models_dir: Path) -> Path:
    try:
        return resolve_source(source, models_dir).absolute()
    except SourceError as error:
        raise LaunchError(str(error)) from error


def _file(setting: str, name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise LaunchError(f"{setting} names {name!r}, which is no file. Check the path.")
    return path.absolute()


def _template(model: Model) -> str:
    if not model.chat_template:
        return ""
    path = _file("chat_template", model.chat_template)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"the chat template {path} cannot be read: {error}") from error
