"""The Python package against a server: usage package.py ADDRESS.

Leaves with 77 where the package is not installed (pip install ./clients/python).
"""
import json
import sys
from datetime import datetime, timezone

try:
    import numpy as np
    from qianmian import Client, Event, Refused, encode, neighbours_of
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)


def refused(call, *words: str) -> Refused:
    try:
        call()
    except Refused as error:
        assert all(word in str(error) for word in words), error
        return error
    raise AssertionError(f"taken, not refused with {words}")


def main(address: str) -> None:
    with Client(address) as client:
        now = datetime.now(timezone.utc)
        events = [Event(f"u{n}", f"i{n % 5}", time=now, event_id=f"e{n}") for n in range(20)]
        assert client.write_events(events) == 20
        assert client.write_events(events) == 0, "a retry adds nothing"
        answer = client.recommend("u", limit=5)
        assert answer.generation == 1 and answer.basis == "history", answer
        assert [item.item_id for item in answer.items if item.source != "catalog"][0] == "茶", answer

        ids = ["a", "b", "i0", "茶"]
        vectors = np.array([[1, 0], [0, 1], [1, 1], [3, 0]])
        model = client.push_embeddings(
            ids, vectors, user_ids=["u"], user_array=np.array([[1, 0]]), pushed_by="package.py"
        )
        assert (model.generation, model.role) == (2, "active"), model
        verdicts = {check.name: check.verdict for check in model.checks}
        assert verdicts["not_finite"] == "passed" and verdicts["quality"] == "not_judged", verdicts
        nearest = client.recommend("u", limit=1, strategy="pushed_embedding")
        assert nearest.items[0].source == "pushed_embedding", nearest

        holed = vectors.astype(np.float32)
        holed[1, 1] = np.nan
        error = refused(lambda: client.push_embeddings(ids, holed), "not_finite 1")
        assert error.checks["not_finite"].endswith("failed") and len(error.checks) > 5, error.checks
        refused(lambda: client.recommend("u", limit=1_000), "limit: must be 1 to 500, was 1000")
        for wrong in (lambda: client.push_embeddings(ids, vectors[:2]), lambda: client.assign_model(1, "shown")):
            try:
                wrong()
            except ValueError:
                continue
            raise AssertionError("taken")

        places, scores = neighbours_of(np.array([[9, 0, 0.5, 0.25], *[[0] * 4] * 3]), 2)
        assert places.tolist()[0] == [2, 3] and places.tolist()[1] == [-1, -1], places
        tensors = {"item_neighbours": places, "item_neighbours.scores": scores}
        kept = client.push_model(encode(tensors, {"item_ids": json.dumps(ids)}), role="staged")
        assert kept.role == "staged", kept
        assert client.assign_model(3, "canary", 0.5).share == 0.5
        assert client.rollback_model().generation == 1
        assert [(m.generation, m.role) for m in client.list_models()] == [
            (3, "canary"),
            (2, "retired"),
            (1, "active"),
        ]


main(sys.argv[1])
