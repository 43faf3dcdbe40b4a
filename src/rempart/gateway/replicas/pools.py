"""Connections to replicas, one pool for each, kept open between calls."""

from rempart.domain.models import Replica
from rempart.net.http1.client import Pool

POOLS_MAX = 1024
"""Addresses with kept connections; restarted runners have new ones, so old pools go first."""


class Pools:
    """Connections to replicas, one pool per replica."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._retired: list[Pool] = []

    def pool(self, replica: Replica) -> Pool:
        """The pool of a replica."""
        pool = self._pools.get(replica.id)
        if pool is None:
            if len(self._pools) >= POOLS_MAX:
                self._retired.append(self._pools.pop(next(iter(self._pools))))
            pool = self._pools[replica.id] = Pool(replica.url)
        return pool

    async def keep(self, replica_ids: set[str]) -> None:
        """Close the pools of replicas that are gone."""
        for replica_id in [one for one in self._pools if one not in replica_ids]:
            self._retired.append(self._pools.pop(replica_id))
        while self._retired:
            await self._retired.pop().close()

    async def close(self) -> None:
        """Close all."""
        await self.keep(set())
