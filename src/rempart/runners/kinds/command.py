"""Any program that is given a port and serves HTTP there, such as one's own FastAPI backend."""

import os

from rempart.domain.models import Abilities, HangUp, Replica
from rempart.runners.kinds.interface import BUSY_IS_DEAF, Launch, LaunchError, Place
from rempart.runners.kinds.programs import filled, find_program
from rempart.settings.model import Model

NOT_KNOWN = HangUp(decode=False, prefill=False, settle_s=2.0)
"""Nothing is promised; most programs have noticed by then."""

EXTRAS = frozenset(
    {
        *("top_k", "min_p", "typical_p", "repeat_penalty", "repetition_penalty", "min_tokens"),
        *("ignore_eos", "stop_token_ids", "grammar", "structured_outputs", "chat_template_kwargs"),
    }
)
"""What several servers take; more of them by the model's ``extra_fields``."""

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank")
HOST = "127.0.0.1"


class Command:
    """See ``RunnerKind``."""

    name = "command"
    slots_default: int | None = 4

    def abilities(self, model: Model) -> Abilities:
        """It is taken to speak the protocol as OpenAI does."""
        return Abilities(endpoints=dict.fromkeys(PATHS, NOT_KNOWN), extras=EXTRAS)

    def launch(self, model: Model, place: Place) -> Launch:
        """``{host}`` and ``{port}`` are replaced in the command and in the model's ``env``."""
        if not model.command:
            raise LaunchError("command is empty. Write the program and its arguments.")
        name, *arguments = model.command
        program = find_program(name, model, "Install it, or write its whole path in command.")
        if os.sep in name:
            program = name
        port = place.free_port()
        return Launch(
            replicas=(
                Replica(
                    id=place.name,
                    url=f"http://{HOST}:{port}",
                    upstream_name=model.upstream_name or model.name,
                ),
            ),
            command=(program, *(filled(one, HOST, port) for one in arguments)),
            environment={name: filled(text, HOST, port) for name, text in model.env.items()},
            has_status_pipe=True,
            liveness=BUSY_IS_DEAF,
        )
