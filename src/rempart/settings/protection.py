"""Settings of what keeps the server safe: limits, lockout, input bounds, guard, network, state.

Part of ``model.py``'s one tree of settings; what stands there about fields holds here too.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from annotated_types import doc as Doc  # noqa: N812 - reads as the annotation it is

FORBID_UNKNOWN = {"extra": "forbid"}
AMOUNT_MAX = 10**12

Amount = Annotated[int | None, Ge(0), Le(AMOUNT_MAX)]
Cost = Annotated[float | None, Ge(0), Le(10**9)]
Seconds = Annotated[float, Gt(0), Le(86400)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """[limits]: of every key; a key replaces them by name. Unset is no limit, 0 allows nothing."""

    __pydantic_config__ = FORBID_UNKNOWN
    requests_per_minute: Annotated[Amount, Doc("requests in any 60 s")] = 60
    requests_per_hour: Annotated[Amount, Doc("requests in any 3,600 s")] = 1000
    tokens_per_minute: Annotated[Amount, Doc("prompt and completion tokens in any 60 s")] = None
    tokens_per_day: Annotated[Amount, Doc("tokens in any 24 hours")] = None
    tokens_per_month: Annotated[Amount, Doc("tokens in any 30 days")] = None
    cost_per_day: Annotated[Cost, Doc("cost in any 24 hours, by the models' prices")] = None
    cost_per_month: Annotated[Cost, Doc("cost in any 30 days, by the models' prices")] = None
    concurrent_requests: Annotated[Amount, Doc("requests at a time")] = None


@dataclass(frozen=True, kw_only=True)
class ScopeLimits(Limits):
    """Limits of one scope other than a key; all unset unless given."""

    __pydantic_config__ = FORBID_UNKNOWN
    requests_per_minute: Annotated[Amount, Doc("requests in any 60 s")] = None
    requests_per_hour: Annotated[Amount, Doc("requests in any 3,600 s")] = None


@dataclass(frozen=True, kw_only=True)
class AddressLimits(ScopeLimits):
    """Limits of a client address."""

    __pydantic_config__ = FORBID_UNKNOWN
    requests_per_minute: Annotated[Amount, Doc("requests in any 60 s")] = 600


@dataclass(frozen=True, kw_only=True)
class KeyLimits(Limits):
    """[limits]: the defaults of every key, and the limits of other scopes below it."""

    __pydantic_config__ = FORBID_UNKNOWN
    server: Annotated[ScopeLimits, Doc("of all requests together")] = field(
        default_factory=ScopeLimits
    )
    end_user: Annotated[ScopeLimits, Doc("of each end user of a key")] = field(
        default_factory=ScopeLimits
    )
    address: Annotated[AddressLimits, Doc("of each client address on routes without a key")] = (
        field(default_factory=AddressLimits)
    )
    end_user_header: Annotated[
        str, Doc("header that names the end user; empty: only the field `user`")
    ] = ""


@dataclass(frozen=True, kw_only=True)
class Lockout:
    """[lockout]: addresses that present wrong keys are slowed, then blocked for a while."""

    __pydantic_config__ = FORBID_UNKNOWN
    enabled: Annotated[bool, Doc("count failed attempts per address")] = True
    failures: Annotated[int, Ge(1), Le(100000), Doc("failures within window_s that block")] = 10
    window_s: Annotated[Seconds, Doc("see failures")] = 60.0
    block_s: Annotated[Seconds, Doc("how long an address is blocked")] = 300.0


@dataclass(frozen=True, kw_only=True)
class Tls:
    """[tls]: HTTPS served directly; both files are read anew when they change."""

    __pydantic_config__ = FORBID_UNKNOWN
    cert: Annotated[str, Doc("PEM file with the certificate and its chain; empty: no TLS")] = ""
    key: Annotated[str, Doc("PEM file with its private key")] = ""


@dataclass(frozen=True, kw_only=True)
class Cors:
    """[cors]: browsers' pages from other origins; off unless origins are named."""

    __pydantic_config__ = FORBID_UNKNOWN
    origins: Annotated[
        list[str],
        Doc("allowed origins such as https://app.example; '*' for any without credentials"),
    ] = field(default_factory=list)
    max_age_s: Annotated[
        int, Ge(0), Le(86400), Doc("how long browsers keep a preflight's answer")
    ] = 600


