"""The Python package by TLS with a key: usage secured.py ADDRESS CA KEY STORE.

Leaves with 77 where the package is not installed (pip install ./clients/python).
"""
import os
import sys

try:
    import grpc
    from qianmian import Client, Event, Refused
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)


def code(call) -> grpc.StatusCode:
    try:
        call()
    except Refused as error:
        return error.code
    raise AssertionError("taken, not refused")


def main(address: str, ca: str, key: str, store: str) -> None:
    url = f"https://{address}"
    with Client(url, ca=ca, key=key) as client:
        assert client.write_events([Event("u", "lamp")]) == 1
        assert client.list_models() == []
    with Client(url, ca=ca, key=key, store=store) as client:
        assert client.write_events([Event("u", "lamp")]) == 1, "another store"
    with Client(url, ca=ca, key=key, store="nowhere") as client:
        assert code(client.list_models) == grpc.StatusCode.NOT_FOUND

    with Client(url, ca=ca) as client:
        assert code(client.list_models) == grpc.StatusCode.UNAUTHENTICATED
    os.environ["QIANMIAN_KEY"] = key
    with Client(url, ca=ca) as client:
        assert client.list_models() == []

    for address in ("shop.example:50051", "http://10.0.0.1:50051"):
        try:
            Client(address, key=key)
        except ValueError as error:
            assert "not encrypted" in str(error) and key not in str(error), error
        else:
            raise AssertionError("a key leaves in plain text")


if __name__ == "__main__":
    main(*sys.argv[1:])
