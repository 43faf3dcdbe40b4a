"""``vllm serve`` on a loopback port, installed by the operator, for GPU machines."""

from pathlib import Path

from rempart.domain.models import Abilities, Facts, HangUp, Replica
from rempart.runners import control_tokens
from rempart.runners.kinds.interface import Launch, Place
from rempart.runners.kinds.programs import filled, find_program
from rempart.settings.model import Model

STOPS = HangUp(decode=True, prefill=True, settle_s=0.5)
"""It aborts a request when the handler is cancelled, at the next step of its engine."""

EXTRAS = frozenset(
    {
        *("top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens"),
        *("stop_token_ids", "include_stop_str_in_output", "ignore_eos", "bad_words"),
        *("allowed_token_ids", "skip_special_tokens", "spaces_between_special_tokens"),
        *("structured_outputs", "chat_template_kwargs", "add_generation_prompt"),
        *("continue_final_message", "include_reasoning", "truncate_prompt_tokens"),
    }
)
"""Not ``chat_template``, which is a program in Jinja, nor what reaches others' caches and queue."""

HOST = "127.0.0.1"


class Vllm:
    """See ``RunnerKind``. Its arguments are those of vLLM 0.32."""

    name = "vllm"
    slots_default: int | None = 64

    def abilities(self, model: Model) -> Abilities:
        """Which of these a model really has, vLLM itself says when asked."""
        paths = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank")
        return Abilities(endpoints=dict.fromkeys(paths, STOPS), extras=EXTRAS)

    def launch(self, model: Model, place: Place) -> Launch:
        """The key goes through the environment, where other users of the machine cannot read it."""
        program = find_program("vllm", model, "Install it beside Rempart: pip install vllm")
        port = place.free_port()
        slots = model.slots or self.slots_default or 1
        arguments = [
            *("serve", model.source, "--host", HOST, "--port", str(port)),
            *("--served-model-name", model.name, "--max-num-seqs", str(slots)),
            # Its queue has no bound otherwise. We never send more than the slots; this is for a
            # request with n > 1, which counts as n, and for the day that we are wrong.
            *("--max-num-queued-reqs", str(4 * slots + 128)),
        ]
        if model.context is not None:
            arguments += ["--max-model-len", str(model.context)]
        return Launch(
            replicas=(
                Replica(
                    id=place.name,
                    url=f"http://{HOST}:{port}",
                    api_key=place.key,
                    upstream_name=model.name,
                ),
            ),
            command=(program, *arguments, *(filled(one, HOST, port) for one in model.args)),
            environment={"VLLM_API_KEY": place.key, "VLLM_NO_USAGE_STATS": "1"},
            facts=_facts(Path(model.source).expanduser()),
            # Two that start together on one GPU both measure its memory wrongly.
            starts_alone=True,
        )


def _facts(folder: Path) -> Facts:
    return Facts(control_strings=control_tokens.of_folder(folder) if folder.is_dir() else [])
