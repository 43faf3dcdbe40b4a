"""Every setting of the configuration: its type, default, bounds, unit and meaning in one place.

Plain frozen dataclasses, so that main and the gateway workers read them (from the resolved JSON
that the command line writes) without importing pydantic; ``settings/load.py`` checks the bounds that
stand in the annotations. A field's ``Doc`` is its line in docs/reference/settings.md. Secrets are plain
texts here, left out of the ``repr``.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from annotated_types import doc as Doc  # noqa: N812 - reads as the annotation it is

from rempart.settings import DATA_DIR
from rempart.settings.protection import (
    Cors,
    Database,
    Guard,
    Input,
    Jwt,
    KeyLimits,
    Lockout,
    Prices,
    ScopeLimits,
    Shared,
    SystemPolicy,
    Tls,
)

FORBID_UNKNOWN = {"extra": "forbid"}

Port = Annotated[int, Ge(0), Le(65535)]
Seconds = Annotated[float, Gt(0), Le(86400)]
Name = Annotated[str, MinLen(1), MaxLen(128)]

ModelKind = Literal["llama_cpp", "vllm", "transformers", "command", "upstream"]
Detail = Literal["key", "all"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """[server]: where it listens and with how many workers."""

    __pydantic_config__ = FORBID_UNKNOWN
    host: Annotated[str, Doc("address of the data plane")] = "127.0.0.1"
    port: Annotated[Port, Doc("port of the data plane; 0 takes a free one")] = 8000
    control_host: Annotated[str, Doc("address of the control API and pages")] = "127.0.0.1"
    control_port: Annotated[Port, Doc("port of the control API; 0 takes a free one")] = 8001
    socket: Annotated[str, Doc("Unix socket for the data plane, beside the port; empty: none")] = ""
    workers: Annotated[int, Ge(1), Le(64), Doc("gateway processes")] = 1
    base_path: Annotated[str, Doc("prefix of all data plane paths, such as /llm")] = ""
    any_model: Annotated[bool, Doc("unknown model names go to the default model")] = False
    connections_max: Annotated[int, Ge(1), Doc("open client connections per worker")] = 10000
    connections_per_address_max: Annotated[
        int, Ge(1), Doc("open connections per client address")
    ] = 2000
    header_read_s: Annotated[Seconds, Doc("time for a request's header section")] = 10.0
    body_read_s: Annotated[Seconds, Doc("time without any byte of a body")] = 10.0
    body_bytes_per_s_min: Annotated[int, Ge(0), Doc("slowest rate of a body, over 10 s")] = 512
    body_bytes_max: Annotated[int, Ge(1024), Doc("largest request body")] = 1024 * 1024
    idle_s: Annotated[Seconds, Doc("an idle keep-alive connection is closed after this")] = 75.0
    write_stall_s: Annotated[
        Seconds, Doc("a client that takes no byte for this long is dropped")
    ] = 30.0
    trusted_proxies: Annotated[
        list[str], Doc("addresses or networks whose X-Forwarded-For is believed")
    ] = field(default_factory=list)
    heartbeat_s: Annotated[Seconds, Doc("a worker silent for this long is replaced")] = 10.0


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """[deadline]: a request's clocks; a model's own table may override each."""

    __pydantic_config__ = FORBID_UNKNOWN
    queue_s: Annotated[Seconds, Doc("longest wait for a slot")] = 30.0
    first_token_s: Annotated[Seconds, Doc("streamed: until the first token")] = 60.0
    silence_s: Annotated[Seconds, Doc("streamed: between two chunks")] = 60.0
    total_s: Annotated[Seconds, Doc("streamed: in all")] = 600.0
    unstreamed_s: Annotated[Seconds, Doc("not streamed: in all")] = 60.0


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """[shutdown]."""

    __pydantic_config__ = FORBID_UNKNOWN
    grace_s: Annotated[float, Ge(0), Le(3600), Doc("time for streams in flight after SIGTERM")] = (
        30.0
    )


@dataclass(frozen=True, kw_only=True)
class Health:
    """[health]."""

    __pydantic_config__ = FORBID_UNKNOWN
    detail: Annotated[
        Detail | None, Doc("who sees all of /health: 'all', or only callers with a 'key'")
    ] = None
    metrics_open: Annotated[bool, Doc("/metrics without a key")] = False


@dataclass(frozen=True, kw_only=True)
class Memory:
    """[memory]."""

    __pydantic_config__ = FORBID_UNKNOWN
    budget: Annotated[str, Doc("for all runners: a share of the machine ('80%') or a size")] = "80%"


@dataclass(frozen=True, kw_only=True)
class Logs:
    """[logs]: where events and requests are written."""

    __pydantic_config__ = FORBID_UNKNOWN
    file: Annotated[str, Doc("JSON lines; empty: none")] = "logs/api.log"
    rotate_bytes: Annotated[int, Ge(65536), Doc("size at which the file is rotated")] = (
        50 * 1024 * 1024
    )
    keep: Annotated[int, Ge(0), Le(1000), Doc("rotated files kept")] = 5
    console: Annotated[Literal["text", "json", "off"], Doc("format on the console")] = "text"
    level: Annotated[Literal["debug", "info", "warning", "error"], Doc("least level")] = "info"
    prompts: Annotated[bool, Doc("write the texts of requests into the log")] = False


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """[secrets]."""

    __pydantic_config__ = FORBID_UNKNOWN
    master_key: Annotated[
        str, Doc("pepper of key digests; empty: the file secret.key in the data folder")
    ] = field(default="", repr=False)
    previous_master_key: Annotated[
        str,
        Doc("master keys before it, one per line, newest first, until no key's digest needs them"),
    ] = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """[restarts]: what happens when runners crash."""

    __pydantic_config__ = FORBID_UNKNOWN
    first_s: Annotated[Seconds, Doc("pause before the first restart")] = 0.5
    longest_s: Annotated[Seconds, Doc("longest pause; it doubles until there")] = 30.0
    crashes_max: Annotated[
        int, Ge(1), Le(1000), Doc("crashes within window_s after which it is given up")
    ] = 5
    window_s: Annotated[Seconds, Doc("see crashes_max")] = 300.0


@dataclass(frozen=True, kw_only=True)
class ModelDeadline:
    """A model's own clocks; what is unset comes from [deadline]."""

    __pydantic_config__ = FORBID_UNKNOWN
    queue_s: Annotated[Seconds | None, Doc("see [deadline]")] = None
    first_token_s: Annotated[Seconds | None, Doc("see [deadline]")] = None
    silence_s: Annotated[Seconds | None, Doc("see [deadline]")] = None
    total_s: Annotated[Seconds | None, Doc("see [deadline]")] = None
    unstreamed_s: Annotated[Seconds | None, Doc("see [deadline]")] = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """[[models]]: one model and what serves it."""

    __pydantic_config__ = FORBID_UNKNOWN
    name: Annotated[Name, Doc("what clients ask for")]
    kind: Annotated[ModelKind, Doc("what serves it")] = "llama_cpp"
    source: Annotated[str, Doc("GGUF file, Hugging Face folder or hub name; 'demo'")] = ""
    command: Annotated[
        list[str], Doc("kind command: the program; {host} and {port} are replaced")
    ] = field(default_factory=list)
    base_urls: Annotated[list[str], Doc("kind upstream: one or several, with /v1")] = field(
        default_factory=list
    )
    api_key: Annotated[str, Doc("kind upstream: its key (or api_key_file)")] = field(
        default="", repr=False
    )
    upstream_name: Annotated[str, Doc("the model's name there; default: name")] = ""
    slots: Annotated[
        int | None,
        Ge(1),
        Le(4096),
        Doc("requests at a time, all workers together; unset for upstream: no bound"),
    ] = None
    queue_max: Annotated[int, Ge(0), Le(100000), Doc("requests that may wait for a slot")] = 128
    context: Annotated[
        int | None, Ge(64), Doc("tokens per runner; unset: the model's own, at most 8192")
    ] = None
    pin: Annotated[bool, Doc("loaded at start and never evicted")] = False
    preload: Annotated[bool, Doc("loaded at start")] = False
    threads: Annotated[
        int | None, Ge(1), Le(1024), Doc("llama_cpp: CPU threads; unset: cores - 1")
    ] = None
    gpu_layers: Annotated[
        int | None, Ge(-1), Doc("llama_cpp: layers on the GPU; unset: all that fit")
    ] = None
    batch: Annotated[
        int | None,
        Ge(8),
        Le(8192),
        Doc("llama_cpp: prompt tokens per batch; unset: calibrated at load"),
    ] = None
    prompt_cache_mib: Annotated[int, Ge(0), Doc("llama_cpp: host memory for old prompts")] = 0
    loras: Annotated[list[str], Doc("llama_cpp: LoRA adapter files")] = field(default_factory=list)
    chat_template: Annotated[
        str, Doc("llama_cpp: file with a Jinja chat template that replaces the model's")
    ] = ""
    embeddings: Annotated[bool, Doc("llama_cpp: serve /v1/embeddings")] = False
    pooling: Annotated[
        Literal["mean", "cls", "last", "rank", "none"],
        Doc("llama_cpp: how embeddings are pooled; rank serves /v1/rerank"),
    ] = "mean"
    speculative: Annotated[
        Literal["off", "ngram"], Doc("llama_cpp: speculative decoding without a draft model")
    ] = "off"
    draft: Annotated[str, Doc("llama_cpp: GGUF file of a draft model")] = ""
    args: Annotated[list[str], Doc("vllm, transformers: more command-line arguments")] = field(
        default_factory=list
    )
    env: Annotated[
        dict[str, str], Doc("environment of the runner's process, beside the minimal one")
    ] = field(default_factory=dict, repr=False)
    start_s: Annotated[Seconds, Doc("longest time from start to ready")] = 600.0
    stop_s: Annotated[Seconds, Doc("time to end by itself before it is killed")] = 10.0
    memory_max: Annotated[
        str, Doc("the runner is restarted above this size ('6GiB'); empty: none")
    ] = ""
    settle_s: Annotated[
        Seconds, Doc("a slot not free this long after a hang-up: the runner is recycled")
    ] = 30.0
    deadline: Annotated[ModelDeadline, Doc("own clocks")] = field(default_factory=ModelDeadline)
    limits: Annotated[ScopeLimits, Doc("of all requests for this model together")] = field(
        default_factory=ScopeLimits
    )
    prices: Annotated[Prices, Doc("what its tokens cost")] = field(default_factory=Prices)
    system: Annotated[SystemPolicy, Doc("system messages")] = field(default_factory=SystemPolicy)
    control_strings: Annotated[
        list[str], Doc("broken in clients' texts, beside those that the model names itself")
    ] = field(default_factory=list)
    extra_fields: Annotated[list[str], Doc("request fields passed on beside the known ones")] = (
        field(default_factory=list)
    )


