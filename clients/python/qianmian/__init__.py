"""Client of the Qianmian recommendation engine.

>>> from qianmian import Client
>>> with Client("127.0.0.1:50051") as client:
...     answer = client.recommend("17850", limit=5)
...     [item.item_id for item in answer.items]
"""

from .client import Check, Client, Event, Item, Model, Recommendation, Refused
from .layout import encode, neighbours_of

__all__ = [
    "Check",
    "Client",
    "Event",
    "Item",
    "Model",
    "Recommendation",
    "Refused",
    "encode",
    "neighbours_of",
]
