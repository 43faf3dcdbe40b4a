"""The model in this process: the only place that knows xllamacpp.

Every call here blocks until the library is done, and may be made from any thread; loading holds the
interpreter's lock all the while (seen with xllamacpp 2026.10), so that nothing else runs then.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# OpenMP reads this once, when the library is loaded. With threads that wait spinning, generation
# falls from 50 to 4 tokens/s when somebody else wants the cores too.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import msgspec
import xllamacpp

from rempart.runners.llama_cpp_server.calibrate import idle_ms
from rempart.runners.llama_cpp_server.config import RunnerConfig

OnChunk = Callable[[bytes], bool]
"""Gets each chunk of an answer as JSON, in the calling thread; True stops the generation."""

_LOG_ERRORS = 1
_NO_PINGS = -1
_DOOR_THREADS = 3

_POOLING = {
    "mean": "LLAMA_POOLING_TYPE_MEAN",
    "cls": "LLAMA_POOLING_TYPE_CLS",
    "last": "LLAMA_POOLING_TYPE_LAST",
    "rank": "LLAMA_POOLING_TYPE_RANK",
    "none": "LLAMA_POOLING_TYPE_NONE",
}


class EngineLoadError(Exception):
    """The library could not load the model; why stands in what it printed."""


class EngineRefused(Exception):
    """The library does not take this request; the text says why."""


def library_version() -> str:
    """The library's version; measured speeds are of no use for another."""
    return str(xllamacpp.__version__)


def has_gpu() -> bool:
    """Whether the library sees anything but the CPU."""
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return any(device["type"] != cpu for device in xllamacpp.get_device_info())


class Engine:
    """A loaded model.

    Args:
        config: of this start.
        context: tokens of all slots together.
        batch: prompt tokens per batch; a batch is what cannot be interrupted.
        threads: CPU threads.
        door: path of a Unix socket for the library's own HTTP door, or "" for a loopback port.
        door_key: what that door asks for.

    Raises:
        EngineLoadError: the library could not load it.
    """

    def __init__(
        self,
        config: RunnerConfig,
        *,
        context: int,
        batch: int,
        threads: int,
        door: str,
        door_key: str,
    ) -> None:
        params = _params(config, context=context, batch=batch, threads=threads)
        params.api_keys = [door_key]
        params.port = 0
        if door:
            params.hostnames = [door]
        try:
            self._server: Any = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as exc:
            raise EngineLoadError(str(exc)) from exc
        self.batch = batch
        self._threads = threads
        self._is_on_gpu = has_gpu()
        address = str(self._server.listening_address)
        self.door_address = f"unix:{door}" if door else address.removeprefix("http://")
        """``unix:/path`` or ``host:port``."""

    def chat(self, body: bytes, on_chunk: OnChunk) -> None:
        """A streamed chat completion.

        Raises:
            EngineRefused: before any chunk.
        """
        _refusing(self._server.handle_chat_completions, body, on_chunk)

    def completions(self, body: bytes, on_chunk: OnChunk) -> None:
        """A streamed text completion. Raises as ``chat``."""
        _refusing(self._server.handle_completions, body, on_chunk)

    def embeddings(self, body: bytes) -> bytes:
        """The answer's JSON, which may be an error's. Raises as ``chat``."""
        answer: bytes = _refusing(self._server.handle_embeddings, body)
        return answer

    def rerank(self, body: bytes) -> bytes:
        """The answer's JSON, which may be an error's. Raises as ``chat``."""
        answer: bytes = _refusing(self._server.handle_rerank, body)
        return answer

    def settle(self) -> None:
        """Returns when the engine's loop has seen all that was asked of it before.

        A stopped call returns while the batch that was running still runs; its slot is taken until
        then. The answer to this comes from the loop itself, between two batches.
        """
        self._server.handle_metrics()

    def batch_ms(self, tokens: int) -> float:
        """Milliseconds that one batch of so many prompt tokens takes on an idle machine.

        Args:
            tokens: at most ``batch``.
        """
        body = {
            "prompt": [3 + number % 61 for number in range(tokens)],
            "max_tokens": 1,
            "cache_prompt": False,
            "stream": True,
        }
        chunks: list[bytes] = []

        def keep(chunk: bytes) -> bool:
            chunks.append(chunk)
            return False

        before_s = time.process_time()
        self.completions(msgspec.json.encode(body), keep)
        cpu_ms = (time.process_time() - before_s) * 1000
        wall_ms = float(msgspec.json.decode(chunks[-1])["timings"]["prompt_ms"])
        return wall_ms if self._is_on_gpu else idle_ms(wall_ms, cpu_ms, self._threads)

    def close(self) -> None:
        """Unload the model. Nothing may be running."""
        self._server = None


def _refusing(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the library's call gives; what it raises is always about the request.

    It raises RuntimeError for JSON that it cannot read and ValueError for fields that make no
    sense; a failure of its own comes as a chunk with an error in it.
    """
    try:
        return call(*arguments)
    except (RuntimeError, ValueError, TypeError) as exc:
        text = str(exc)
        if text.startswith("[json.exception."):
            text = text.partition("] ")[2]
        raise EngineRefused(text) from exc


def _params(config: RunnerConfig, *, context: int, batch: int, threads: int) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = config.model_path
    params.model_alias = [config.alias]
    params.n_ctx = context
    params.n_parallel = config.slots
    params.n_batch = params.n_ubatch = batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # Its default keeps old prompts in up to 8 GiB of host memory, beyond any estimate.
    params.cache_ram_mib = config.prompt_cache_mib
    params.cache_idle_slots = config.prompt_cache_mib > 0
    params.ui = False
    params.verbosity = _LOG_ERRORS
    params.sse_ping_interval = _NO_PINGS
    params.n_threads_http = _DOOR_THREADS
    params.endpoint_metrics = params.endpoint_slots = True
    on_gpu = has_gpu()
    if config.gpu_layers is not None:
        params.n_gpu_layers = config.gpu_layers
    # Fitting layers to the GPU's memory loads the model's head once more: 0.25 s for nothing here.
    params.fit_params = on_gpu
    if not (on_gpu or config.embeds or config.reranks):
        # On a CPU, flash attention with small batches is slower the longer the context is: at
        # 1,500 tokens 31 tokens/s instead of 47, prompts 72 instead of 92 (2 cores, SmolLM2). What is
        # embedded is one large batch, where it is faster.
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if config.chat_template:
        params.chat_template = config.chat_template
    if config.embeddings or config.reranks:
        params.embedding = True
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, _POOLING[config.pooling])
    adapters = []
    for path in config.loras:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 1.0
        adapters.append(adapter)
    if adapters:
        params.lora_adapters = adapters
    _speculate(params, config)
    return params


def _speculate(params: Any, config: RunnerConfig) -> None:
    kinds = xllamacpp.common_speculative_type
    types = []
    if config.speculative == "ngram":
        types.append(kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE)
    if config.draft:
        params.speculative.draft.mparams.path = str(Path(config.draft))
        types.append(kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE)
    if types:
        params.speculative.types = types
