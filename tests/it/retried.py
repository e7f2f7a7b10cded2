"""A call of the Python package while its server is away: usage retried.py ADDRESS.

Says "ready", waits for a line, and calls then; the server comes back while it tries.
Leaves with 77 where the package is not installed.
"""
import sys
import time

try:
    from qianmian import Client, Event, Refused
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)

with Client(sys.argv[1]) as client, Client(sys.argv[1], retries=False) as once:
    assert client.write_events([Event("u", "a")]) == 1
    assert once.list_models() == []
    print("ready", flush=True)
    sys.stdin.readline()

    began = time.monotonic()
    try:
        once.write_events([Event("u", "b")])
    except Refused as refused:
        assert refused.code.name == "UNAVAILABLE", refused.code
    else:
        raise AssertionError("the server was away, and answered")
    print("calling", flush=True)
    assert client.write_events([Event("u", "c")]) == 1
    assert client.write_events([]) == 0
    print(f"answered after {time.monotonic() - began:.1f} s", flush=True)
