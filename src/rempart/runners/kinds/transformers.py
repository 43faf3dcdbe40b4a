"""``transformers serve`` for checkpoints in Hugging Face's form, such as one's own fine-tune."""

from pathlib import Path
from typing import Any

import msgspec

from rempart.domain.models import Abilities, Facts, HangUp, Replica
from rempart.runners import control_tokens
from rempart.runners.kinds.interface import BUSY_IS_DEAF, Launch, LaunchError, Place
from rempart.runners.kinds.programs import filled, find_program
from rempart.settings.model import Model

STOPS_LATE = HangUp(decode=True, prefill=False, settle_s=1.0)
"""Streamed, it stops at the next token, so that a prompt is read to its end first."""
GOES_ON = HangUp(decode=False, prefill=False, settle_s=30.0)
"""With continuous batching it does not notice; a guess at how long the rest takes."""

FIELDS = frozenset(
    {
        *("model", "messages", "prompt", "suffix", "stream", "tools"),
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop"),
        *("frequency_penalty", "chat_template_kwargs"),
    }
)
"""All that transformers 5.24 heeds; ``generation_config`` is left out, since it has no bounds."""

IGNORES = frozenset(
    {
        *("n", "best_of", "echo", "logprobs", "top_logprobs", "logit_bias", "presence_penalty"),
        *("response_format", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("modalities", "audio", "prediction", "reasoning_effort", "web_search_options"),
    }
)
HOST = "127.0.0.1"
CONFIG_BYTES_MAX = 1024 * 1024


class Transformers:
    """See ``RunnerKind``. It takes no key: it trusts the machine's other users, so we name no more
    than loopback, and operators who cannot do that use another kind."""

    name = "transformers"
    slots_default: int | None = 1

    def abilities(self, model: Model) -> Abilities:
        """What its relay must repair is long; see the fields."""
        stops = GOES_ON if _batches(model) else STOPS_LATE
        return Abilities(
            endpoints={"/v1/chat/completions": stops, "/v1/completions": stops},
            extras=frozenset({"chat_template_kwargs"}),
            enforces_tool_choice=False,
            stream_usage=False,
            sends_done=False,
            fields=FIELDS,
            ignores=IGNORES,
        )

    def launch(self, model: Model, place: Place) -> Launch:
        """It answers only for the name it was started with."""
        program = find_program(
            "transformers", model, "Install it: pip install 'rempart[transformers]'"
        )
        folder = Path(model.source).expanduser()
        source = str(folder.absolute()) if folder.exists() else model.source
        port = place.free_port()
        arguments = ("serve", source, "--host", HOST, "--port", str(port))
        return Launch(
            replicas=(Replica(id=place.name, url=f"http://{HOST}:{port}", upstream_name=source),),
            command=(program, *arguments, *(filled(one, HOST, port) for one in model.args)),
            environment={"TRANSFORMERS_VERBOSITY": "warning"},
            liveness=BUSY_IS_DEAF,
            facts=Facts(
                context_length=_context(model, folder),
                control_strings=control_tokens.of_folder(folder) if folder.is_dir() else [],
            ),
        )


def _batches(model: Model) -> bool:
    return "--continuous-batching" in model.args


def _context(model: Model, folder: Path) -> int | None:
    """Tokens per request: it enforces none itself, so that we must know.

    Raises:
        LaunchError: the folder is no checkpoint.
    """
    if not folder.is_dir():
        return model.context
    try:
        with (folder / "config.json").open("rb") as file:
            config: Any = msgspec.json.decode(file.read(CONFIG_BYTES_MAX))
    except (OSError, msgspec.DecodeError) as error:
        raise LaunchError(
            f"{folder} holds no readable config.json ({error}), so it is no Hugging Face "
            "checkpoint. Name the folder that save_pretrained made."
        ) from error
    found = [
        part["max_position_embeddings"]
        for part in (config, config.get("text_config"))
        if isinstance(part, dict) and isinstance(part.get("max_position_embeddings"), int)
    ]
    if model.context is not None:
        found.append(model.context)
    return min(found, default=None)