@dataclass(frozen=True, kw_only=True)
class Input:
    """[input]: bounds of what a request may hold; the body's size is server.body_bytes_max."""

    __pydantic_config__ = FORBID_UNKNOWN
    json_depth_max: Annotated[int, Ge(4), Le(512), Doc("nesting of a JSON body")] = 32
    json_keys_max: Annotated[int, Ge(16), Doc("object keys in a JSON body")] = 10_000
    messages_max: Annotated[int, Ge(1), Doc("messages of a conversation")] = 1024
    tools_max: Annotated[int, Ge(0), Doc("tools of a request")] = 128
    tool_bytes_max: Annotated[int, Ge(256), Doc("one tool's definition as JSON")] = 65536
    image_bytes_max: Annotated[int, Ge(0), Doc("one data: image, decoded; 0 refuses images")] = (
        1024 * 1024
    )
    max_tokens_max: Annotated[int, Ge(1), Doc("largest max_tokens, beside the model's context")] = (
        131_072
    )
    n_max: Annotated[int, Ge(1), Le(128), Doc("largest n and best_of")] = 8
    stop_max: Annotated[int, Ge(1), Le(64), Doc("stop sequences")] = 16
    raw_prompts: Annotated[
        bool,
        Doc(
            "control strings in the prompts of /v1/completions keep their meaning; else broken as everywhere"
        ),
    ] = False
    sanitise: Annotated[
        bool, Doc("Unicode NFC; control, zero-width, override and tag characters taken out")
    ] = True


@dataclass(frozen=True, kw_only=True)
class Guard:
    """[guard]: what detectors find in prompts and answers, and what is then done."""

    __pydantic_config__ = FORBID_UNKNOWN
    secrets: Annotated[
        Literal["off", "mask", "refuse"], Doc("API keys and private keys in prompts")
    ] = "off"
    secrets_in_answers: Annotated[Literal["off", "mask"], Doc("the same in answers")] = "off"
    personal_data: Annotated[
        Literal["off", "mask", "refuse"], Doc("IBAN, card, NIR, SIRET, e-mail, phone in prompts")
    ] = "off"
    personal_data_in_answers: Annotated[Literal["off", "mask"], Doc("the same in answers")] = "off"
    kinds: Annotated[
        list[str], Doc("kinds of personal data looked for; empty: all that are known")
    ] = field(default_factory=list)
    hold_characters_max: Annotated[
        int,
        Ge(16),
        Le(4096),
        Doc("most characters held back of a stream for a match that may come"),
    ] = 64
    hold_ms_max: Annotated[int, Ge(10), Le(10000), Doc("longest time they are held back")] = 200


@dataclass(frozen=True, kw_only=True)
class Jwt:
    """[jwt]: bearer access tokens (RFC 9068) of an issuer, beside keys."""

    __pydantic_config__ = FORBID_UNKNOWN
    issuer: Annotated[str, Doc("the `iss` that is trusted; empty: no tokens are taken")] = ""
    audience: Annotated[str, Doc("the `aud` that tokens must name")] = ""
    jwks_url: Annotated[
        str, Doc("where the issuer's keys are; empty: from its discovery document")
    ] = ""
    algorithms: Annotated[list[str], Doc("signature algorithms that are taken")] = field(
        default_factory=lambda: ["RS256", "ES256", "EdDSA"]
    )
    scopes: Annotated[
        dict[str, str], Doc("the issuer's scope = ours; empty: the names are the same")
    ] = field(default_factory=dict)
    leeway_s: Annotated[int, Ge(0), Le(300), Doc("clock difference that is forgiven")] = 30


@dataclass(frozen=True, kw_only=True)
class Database:
    """[database]: keys, projects and the audit log."""

    __pydantic_config__ = FORBID_UNKNOWN
    url: Annotated[
        str, Doc("'sqlite' (a file in the data folder), sqlite:///PATH or postgresql://…")
    ] = field(default="sqlite", repr=False)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """[shared]: what all processes count together."""

    __pydantic_config__ = FORBID_UNKNOWN
    url: Annotated[str, Doc("'lmdb': a file in the data folder")] = field(
        default="lmdb", repr=False
    )
    size_bytes_max: Annotated[int, Ge(2**24), Doc("largest size of the shared file")] = 2**32
    keys_age_s_max: Annotated[
        Seconds, Doc("keys are used this long while the database is away")
    ] = 86400.0


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A model's prices, in your currency per million tokens."""

    __pydantic_config__ = FORBID_UNKNOWN
    prompt: Annotated[float, Ge(0), Doc("per million prompt tokens")] = 0.0
    completion: Annotated[float, Ge(0), Doc("per million completion tokens")] = 0.0


@dataclass(frozen=True, kw_only=True)
class SystemPolicy:
    """A model's policy for system messages."""

    __pydantic_config__ = FORBID_UNKNOWN
    prompt: Annotated[str, Doc("system prompt put before every conversation; empty: none")] = ""
    from_clients: Annotated[
        Literal["allowed", "dropped", "refused"],
        Doc("system and developer messages of clients"),
    ] = "allowed"