@dataclass(frozen=True, kw_only=True)
class Route:
    """[[routes]]: another path of a runner or upstream, behind the same steps."""

    __pydantic_config__ = FORBID_UNKNOWN
    path: Annotated[str, Doc("path at our door, such as /generate")]
    model: Annotated[str, Doc("the model whose runner answers")]
    methods: Annotated[list[str], Doc("HTTP methods")] = field(default_factory=lambda: ["POST"])
    upstream_path: Annotated[str, Doc("path at the runner; default: path")] = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole configuration."""

    __pydantic_config__ = FORBID_UNKNOWN
    server: Server = field(default_factory=Server)
    deadline: Deadline = field(default_factory=Deadline)
    shutdown: Shutdown = field(default_factory=Shutdown)
    health: Health = field(default_factory=Health)
    memory: Memory = field(default_factory=Memory)
    logs: Logs = field(default_factory=Logs)
    secrets: Secrets = field(default_factory=Secrets)
    limits: KeyLimits = field(default_factory=KeyLimits)
    lockout: Lockout = field(default_factory=Lockout)
    input: Input = field(default_factory=Input)
    guard: Guard = field(default_factory=Guard)
    cors: Cors = field(default_factory=Cors)
    tls: Tls = field(default_factory=Tls)
    jwt: Jwt = field(default_factory=Jwt)
    database: Database = field(default_factory=Database)
    shared: Shared = field(default_factory=Shared)
    restarts: Restarts = field(default_factory=Restarts)
    models: list[Model] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    data_dir: Annotated[str, Doc("the data folder")] = DATA_DIR


UNCHANGEABLE: frozenset[str] = frozenset(
    {
        "server.host",
        "server.port",
        "server.control_host",
        "server.control_port",
        "server.socket",
        "data_dir",
        "logs.file",
        "database.url",
        "shared.url",
        "shared.size_bytes_max",
    }
)
"""Settings that a reload refuses to change: sockets and files that main holds open."""

SECRETS: frozenset[str] = frozenset(
    {"secrets.master_key", "secrets.previous_master_key", "models.api_key", "models.env"}
)
"""Settings whose values never show, in errors, ``config show`` or the control API. A text among them may also
come from a file: ``api_key_file = "/run/secrets/far"``, ``REMPART_SECRETS__MASTER_KEY_FILE``."""

Json = dict[str, Any]
