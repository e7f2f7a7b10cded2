"""Clients of servers of which each makes the lists of a part of the users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import placing, rules
from ..errors import Refused
from ..types import Id
from .client import AsyncClient


class AsyncShards:
    """A client of each of several servers; close it, or use it as a context manager. ``Shards``
    blocks; ``AsyncShards`` is for asyncio.

    Args:
        addresses: those of the shards 0, 1, …, each as ``follow.shard`` of its server says.
        options: further arguments of every client.
    """

    def __init__(self, addresses: Sequence[str], **options: Any) -> None:
        if isinstance(addresses, str) or not addresses:
            raise ValueError(f"addresses must be a list of addresses, was {addresses!r}")
        self.clients = [AsyncClient(address, **options) for address in addresses]

    async def close(self) -> None:
        """Closes all connections."""
        for client in self.clients:
            await client.close()

    async def __aenter__(self) -> AsyncShards:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def of(self, user_id: Id) -> AsyncClient:
        """The client of the server that makes the lists of a user."""
        user = rules.identifier("user_id", user_id)
        return self._client(placing.shard_of(user, len(self.clients)))

    async def ask(self, user_id: Id, call: Callable[[AsyncClient], Any]) -> Any:
        """What ``call`` returns with the client of a user's server; where the id is an alias, with that
        of the user whose alias it is.

        Raises:
            Refused: where the server refuses, or has another number of shards than there are addresses.
        """
        try:
            return await call(self.of(user_id))
        except Refused as refused:
            shard, count = refused.shard or (0, 0)
            if count != len(self.clients):
                raise
        return await call(self._client(shard))

    def _client(self, shard: int) -> AsyncClient:
        """The client of a shard's server, which waits for what any of the clients has written."""
        client = self.clients[shard]
        client._written = max(each._written for each in self.clients)
        return client
