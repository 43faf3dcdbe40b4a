"""Which limits apply to whom."""

from rempart.domain.keys import Principal
from rempart.domain.limits import Unit
from rempart.gateway.limits.plan import Plan, counts_tokens, end_user_subject
from rempart.settings.model import Model, Settings
from rempart.settings.protection import AddressLimits, KeyLimits, ScopeLimits

ALL = {Unit.REQUESTS: 1, Unit.AT_A_TIME: 1, Unit.TOKENS: 10, Unit.COST: 5}
SETTINGS = Settings(
    limits=KeyLimits(
        server=ScopeLimits(requests_per_minute=900),
        end_user=ScopeLimits(tokens_per_day=50),
        address=AddressLimits(requests_per_minute=30),
    ),
    models=[Model(name="m", source="demo", limits=ScopeLimits(concurrent_requests=2))],
)


def key(**more: object) -> Principal:
    return Principal(id="k", scopes=frozenset({"inference"}), **more)  # type: ignore[arg-type]


def told(
    principal: Principal, project: dict[str, int | None] | None = None, **more: str
) -> set[str]:
    asked = Plan(SETTINGS).of_request(
        principal,
        project or {},
        end_user=more.get("end_user", ""),
        model=more.get("model", ""),
        amounts=ALL,
    )
    return {f"{one.subject} {one.name} {one.amount}/{one.amount_max}" for one in asked}


SERVER = "server requests_per_minute 1/900"
DEFAULTS = {"key:k requests_per_minute 1/60", "key:k requests_per_hour 1/1000", SERVER}


def test_a_key_without_limits_of_its_own_has_the_defaults() -> None:
    assert told(key()) == DEFAULTS


def test_a_keys_own_limits_replace_the_defaults_by_name() -> None:
    own = key(limits={"requests_per_minute": 5, "requests_per_hour": None, "cost_per_day": 7})
    assert told(own) == {"key:k requests_per_minute 1/5", "key:k cost_per_day 5/7", SERVER}


def test_defaults_do_not_bind_a_key_without_limits_but_its_own_do() -> None:
    assert told(key(is_unlimited=True)) == {SERVER}
    own = key(is_unlimited=True, limits={"tokens_per_minute": 9})
    assert told(own) == {"key:k tokens_per_minute 10/9", SERVER}


def test_project_model_and_end_user_have_limits_beside_the_keys() -> None:
    found = told(key(project="p"), {"requests_per_minute": 3}, model="m", end_user="ana")
    assert found == DEFAULTS | {
        "project:p requests_per_minute 1/3",
        "model:m concurrent_requests 1/2",
        "end_user:k/ana tokens_per_day 10/50",
    }


def test_a_limit_of_zero_stands() -> None:
    assert "key:k requests_per_minute 1/0" in told(key(limits={"requests_per_minute": 0}))


def test_before_the_body_is_read_requests_alone_are_asked_for() -> None:
    found = Plan(SETTINGS).of_head(key(limits={"tokens_per_minute": 1}), {"cost_per_day": 1})
    assert {one.unit for one in found} == {Unit.REQUESTS}


def test_a_route_without_a_key_is_limited_by_address() -> None:
    (found,) = Plan(SETTINGS).of_address("192.0.2.1")
    assert (found.subject, found.amount_max) == ("address:192.0.2.1", 30)


def test_one_end_user_of_two_keys_is_two_people_and_a_long_name_stays_short() -> None:
    assert end_user_subject("a", "1") != end_user_subject("b", "1")
    long = end_user_subject("a", "x" * 200)
    assert len(long) < 64
    assert long != end_user_subject("a", "x" * 201)


def test_tokens_are_counted_where_a_limit_asks_for_them() -> None:
    asked = Plan(SETTINGS).of_request(key(), {}, end_user="u", model="", amounts=ALL)
    assert counts_tokens(asked)
    assert not counts_tokens(Plan(SETTINGS).of_head(key(), {}))
