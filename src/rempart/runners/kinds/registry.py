"""All kinds by the name that stands in the configuration."""

from rempart.runners.kinds.command import Command
from rempart.runners.kinds.interface import RunnerKind
from rempart.runners.kinds.llama_cpp import LlamaCpp
from rempart.runners.kinds.transformers import Transformers
from rempart.runners.kinds.upstream import Upstream
from rempart.runners.kinds.vllm import Vllm

KINDS: dict[str, RunnerKind] = {
    kind.name: kind for kind in (LlamaCpp(), Vllm(), Transformers(), Command(), Upstream())
}
