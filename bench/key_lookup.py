"""CPU time of verifying a key among a million, right and wrong; run by hand.

    python -m bench.key_lookup [--keys N]

Beside it stands the CPU time of the keyed digest alone, of the same run. Right keys, wrong secrets of known
ids, unknown ids and typing errors take turns, so that what moves the machine moves all of them; the least of
several rounds counts.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rempart.base.clock import SystemClock
from rempart.domain.errors import InvalidApiKey
from rempart.domain.key_format import SECRET_CHARACTERS, make_key, random_base62
from rempart.domain.keys import StoredKey, digest_secret
from rempart.domain.peppers import Peppers
from rempart.settings.model import Settings
from rempart.state.open import open_shared
from rempart.state.shared.keys.verify import Verifier

ROUNDS = 7
ASKED = 2000
SCOPES = frozenset({"inference"})


def main() -> None:
    """Take and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    options = parser.parse_args()
    chance = random.Random(1)
    peppers = Peppers.of([b"p" * 32])
    clock = SystemClock()
    asked: list[str] = []

    def stored() -> Iterator[StoredKey]:
        every = max(1, options.keys // ASKED)
        for number in range(options.keys):
            id_ = f"{number:012d}"
            if number % every:
                # Nobody presents it: what it is the digest of does not matter.
                yield StoredKey(
                    id=id_,
                    digest=chance.randbytes(32),
                    pepper_id=peppers.newest.id,
                    scopes=SCOPES,
                )
                continue
            secret = make_key(id_, random_base62(SECRET_CHARACTERS, chance.randbytes))
            digest, pepper_id = peppers.digest(secret)
            asked.append(secret)
            yield StoredKey(id=id_, digest=digest, pepper_id=pepper_id, scopes=SCOPES)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = open_shared(Settings(data_dir=name), folder, clock=clock)
        now_ms = int(clock.wall().timestamp() * 1000)
        shared.keys.publish_all(keys=stored(), projects=[], now_ms=now_ms)
        verifier = Verifier(keys=shared.keys, peppers=peppers, clock=clock, age_s_max=86400.0)
        wrong = [
            make_key(one[4:16], random_base62(SECRET_CHARACTERS, chance.randbytes)) for one in asked
        ]
        unknown = [
            make_key(f"x{number:011d}", random_base62(SECRET_CHARACTERS, chance.randbytes))
            for number in range(len(asked))
        ]
        mistyped = [one[:-1] + ("a" if one[-1] != "a" else "b") for one in asked]

        def verify(secret: str) -> None:
            try:
                verifier.verify(secret, "127.0.0.1")
            except InvalidApiKey:
                return

        cases: dict[str, tuple[list[str], Callable[[str], object]]] = {
            "right": (asked, verify),
            "wrong secret": (wrong, verify),
            "unknown id": (unknown, verify),
            "mistyped": (mistyped, verify),
            "digest alone": (asked, lambda one: digest_secret(peppers.newest.key, one)),
        }
        least = dict.fromkeys(cases, float("inf"))
        for _ in range(ROUNDS):
            for case, (secrets, act) in cases.items():
                began = time.process_time()
                for one in secrets:
                    act(one)
                took = (time.process_time() - began) / len(secrets) * 1e6
                least[case] = min(least[case], took)
        shared.close()
    print(f"{options.keys} keys, {len(asked)} asked, least of {ROUNDS} rounds, CPU-us:")
    for case, took in least.items():
        print(f"  {case:14s}{took:7.2f}")


if __name__ == "__main__":
    main()
