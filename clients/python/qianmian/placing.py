"""Which of several servers has a user's history."""

from __future__ import annotations

import hashlib

_MASK = 2**64 - 1


def shard_of(user_id: str, count: int) -> int:
    """The number of the shard, of ``count``, that has a user, from 0.

    Jump consistent hashing (Lamping and Veach, 2014) of the first eight bytes of the id's SHA-256:
    one more shard takes its users from all others, and no user moves between these.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, was {count}")
    key = int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8], "big")
    shard = following = 0
    while following < count:
        shard = following
        key = (key * 2_862_933_555_777_941_757 + 1) & _MASK
        following = int((shard + 1) * (2**31 / ((key >> 33) + 1)))
    return shard
