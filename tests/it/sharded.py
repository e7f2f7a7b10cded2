"""Clients of the Python package on servers with a part of the users each: usage sharded.py ADDRESS…

Leaves with 77 where the package is not installed.
"""
import asyncio
import sys

try:
    from qianmian import AsyncShards, Refused, Shards, shard_of
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)

# The same numbers are in the tests of the server.
NUMBERS = {"anna": [1, 2, 5, 56], "17850": [1, 1, 1, 712], "顾客": [0, 3, 3, 38], "": [1, 2, 5, 22]}
for user, numbers in NUMBERS.items():
    assert [shard_of(user, count) for count in (2, 4, 10, 1_000)] == numbers, user

addresses = sys.argv[1:]
with Shards(addresses, read_your_writes=True) as shards:
    for n in range(50):
        user = f"python-{n}"
        shards.of(user).recommend(user)
        answer = shards.ask(user, lambda client: client.recommend(user, limit=3))
        assert len(answer.items) == 3, answer

    # An alias of a user of another shard.
    alias = next(f"alias-{n}" for n in range(99) if shards.of(f"alias-{n}") is not shards.of("python-0"))
    shards.of(alias).link_users("python-0", [alias])
    # A server that is too far behind passes the call on to the one that has all users.
    for _ in range(100):
        try:
            shards.of(alias).recommend(alias)
        except Refused as refused:
            assert refused.reason == "OTHER_SHARD", refused.reason
            assert refused.shard == (shard_of("python-0", len(addresses)), len(addresses)), refused.shard
            break
    else:
        raise AssertionError("the list of a user of another shard")
    shards.of("python-0").recommend("python-0")
    assert shards.ask(alias, lambda client: client.recommend(alias)).items

# Fewer addresses than shards.
with Shards(addresses[:1]) as few:
    other = next(f"user-{n}" for n in range(99) if shard_of(f"user-{n}", len(addresses)) != 0)
    try:
        few.ask(other, lambda client: client.recommend(other))
    except Refused as refused:
        assert refused.reason == "OTHER_SHARD", refused.reason
    else:
        raise AssertionError("the list of a user of another shard")


async def ask_again() -> None:
    async with AsyncShards(addresses) as shards:
        assert (await shards.ask("python-1", lambda client: client.recommend("python-1"))).items


asyncio.run(ask_again())
