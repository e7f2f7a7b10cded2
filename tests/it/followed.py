"""A client of the Python package on a follower and on its primary: usage followed.py FOLLOWER PRIMARY.

What it wrote is in its next list from the follower. Leaves with 77 where the package is not installed.
"""
import sys

try:
    from qianmian import Client, Event, Refused
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)

follower, primary = sys.argv[1:]
with Client(follower, read_your_writes=True) as client:
    for n in range(50):
        user = f"python-{n}"
        assert client.write_events([Event(user, "tea", kind="click")]) == 1
        answer = client.recommend(user)
        assert (answer.basis, answer.stale) == ("history", False), answer

# A server that lacks what a client has written before: it took over from another.
with Client(primary, read_your_writes=True) as client:
    client._written = 1_000_000_000
    assert client.recommend("python-1").basis == "history"
    assert client._written == 0
    client._written = 1_000_000_000
    assert client.write_events([Event("python-1", "b")]) == 1
with Client(primary) as client:
    client._reads_writes, client._written = False, 1_000_000_000
    client._metadata = [*client._metadata, ("qianmian-min-offset", "1000000000")]
    try:
        client.recommend("python-1")
    except Refused as refused:
        assert refused.reason == "OFFSET_AHEAD", refused.reason
    else:
        raise AssertionError("an offset that no one has reached")
