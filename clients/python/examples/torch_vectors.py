"""Trains item vectors with PyTorch on an exported log and pushes them to a canary:
python torch_vectors.py LOG ADDRESS.

A matrix factorisation with a softmax over all items: what was bought is to score higher than
everything else. LOG as for als.py. Needs: pip install torch pandas pyarrow
"""

import sys
from datetime import datetime, timezone

import pandas as pd
import pyarrow.parquet as pq
import torch
from qianmian import Client

DIMENSIONS = 64
EPOCHS = 8
BATCH = 8_192


def main(log: str, address: str) -> None:
    torch.manual_seed(1)
    table = pq.read_table(log)
    until = datetime.fromtimestamp(int(table.schema.metadata[b"trained_until"]) / 1_000, timezone.utc)
    events = table.to_pandas()
    events = events[events.event == "purchase"].drop_duplicates(["user_id", "item_id"])
    user, users = pd.factorize(events.user_id)
    item, items = pd.factorize(events.item_id)
    pairs = torch.stack([torch.as_tensor(user), torch.as_tensor(item)], dim=1)
    of_users = torch.nn.Embedding(len(users), DIMENSIONS)
    of_items = torch.nn.Embedding(len(items), DIMENSIONS)
    for vectors in (of_users, of_items):
        torch.nn.init.normal_(vectors.weight, std=0.1)
    parameters = [*of_users.parameters(), *of_items.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=0.01, weight_decay=1e-6)
    for epoch in range(EPOCHS):
        loss_sum = 0.0
        for batch in pairs[torch.randperm(len(pairs))].split(BATCH):
            scores = of_users(batch[:, 0]) @ of_items.weight.T
            loss = torch.nn.functional.cross_entropy(scores, batch[:, 1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(batch)
        print(f"epoch {epoch + 1}: loss {loss_sum / len(pairs):.4f}")

    with Client(address) as client:
        pushed = client.push_embeddings(
            list(items),
            of_items.weight.detach().half(),
            user_ids=list(users),
            user_array=of_users.weight.detach().half(),
            trained_until=until,
            role="canary",
            share=0.1,
            pushed_by="examples/torch_vectors.py",
        )
        print(f"generation {pushed.generation} is {pushed.role} for {pushed.share:.0%} of the shoppers")
        print({name: round(value, 4) for name, value in pushed.quality.items() if "pushed" in name})


if __name__ == "__main__":
    main(*sys.argv[1:3])
