"""What runs for a key ends with it, at the next look."""

import asyncio

from lab.exchanges import LoopClock, exchange_of
from lab.sim_loop import simulate
from rempart.domain.errors import ExpiredApiKey, RempartError, RevokedApiKey
from rempart.domain.keys import Principal, StoredKey
from rempart.domain.peppers import Peppers
from rempart.gateway.authentication.watch import KeyWatch
from rempart.gateway.exchange import Exchange
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.keys.verify import Verifier

PEPPERS = Peppers.of([b"p" * 32])
SECRET = "x" * 40
OTHER = "y" * 40


class Tripped:
    """Stands for the deadline."""

    queue_until_s = 0.0

    def __init__(self) -> None:
        self.by: RempartError | None = None

    def begin_call(self, exchange: Exchange) -> None: ...

    def trip(self, error: RempartError) -> None:
        self.by = error


class Scene:
    def __init__(self) -> None:
        self.clock = LoopClock()
        self.keys = MemoryPublishedKeys()
        self.verifier = Verifier(keys=self.keys, peppers=PEPPERS, clock=self.clock, age_s_max=60)
        self.exchanges: list[Exchange] = []
        self.watch = KeyWatch(
            keys=self.keys, verifier=self.verifier, clock=self.clock, exchanges=self.exchanges
        )

    @property
    def now_s(self) -> float:
        return float(self.clock.wall().timestamp())

    def stored(self, secret: str = SECRET, **fields: object) -> StoredKey:
        digest, pepper_id = PEPPERS.digest(secret)
        return StoredKey(
            id="bootstrapkey", digest=digest, pepper_id=pepper_id, scopes=frozenset(), **fields  # type: ignore[arg-type]
        )  # fmt: skip

    def publish(self, *keys: StoredKey) -> None:
        self.keys.publish(keys=keys, projects=[], now_ms=int(self.now_s * 1000))

    def enter(self, principal: Principal | None = None) -> Tripped:
        exchange, _ = exchange_of()
        if principal is None:
            exchange.credential = self.verifier.verify(SECRET, "")
            exchange.principal = exchange.credential.principal
        else:
            exchange.principal = principal
        exchange.deadline = tripped = Tripped()
        self.exchanges.append(exchange)
        return tripped


def test_a_revoked_key_ends_what_runs_for_it_and_nothing_else() -> None:
    async def body() -> None:
        scene = Scene()
        scene.publish(scene.stored())
        mine = scene.enter()
        nobody = scene.enter(Principal(id="", scopes=frozenset()))
        token = scene.enter(Principal(id="jwt:someone", scopes=frozenset()))
        assert scene.watch.look() == 0
        scene.publish(scene.stored(revoked_s=1.0))
        assert scene.watch.look() == 1
        assert isinstance(mine.by, RevokedApiKey)
        assert nobody.by is None
        assert token.by is None

    simulate(body())


def test_a_key_that_changes_otherwise_ends_nothing() -> None:
    async def body() -> None:
        scene = Scene()
        scene.publish(scene.stored())
        mine = scene.enter()
        scene.publish(scene.stored(name="another"))
        assert scene.watch.look() == 0
        assert mine.by is None

    simulate(body())


def test_what_has_a_known_end_ends_then_without_any_change() -> None:
    async def body() -> None:
        scene = Scene()
        scene.publish(scene.stored(expires_s=scene.now_s + 10))
        mine = scene.enter()
        token = scene.enter(Principal(id="jwt:a", scopes=frozenset(), expires_s=scene.now_s + 5))
        await asyncio.sleep(5)
        assert scene.watch.look() == 1
        assert isinstance(token.by, ExpiredApiKey)
        await asyncio.sleep(4.9)
        scene.watch.look()
        assert mine.by is None
        await asyncio.sleep(0.1)
        scene.watch.look()
        assert isinstance(mine.by, ExpiredApiKey)

    simulate(body())


def test_an_end_that_is_moved_up_while_something_runs_holds() -> None:
    async def body() -> None:
        scene = Scene()
        before = scene.stored()
        scene.publish(before)
        mine = scene.enter()
        scene.publish(
            scene.stored(
                OTHER,
                old_digest=before.digest,
                old_pepper_id=before.pepper_id,
                old_until_s=scene.now_s + 3,
            )
        )
        assert scene.watch.look() == 0
        await asyncio.sleep(3)
        assert scene.watch.look() == 1
        assert isinstance(mine.by, ExpiredApiKey)

    simulate(body())


def test_a_look_goes_through_exchanges_only_when_it_must() -> None:
    """Changes of other keys ask nothing of the store for the exchanges under way."""

    async def body() -> None:
        scene = Scene()
        scene.publish(scene.stored())
        scene.enter()
        scene.watch.look()
        asked: list[str] = []
        key = scene.keys.key

        def counted(id_: str) -> StoredKey | None:
            asked.append(id_)
            return key(id_)

        scene.keys.key = counted  # type: ignore[method-assign]
        scene.publish(StoredKey(id="otherkey0000", digest=b"", scopes=frozenset()))
        scene.watch.look()
        assert asked == []

    simulate(body())


def test_all_are_looked_at_when_nobody_knows_what_changed() -> None:
    async def body() -> None:
        scene = Scene()
        scene.publish(scene.stored())
        mine = scene.enter()
        scene.watch.look()
        scene.keys.publish_all(keys=[], projects=[], now_ms=1)
        scene.watch.look()
        assert isinstance(mine.by, RevokedApiKey)

    simulate(body())
