"""Trains ALS with implicit on an exported log and pushes it: python als.py LOG ADDRESS.

LOG is what `qianmian export log log.parquet --hold-out 14` wrote: what it leaves out is
what the server judges the model by. Needs: pip install implicit pandas pyarrow
"""

import sys
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from implicit.als import AlternatingLeastSquares
from qianmian import Client, Refused
from scipy.sparse import csr_matrix


def main(log: str, address: str) -> None:
    table = pq.read_table(log)
    until = datetime.fromtimestamp(int(table.schema.metadata[b"trained_until"]) / 1_000, timezone.utc)
    events = table.to_pandas()
    events = events[events.event == "purchase"]
    user, users = pd.factorize(events.user_id)
    item, items = pd.factorize(events.item_id)
    bought = csr_matrix((np.ones(len(events), np.float32), (user, item)))
    bought.data[:] = 1  # who has what; how often says little here
    model = AlternatingLeastSquares(factors=64, iterations=15, random_state=1)
    model.fit(bought, show_progress=False)
    print(f"trained on {len(events)} purchases of {len(users)} users until {until:%Y-%m-%d}")

    with Client(address) as client:
        try:
            pushed = client.push_embeddings(
                list(items),
                model.item_factors,
                user_ids=list(users),
                user_array=model.user_factors,
                trained_until=until,
                pushed_by="examples/als.py",
                note="implicit ALS, 64 factors",
            )
        except Refused as refused:
            sys.exit("\n".join([str(refused), *refused.checks.values()]))
        for check in pushed.checks:
            print(f"{check.name:20} {check.figure:10.4f}  {check.verdict}: {check.limit}")
        print(f"generation {pushed.generation} is {pushed.role}")
        shopper = users[0]
        for strategy in ["", "pushed_embedding"]:
            answer = client.recommend(shopper, limit=5, strategy=strategy)
            told = [(entry.item_id, entry.source) for entry in answer.items]
            print(f"for {shopper}, generation {answer.generation}: {told}")
        back = client.rollback_model()
        print(f"rolled back: generation {back.generation} is {back.role}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
