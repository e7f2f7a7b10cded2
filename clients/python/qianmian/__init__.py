"""Client of the Qianmian recommendation engine.

>>> from qianmian import Client, Event
>>> with Client(ADDRESS) as client:
...     client.write_events([Event("anna", "22423", kind="view")])
...     answer = client.recommend("anna", limit=5)
1
>>> len(answer.items) > 0
True

For asyncio:

>>> import asyncio
>>> from qianmian import AsyncClient
>>> async def newest(user: str) -> int:
...     async with AsyncClient(ADDRESS) as client:
...         return (await client.recommend(user, limit=1)).generation
>>> asyncio.run(newest("anna"))
1
"""

from ._async.client import AsyncClient
from ._sync.client import Client
from .errors import Refused
from .layout import encode, neighbours_of
from .types import (
    Acknowledgement,
    Attribute,
    Condition,
    CreatedKey,
    Diagnosis,
    Event,
    EventError,
    Explanation,
    Filter,
    FunnelStage,
    Hide,
    Item,
    ItemList,
    Key,
    LedBy,
    Model,
    ModelCheck,
    ModelComparison,
    ModelLineage,
    Offer,
    PriceRange,
    Quota,
    Ranking,
    Recommendation,
    Restriction,
    Rhythm,
    ScoredItem,
    ScoredUser,
    SettingDifference,
    ShadowComparison,
    SourceShare,
    Store,
    StoreLimits,
    Training,
    TrainingProgress,
    User,
    UserList,
    Variety,
)

__all__ = [
    "Acknowledgement",
    "AsyncClient",
    "Attribute",
    "Client",
    "Condition",
    "CreatedKey",
    "Diagnosis",
    "Event",
    "EventError",
    "Explanation",
    "Filter",
    "FunnelStage",
    "Hide",
    "Item",
    "ItemList",
    "Key",
    "LedBy",
    "Model",
    "ModelCheck",
    "ModelComparison",
    "ModelLineage",
    "Offer",
    "PriceRange",
    "Quota",
    "Ranking",
    "Recommendation",
    "Refused",
    "Restriction",
    "Rhythm",
    "ScoredItem",
    "ScoredUser",
    "SettingDifference",
    "ShadowComparison",
    "SourceShare",
    "Store",
    "StoreLimits",
    "Training",
    "TrainingProgress",
    "User",
    "UserList",
    "Variety",
    "encode",
    "neighbours_of",
]
