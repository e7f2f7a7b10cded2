"""A client of one server, with every method of the protocol."""

from __future__ import annotations

import dataclasses
import json
import uuid
from asyncio import sleep
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from random import random
from typing import Any, Literal, TypeVar

import grpc

from .. import connection, convert, layout, rules, tables, types
from ..errors import Refused
from ..pushes import Push
from ..tables import Table
from ..types import Id
from ..v1 import catalog_pb2, catalog_pb2_grpc, event_pb2, event_pb2_grpc
from ..v1 import experiment_pb2, experiment_pb2_grpc, insight_pb2, insight_pb2_grpc, key_pb2, key_pb2_grpc
from ..v1 import model_pb2, model_pb2_grpc, placement_pb2, placement_pb2_grpc
from ..v1 import recommendation_pb2, recommendation_pb2_grpc, rule_pb2, rule_pb2_grpc
from ..v1 import store_pb2, store_pb2_grpc, user_pb2, user_pb2_grpc

Role = Literal["staged", "shadow", "canary", "active"]
Metric = Literal["inner_product", "cosine"]
RepeatPolicy = Literal["unspecified", "allow", "exclude_purchased", "when_due"]
Window = Literal["unspecified", "7_days", "30_days", "all_time"]
Dimension = Literal["hour", "day", "placement", "variant", "generation", "source"]
Reward = Literal["clicks", "purchases", "revenue"]
Period = Literal["day", "week", "month"]
CohortBasis = Literal["orders", "activity"]
Scope = Literal["read", "events", "catalog", "users", "models", "admin", "follow"]

_BATCH = 1_000
_PUSH_ATTEMPTS = 5
Given = TypeVar("Given")


class AsyncClient:
    """A connection to a server; close it, or use it as a context manager. ``Client`` blocks;
    ``AsyncClient`` is for asyncio, and has the same methods to be awaited.

    Args:
        address: host and port, e.g. "127.0.0.1:50051"; "https://host:port" for TLS.
        timeout: seconds after which a request is given up, retries included; streams and pushes
            have none.
        key: the API key ("qm_…"); the variable QIANMIAN_KEY where it is None and there is no
            channel. To an address it is sent in plain text on this machine only.
        store: the store, where the key is an admin's or the server has no keys; the one that the
            key opens, or "default", where it is None.
        time_zone: the zone of times without one, as "UTC" or "Europe/London"; where it is None,
            such times are refused.
        retries: whether a call that meets an unavailable server is tried up to five times, with
            growing random pauses, unless a second try could do something else (see
            ``connection.py``). Events get an id, by which the server knows a retry.
        read_your_writes: whether calls wait until the server has what this client wrote before, where
            several servers answer and one of them is a little behind.
        ca: file of the roots (PEM) that the server's certificate must come from; those of gRPC
            where it is None.
        cert, cert_key: files of a client certificate and its key (PEM), for a server that asks.
        channel: a channel of your own instead of address and certificates; it carries the key as it
            is, and retries as it does.

    Every method raises :class:`Refused` where the server refuses, or cannot be reached, and
    ValueError or TypeError, with the field's name, for what cannot be sent.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        timeout: float = 10.0,
        key: str | None = None,
        store: str | None = None,
        time_zone: str | tzinfo | None = None,
        retries: bool = True,
        read_your_writes: bool = False,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        cert_key: str | Path | None = None,
        channel: connection.AsyncChannel | None = None,
    ) -> None:
        files = (ca, cert, cert_key)
        if channel is not None:
            if any(file is not None for file in files):
                raise ValueError("ca, cert and cert_key are for an address, not for a channel")
            secret = key or ""
        else:
            secret = connection.secret_for(address, key)
            channel = connection.open_async_channel(address, files, retries)

        self._push_attempts = _PUSH_ATTEMPTS if retries else 1
        self._channel: Any = channel
        self._metadata = connection.metadata(secret, store)
        self._timeout = timeout
        self._reads_writes = read_your_writes
        self._written = 0
        self._zone = rules.zone_of(time_zone)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        self._events = event_pb2_grpc.EventServiceStub(channel)
        self._experiments = experiment_pb2_grpc.ExperimentServiceStub(channel)
        self._reports = experiment_pb2_grpc.ReportServiceStub(channel)
        self._insight = insight_pb2_grpc.InsightServiceStub(channel)
        self._keys = key_pb2_grpc.KeyServiceStub(channel)
        self._models = model_pb2_grpc.ModelServiceStub(channel)
        self._placements = placement_pb2_grpc.PlacementServiceStub(channel)
        self._rules = rule_pb2_grpc.RuleServiceStub(channel)
        self._recommendations = recommendation_pb2_grpc.RecommendationServiceStub(channel)
        self._stores = store_pb2_grpc.StoreServiceStub(channel)
        self._users = user_pb2_grpc.UserServiceStub(channel)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Lists.

    async def recommend(
        self,
        user_id: Id = "",
        *,
        session: Sequence[Id] = (),
        limit: int = 0,
        filter: types.Filter | None = None,
        exclude: Sequence[Id] = (),
        strategy: str = "",
        repeat_policy: RepeatPolicy = "unspecified",
        exclude_purchased_days: int = 0,
        attributes: Mapping[str, str] | None = None,
        explain: bool = False,
        variety: types.Variety | None = None,
        placement: str = "",
        page_category: str = "",
        page_items: Sequence[Id] = (),
        paged: bool = False,
        page_token: str = "",
        context: str = "",
        session_id: str = "",
        forced_variants: Sequence[str] = (),
    ) -> types.Recommendation:
        """A personalised list, or the list of a placement.

        Args:
            user_id: the user; may be empty with a session, attributes or a placement.
            session: items of the running session, oldest first.
            limit: length of the list, 1 to 500; 0: as the placement says, else 20.
            filter: which items may be offered.
            exclude: items that are not to be offered.
            strategy: one source alone, e.g. "pushed_embedding"; all where it is empty.
            repeat_policy: whether bought items may come back.
            exclude_purchased_days: with "exclude_purchased": only what was bought within these days.
            attributes: those of the user as of now.
            explain: whether each item comes with an explanation.
            variety: how much the items differ; by their scores alone where it is None.
            placement: a placement of the store; it decides what the call leaves open.
            page_category: category of the page, for rules.
            page_items: items of the page: the one that is shown, or a basket.
            paged: whether the answer has a next_page_token; page_token: that of the page before.
            context: the branch, country or currency whose offers hold.
            session_id: identifies a visitor without a user id, for experiments.
            forced_variants: variants that a tester wants to see, as "experiment/variant".
        """
        request = types.RecommendRequest(
            user_id=user_id,
            session_item_ids=_ids("session", session),
            limit=limit,
            filter=filter,
            exclude_item_ids=_ids("exclude", exclude),
            strategy=strategy or "unspecified",
            repeat_policy=repeat_policy,
            exclude_purchased_days=exclude_purchased_days,
            attributes=attributes or {},
            explain=explain,
            variety=variety,
            placement=placement,
            page_category=page_category,
            page_item_ids=_ids("page_items", page_items),
            paged=paged,
            page_token=page_token,
            context=context,
            session_id=session_id,
            forced_variants=forced_variants,
        )
        message = convert.to_message(request, self._zone)
        return _answer(
            types.Recommendation, await self._call(self._recommendations.Recommend, message)
        )

    async def diagnose(self, request: types.RecommendRequest) -> types.Diagnosis:
        """A list as :meth:`recommend` makes it, how it came about, and what stands out."""
        message = recommendation_pb2.DiagnoseRequest(
            request=convert.to_message(request, self._zone)
        )
        return _answer(types.Diagnosis, await self._call(self._recommendations.Diagnose, message))

    async def recommend_page(
        self, placements: Sequence[str], request: types.RecommendRequest
    ) -> list[types.Recommendation]:
        """The lists of several placements of one page; no item is in two of them."""
        message = recommendation_pb2.RecommendPageRequest(
            placements=placements, request=convert.to_message(request, self._zone)
        )
        answer = await self._call(self._recommendations.RecommendPage, message)
        return [_answer(types.Recommendation, each) for each in answer.lists]

    async def batch_recommend(
        self,
        user_ids: Iterable[Id],
        *,
        limit: int = 20,
        filter: types.Filter | None = None,
        repeat_policy: RepeatPolicy = "unspecified",
        exclude_purchased_days: int = 0,
    ) -> AsyncIterator[tuple[str, types.Recommendation]]:
        """Lists for many users, each as it is made. Arguments as of :meth:`recommend`."""
        rest = iter(_ids("user_ids", user_ids))
        while batch := list(islice(rest, 10_000)):
            request = recommendation_pb2.BatchRecommendRequest(
                user_ids=batch,
                limit=rules.whole("limit", limit),
                filter=self._filter(filter),
                repeat_policy=_number(
                    recommendation_pb2.RepeatPolicy, "repeat_policy", repeat_policy
                ),
                exclude_purchased_days=rules.whole("exclude_purchased_days", exclude_purchased_days),
            )
            async for answer in self._stream(self._recommendations.BatchRecommend, request):
                yield answer.user_id, _answer(types.Recommendation, answer.recommendation)

    async def describe_recommender(
        self, language: Literal["english", "chinese"] = "english"
    ) -> types.RecommenderDescription:
        """The main parameters of the lists and their weights, in words."""
        request = recommendation_pb2.DescribeRecommenderRequest(
            language=_number(recommendation_pb2.Language, "language", language)
        )
        answer = await self._call(self._recommendations.DescribeRecommender, request)
        return _answer(types.RecommenderDescription, answer)

    async def similar_items(
        self, item_id: Id, *, limit: int = 20, filter: types.Filter | None = None
    ) -> types.ItemList:
        """Items similar to an item."""
        request = recommendation_pb2.SimilarItemsRequest(
            item_id=rules.identifier("item_id", item_id), limit=rules.whole("limit", limit), filter=self._filter(filter)
        )
        answer = await self._call(self._recommendations.SimilarItems, request)
        return _answer(types.ItemList, answer)

    async def similar_users(self, user_id: Id, *, limit: int = 20) -> types.UserList:
        """Users similar to a user."""
        request = recommendation_pb2.SimilarUsersRequest(
            user_id=rules.identifier("user_id", user_id), limit=rules.whole("limit", limit)
        )
        answer = await self._call(self._recommendations.SimilarUsers, request)
        return _answer(types.UserList, answer)

    async def bought_together(
        self, item_ids: Sequence[Id], *, limit: int = 20, filter: types.Filter | None = None
    ) -> types.ItemList:
        """Complements of a basket of 1 to 100 items."""
        request = recommendation_pb2.BoughtTogetherRequest(
            item_ids=_ids("item_ids", item_ids), limit=rules.whole("limit", limit), filter=self._filter(filter)
        )
        answer = await self._call(self._recommendations.BoughtTogether, request)
        return _answer(types.ItemList, answer)

    async def popular(
        self,
        *,
        window: Window = "unspecified",
        limit: int = 20,
        filter: types.Filter | None = None,
    ) -> types.ItemList:
        """The most bought items of the last 30 days, or of another window."""
        request = recommendation_pb2.PopularRequest(
            window=_number(recommendation_pb2.Window, "window", window),
            limit=rules.whole("limit", limit),
            filter=self._filter(filter),
        )
        answer = await self._call(self._recommendations.Popular, request)
        return _answer(types.ItemList, answer)

    async def rank(
        self, item_ids: Sequence[Id], *, user_id: Id = "", session: Sequence[Id] = ()
    ) -> types.Ranking:
        """1 to 1,000 candidates in the order that suits a user, or a session."""
        request = recommendation_pb2.RankRequest(
            user_id=rules.identifier("user_id", user_id),
            session_item_ids=_ids("session", session),
            item_ids=_ids("item_ids", item_ids),
        )
        answer = await self._call(self._recommendations.Rank, request)
        return _answer(types.Ranking, answer)

    # Events.

    async def write_events(
        self,
        events: Iterable[types.Event] | Table,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> int:
        """Records events, durably; they count in the user's next list.

        Args:
            events: events, or a table (pandas, polars, Arrow) with a row for each.
            columns: the attributes of :class:`Event` that columns of a table hold, where their
                names differ, as {"CustomerID": "user_id"}.

        Returns:
            The number of new events; events with a known id are not counted.

        Raises:
            ValueError: if events break a limit. Earlier batches, and the valid events of this
                batch, are recorded; later batches are not sent.
        """
        recorded, begun = 0, 0
        for batch in self._event_batches(events, columns):
            request = event_pb2.WriteEventsRequest(events=batch)
            answer = await self._call(self._events.WriteEvents, request)
            if answer.errors:
                first = answer.errors[0]
                words = f"events[{begun + first.index}].{first.field}: {first.message}"
                raise ValueError(f"{len(answer.errors)} events were refused; {words}")
            recorded += answer.recorded
            begun += len(batch)
        return recorded

    async def stream_events(
        self,
        events: Iterable[types.Event] | Table,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> AsyncIterator[types.Acknowledgement]:
        """Records events over one stream, the fastest way for many: an acknowledgement for each
        batch of 1,000, with the errors of its events. Arguments as of :meth:`write_events`. A
        stream that breaks is not resumed: events with ids of your own can be sent again."""
        requests = _Requests(
            event_pb2.StreamEventsRequest(events=batch)
            for batch in self._event_batches(events, columns)
        )
        try:
            async for answer in self._stream(self._events.StreamEvents, requests):
                yield _answer(types.Acknowledgement, answer)
        finally:
            requests.check()

    # The catalogue.

    async def upsert_items(
        self,
        items: Iterable[types.Item] | Table,
        *,
        fields: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
    ) -> int:
        """Creates or replaces items, batch by batch, each all or nothing; returns their number.

        Args:
            items: items, or a table (pandas, polars, Arrow) with a row for each.
            fields: the only fields to write, as ["price", "attributes.colour"]; all where there
                are none.
            columns: as of :meth:`write_events`, for attributes of :class:`Item`.
        """
        upserted, rest = 0, tables.rows(items, types.Item, columns)
        while batch := list(islice(rest, _BATCH)):
            messages = [convert.to_message(item, self._zone) for item in batch]
            request = catalog_pb2.UpsertItemsRequest(items=messages)
            if fields:
                request.update_mask.paths.extend(fields)
            answer = await self._call(self._catalog.UpsertItems, request)
            upserted += answer.upserted
        return upserted

    async def set_availability(self, item_ids: Iterable[Id], available: bool) -> list[str]:
        """Marks up to 10,000 items as available or not; returns those that are not known."""
        word = "available" if available else "unavailable"
        request = catalog_pb2.SetAvailabilityRequest(
            item_ids=_ids("item_ids", item_ids),
            availability=_number(catalog_pb2.Availability, "availability", word),
        )
        answer = await self._call(self._catalog.SetAvailability, request)
        return list(answer.unknown_item_ids)

    async def get_item(self, item_id: Id) -> types.Item:
        """One item."""
        request = catalog_pb2.GetItemRequest(item_id=rules.identifier("item_id", item_id))
        answer = await self._call(self._catalog.GetItem, request)
        return _answer(types.Item, answer.item)

    async def get_reputation(self, item_id: Id) -> types.Reputation | None:
        """What users think of an item; None where none said."""
        request = catalog_pb2.GetItemRequest(item_id=rules.identifier("item_id", item_id))
        answer = await self._call(self._catalog.GetItem, request)
        given = answer.HasField("reputation")
        return _answer(types.Reputation, answer.reputation) if given else None

    async def list_items(self) -> AsyncIterator[types.Item]:
        """All known items, in the order in which the store first saw them."""
        token = ""
        while True:
            request = catalog_pb2.ListItemsRequest(page_size=_BATCH, page_token=token)
            answer = await self._call(self._catalog.ListItems, request)
            for item in answer.items:
                yield _answer(types.Item, item)
            token = answer.next_page_token
            if not token:
                return

    async def delete_item(self, item_id: Id) -> None:
        """Deletes an item from the catalogue; events on it stay."""
        request = catalog_pb2.DeleteItemRequest(item_id=rules.identifier("item_id", item_id))
        await self._call(self._catalog.DeleteItem, request)

    # Users.

    async def upsert_users(
        self, users: Iterable[types.User] | Table, *, columns: Mapping[str, str] | None = None
    ) -> int:
        """Creates or replaces users, batch by batch; returns their number. Arguments as of
        :meth:`upsert_items`."""
        upserted, rest = 0, tables.rows(users, types.User, columns)
        while batch := list(islice(rest, _BATCH)):
            messages = [convert.to_message(user, self._zone) for user in batch]
            answer = await self._call(
                self._users.UpsertUsers, user_pb2.UpsertUsersRequest(users=messages)
            )
            upserted += answer.upserted
        return upserted

    async def get_user(self, user_id: Id) -> types.User:
        """One user."""
        request = user_pb2.GetUserRequest(user_id=rules.identifier("user_id", user_id))
        answer = await self._call(self._users.GetUser, request)
        return _answer(types.User, answer.user)

    async def list_users(self) -> AsyncIterator[types.User]:
        """All known users, in the order in which the store first saw them."""
        token = ""
        while True:
            request = user_pb2.ListUsersRequest(page_size=_BATCH, page_token=token)
            answer = await self._call(self._users.ListUsers, request)
            for user in answer.users:
                yield _answer(types.User, user)
            token = answer.next_page_token
            if not token:
                return

    async def delete_user(self, user_id: Id) -> None:
        """Erases a user: their history is gone and no answer names them."""
        request = user_pb2.DeleteUserRequest(user_id=rules.identifier("user_id", user_id))
        await self._call(self._users.DeleteUser, request)

    async def set_personalisation(
        self, user_id: Id, enabled: bool, *, record_events: bool = True
    ) -> None:
        """Turns personalisation off or on, by the user's own decision; while it is off, their events may
        stay unrecorded."""
        request = user_pb2.SetPersonalisationRequest(
            user_id=rules.identifier("user_id", user_id),
            enabled=enabled,
            record_events=record_events,
        )
        await self._call(self._users.SetPersonalisation, request)

    async def link_users(self, user_id: Id, alias_ids: Iterable[Id]) -> int:
        """Makes ids (a device, a card, the hash of an address) aliases of a user: from then on they are one
        user. Gives the number of those that were not linked before."""
        request = user_pb2.LinkUsersRequest(
            user_id=rules.identifier("user_id", user_id),
            alias_ids=[rules.identifier("alias_ids", each) for each in alias_ids],
        )
        return int((await self._call(self._users.LinkUsers, request)).linked)

    async def unlink_users(self, alias_ids: Iterable[Id]) -> int:
        """Makes aliases users of their own again, as if they had never been linked; gives their number."""
        request = user_pb2.UnlinkUsersRequest(
            alias_ids=[rules.identifier("alias_ids", each) for each in alias_ids]
        )
        return int((await self._call(self._users.UnlinkUsers, request)).unlinked)

    async def get_aliases(self, user_id: Id) -> list[str]:
        """The aliases of a user, under their names in the store."""
        request = user_pb2.GetUserRequest(user_id=rules.identifier("user_id", user_id))
        return list((await self._call(self._users.GetUser, request)).alias_ids)

    async def get_user_data(self, user_id: Id) -> dict[str, Any]:
        """Everything that the store holds about a user."""
        request = user_pb2.GetUserDataRequest(user_id=rules.identifier("user_id", user_id))
        parts = [part.json_part async for part in self._stream(self._users.GetUserData, request)]
        data: dict[str, Any] = json.loads("".join(parts))
        return data

    # Models.

    async def train(self) -> types.Training:
        """Starts a training, or names the one that runs."""
        answer = await self._call(self._models.Train, model_pb2.TrainRequest())
        return _answer(types.Training, answer)

    async def watch_training(self, training_id: str = "") -> AsyncIterator[types.TrainingProgress]:
        """How far a training is, until it ends; the newest where no id is given."""
        request = model_pb2.WatchTrainingRequest(training_id=training_id)
        async for answer in self._stream(self._models.WatchTraining, request):
            yield _answer(types.TrainingProgress, answer)

    async def get_model(self, generation: int = 0) -> types.Model:
        """A kept model; the active one for 0."""
        request = model_pb2.GetModelRequest(generation=generation)
        answer = await self._call(self._models.GetModel, request)
        return _answer(types.Model, answer.model)

    async def list_models(self) -> list[types.Model]:
        """The models kept, newest first."""
        answer = await self._call(self._models.ListModels, model_pb2.ListModelsRequest())
        return [_answer(types.Model, model) for model in answer.models]

    async def compare_models(
        self, generation: int = 0, other_generation: int = 0, *, users: int = 0
    ) -> types.ModelComparison:
        """How two models differ, by the lists of ``users`` users; 0: the active one, 200 users."""
        request = model_pb2.CompareModelsRequest(
            generation=generation, other_generation=other_generation, users=users
        )
        answer = await self._call(self._models.CompareModels, request)
        return _answer(types.ModelComparison, answer)

    async def assign_model(
        self, generation: int, role: Role, share: float = 0.0
    ) -> types.Model:
        """Gives a kept model another role; "active" makes it answer."""
        number = _number(model_pb2.ModelRole, "role", role)
        request = model_pb2.AssignModelRequest(generation=generation, role=number, share=share)
        answer = await self._call(self._models.AssignModel, request)
        return _answer(types.Model, answer.model)

    async def activate_model(self, generation: int) -> types.Model:
        """Lets a kept model answer."""
        request = model_pb2.ActivateModelRequest(generation=generation)
        answer = await self._call(self._models.ActivateModel, request)
        return _answer(types.Model, answer.model)

    async def rollback_model(self) -> types.Model:
        """Lets the kept model answer that did before."""
        answer = await self._call(self._models.RollbackModel, model_pb2.RollbackModelRequest())
        return _answer(types.Model, answer.model)

    async def delete_model(self, generation: int) -> None:
        """Removes a kept model that has no role."""
        request = model_pb2.DeleteModelRequest(generation=generation)
        await self._call(self._models.DeleteModel, request)

    async def push_embeddings(
        self,
        ids: Sequence[Id],
        array: Any,
        *,
        user_ids: Sequence[Id] = (),
        user_array: Any = None,
        metric: Metric = "inner_product",
        trained_until: datetime | None = None,
        role: Role = "active",
        share: float = 0.0,
        pushed_by: str = "",
        note: str = "",
        force: bool = False,
    ) -> types.Model:
        """Pushes item vectors, and user vectors with them; returns when they serve.

        Args:
            ids: items, one a row of ``array``.
            array: n x d, d from 1 to 1,024; float16 is sent as it is, all else as float32.
                Of a PyTorch module, ``weight.detach().cpu()``.
            user_ids, user_array: the same of users, m x d. A user without a vector is folded in from
                their history.
            metric: the similarity of vectors.
            trained_until: the model was trained on events until then; the server judges it by
                later ones. None: until now.
            role, share: the role of the model, and the share of a shadow or a canary.
            force: accept the model even if lists are worse with it.
        """
        items = layout.floats("array", array, len(ids))
        tensors = {**layout.ids("item", _ids("ids", ids)), "item_embeddings": items}
        if user_array is not None:
            vectors = layout.floats("user_array", user_array, len(user_ids))
            of_users = layout.ids("user", _ids("user_ids", user_ids))
            tensors |= {**of_users, "user_embeddings": vectors}
        metadata: dict[str, str] = {"metric": metric}
        if trained_until is not None:
            until = rules.moment("trained_until", trained_until, self._zone)
            metadata["trained_until"] = str(round(until.timestamp() * 1_000))
        data = layout.encode(tensors, metadata)
        return await self.push_model(
            data, role=role, share=share, pushed_by=pushed_by, note=note, force=force
        )

    async def push_model(
        self,
        file: bytes | bytearray | memoryview | str | Path,
        *,
        role: Role = "active",
        share: float = 0.0,
        pushed_by: str = "",
        note: str = "",
        force: bool = False,
    ) -> types.Model:
        """Pushes a file of any kinds of parts, given whole or by its path;
        docs/src/models.md shows its layout. Resumes after a broken connection. Arguments as of
        :meth:`push_embeddings`."""
        push = Push.of(file, role, share, pushed_by, note, force)
        for attempt in range(self._push_attempts):
            try:
                messages = push.messages(await self.get_push(push.header.push_id))
                answer = await self._models.PushModel(messages, metadata=self._metadata)
                return _answer(types.Model, answer.model)
            except grpc.RpcError as error:
                refused = Refused(error)
            except Refused as error:
                refused = error
            if refused.code != grpc.StatusCode.UNAVAILABLE or attempt + 1 == self._push_attempts:
                raise refused from None
            await sleep(2**attempt * (0.5 + random()))
        raise AssertionError("the last attempt returns or raises")

    async def get_push(self, push_id: str) -> int:
        """The bytes that a server has of a push; 0 where it knows of none."""
        try:
            request = model_pb2.GetPushRequest(push_id=push_id)
            return int((await self._call(self._models.GetPush, request)).received_bytes)
        except Refused as refused:
            if refused.code == grpc.StatusCode.NOT_FOUND:
                return 0
            raise

    # Keys and stores; the scope is admin.

    # Rules and placements.

    async def apply_rules(
        self, rules: types.RuleSet, *, note: str = "", expected_version: int | None = None
    ) -> types.Applied:
        """Puts rules in force, in place of all others.

        Args:
            note: why, for those who read the versions.
            expected_version: refuses unless this version is in force; 0: none.
        """
        request = rule_pb2.ApplyRulesRequest(
            rules=convert.to_message(rules, self._zone),
            note=note,
            expected_version=expected_version,
        )
        return _answer(types.Applied, await self._call(self._rules.ApplyRules, request))

    async def get_rules(self, version: int = 0) -> types.Rules:
        """A version of the rules; the one in force where it is 0."""
        request = rule_pb2.GetRulesRequest(version=version)
        return _answer(types.Rules, await self._call(self._rules.GetRules, request))

    async def rollback_rules(self, version: int = 0) -> types.Applied:
        """Puts an earlier version in force again, the one before where it is 0, under a new number."""
        request = rule_pb2.RollbackRulesRequest(version=version)
        return _answer(types.Applied, await self._call(self._rules.RollbackRules, request))

    async def dry_run_rules(
        self,
        rules: types.RuleSet,
        *,
        placement: str = "",
        users: int = 0,
        limit: int = 0,
        time: types.Time | None = None,
    ) -> types.DryRun:
        """What rules would change, on users of the store's own log.

        Args:
            users: their number; 200 where it is 0.
            limit: length of the lists; 20 where it is 0.
            time: the time for the schedules; now where it is None.
        """
        request = rule_pb2.DryRunRulesRequest(
            rules=convert.to_message(rules, self._zone),
            placement=placement,
            users=users,
            limit=limit,
            time=None if time is None else convert.timestamp("time", time, self._zone),
        )
        return _answer(types.DryRun, await self._call(self._rules.DryRunRules, request))

    async def apply_placements(
        self,
        placements: types.PlacementSet,
        *,
        note: str = "",
        expected_version: int | None = None,
    ) -> types.Applied:
        """Puts placements in force, in place of all others. Arguments as of :meth:`apply_rules`."""
        request = placement_pb2.ApplyPlacementsRequest(
            placements=convert.to_message(placements, self._zone),
            note=note,
            expected_version=expected_version,
        )
        return _answer(types.Applied, await self._call(self._placements.ApplyPlacements, request))

    async def get_placements(self, version: int = 0) -> types.Placements:
        """A version of the placements; the one in force where it is 0."""
        request = placement_pb2.GetPlacementsRequest(version=version)
        return _answer(types.Placements, await self._call(self._placements.GetPlacements, request))

    async def trade_off(
        self, objective: types.Objective, *, users: int = 0, limit: int = 0
    ) -> types.TradeOff:
        """What an objective would cost and bring, on users of the store's own log.

        Args:
            users: their number; 200 where it is 0.
            limit: length of the lists; 20 where it is 0.
        """
        request = placement_pb2.TradeOffRequest(
            objective=convert.to_message(objective, self._zone), users=users, limit=limit
        )
        return _answer(types.TradeOff, await self._call(self._placements.TradeOff, request))

    async def rollback_placements(self, version: int = 0) -> types.Applied:
        """Puts an earlier version in force again, the one before where it is 0, under a new number."""
        request = placement_pb2.RollbackPlacementsRequest(version=version)
        return _answer(types.Applied, await self._call(self._placements.RollbackPlacements, request))

    # Experiments and reports.

    async def put_experiment(self, experiment: types.Experiment, *, note: str = "") -> types.Experiment:
        """Creates an experiment as a draft, or changes it; a running one only in what moves no user."""
        request = experiment_pb2.PutExperimentRequest(
            experiment=convert.to_message(experiment, self._zone), note=note
        )
        answer = await self._call(self._experiments.PutExperiment, request)
        return _answer(types.Experiment, answer.experiment)

    async def start_experiment(self, name: str) -> types.Experiment:
        """Starts a draft."""
        request = experiment_pb2.StartExperimentRequest(name=name)
        answer = await self._call(self._experiments.StartExperiment, request)
        return _answer(types.Experiment, answer.experiment)

    async def stop_experiment(self, name: str, reason: str = "") -> types.Experiment:
        """Stops a running experiment: its users see the placement as it is."""
        request = experiment_pb2.StopExperimentRequest(name=name, reason=reason)
        answer = await self._call(self._experiments.StopExperiment, request)
        return _answer(types.Experiment, answer.experiment)

    async def adopt_variant(self, name: str, variant: str) -> types.Experiment:
        """Gives the tested placement the settings of a variant's, and stops the experiment."""
        request = experiment_pb2.AdoptVariantRequest(name=name, variant=variant)
        answer = await self._call(self._experiments.AdoptVariant, request)
        return _answer(types.Experiment, answer.experiment)

    async def delete_experiment(self, name: str) -> None:
        """Removes an experiment that does not run."""
        request = experiment_pb2.DeleteExperimentRequest(name=name)
        await self._call(self._experiments.DeleteExperiment, request)

    async def set_holdout(self, share: float) -> None:
        """Sets the share of users, 0 to 0.5, that no experiment concerns."""
        request = experiment_pb2.SetHoldoutRequest(share=rules.number("share", share))
        await self._call(self._experiments.SetHoldout, request)

    async def list_experiments(self) -> types.Experiments:
        """All experiments."""
        request = experiment_pb2.ListExperimentsRequest()
        return _answer(
            types.Experiments, await self._call(self._experiments.ListExperiments, request)
        )

    async def get_experiment_report(self, name: str) -> types.ExperimentReport:
        """An experiment with its figures and its verdict, which may be read daily."""
        request = experiment_pb2.GetExperimentReportRequest(name=name)
        return _answer(
            types.ExperimentReport, await self._call(self._experiments.GetExperimentReport, request)
        )

    async def get_metrics(
        self,
        group_by: Sequence[Dimension] = (),
        *,
        start: types.Time | None = None,
        end: types.Time | None = None,
    ) -> list[types.MetricGroup]:
        """What the lists of a range of time brought: of the last 30 days where ``start`` is None."""
        request = experiment_pb2.GetMetricsRequest(
            start_time=None if start is None else convert.timestamp("start", start, self._zone),
            end_time=None if end is None else convert.timestamp("end", end, self._zone),
            group_by=[
                _number(experiment_pb2.MetricDimension, "group_by", each) for each in group_by
            ],
        )
        answer = await self._call(self._reports.GetMetrics, request)
        return [_answer(types.MetricGroup, group) for group in answer.groups]

    async def replay_placement(
        self,
        placement: str,
        candidate: str,
        *,
        reward: Reward = "clicks",
        start: types.Time | None = None,
        end: types.Time | None = None,
    ) -> types.Replay:
        """What another placement would have earned in the randomised slots of one that was shown, in the
        last 7 days where ``start`` is None."""
        request = experiment_pb2.ReplayPlacementRequest(
            placement=placement,
            candidate=candidate,
            reward=_number(experiment_pb2.ReplayReward, "reward", reward),
            start_time=None if start is None else convert.timestamp("start", start, self._zone),
            end_time=None if end is None else convert.timestamp("end", end, self._zone),
        )
        return _answer(types.Replay, await self._call(self._reports.ReplayPlacement, request))


    # Insight.

    async def get_portrait(self, user_id: Id) -> types.Portrait:
        """What the store knows of a user: traits, orders, value, tiers."""
        request = insight_pb2.GetPortraitRequest(user_id=rules.identifier("user_id", user_id))
        answer = await self._call(self._insight.GetPortrait, request)
        return _answer(types.Portrait, answer.portrait)

    async def list_user_tags(self, user_id: Id) -> types.UserTags:
        """What the portrait of a user believes, and what they deleted of it."""
        request = insight_pb2.ListUserTagsRequest(user_id=rules.identifier("user_id", user_id))
        return _answer(types.UserTags, await self._call(self._insight.ListUserTags, request))

    async def delete_user_tag(self, user_id: Id, tag: str) -> None:
        """Deletes a tag of a user, for good."""
        request = insight_pb2.DeleteUserTagRequest(
            user_id=rules.identifier("user_id", user_id), tag=tag
        )
        await self._call(self._insight.DeleteUserTag, request)

    async def export_portraits(self) -> AsyncIterator[types.Portrait]:
        """The portraits of all users who consent, under their names in the store."""
        request = insight_pb2.ExportPortraitsRequest()
        async for message in self._stream(self._insight.ExportPortraits, request):
            for portrait in message.portraits:
                yield _answer(types.Portrait, portrait)

    async def get_overview(self) -> types.Overview:
        """The buyers by segment and tier, and how right the methods of forecasts are."""
        request = insight_pb2.GetOverviewRequest()
        return _answer(types.Overview, await self._call(self._insight.GetOverview, request))

    async def get_cohorts(
        self, *, basis: CohortBasis = "orders", period: Period = "month", periods: int = 12
    ) -> list[types.Cohort]:
        """Users by the period in which they came, and how many of them came again."""
        request = insight_pb2.GetCohortsRequest(
            basis=_number(insight_pb2.CohortBasis, "basis", basis),
            period=_number(insight_pb2.Period, "period", period),
            periods=rules.whole("periods", periods),
        )
        answer = await self._call(self._insight.GetCohorts, request)
        return [_answer(types.Cohort, cohort) for cohort in answer.cohorts]

    async def get_activity(
        self,
        *,
        period: Period = "month",
        start: types.Time | None = None,
        end: types.Time | None = None,
        days: int = 90,
    ) -> list[types.ActivityPeriod]:
        """Active users, orders and revenue by period: of some ``days`` where ``start`` is None."""
        request = insight_pb2.GetActivityRequest(
            period=_number(insight_pb2.Period, "period", period),
            start_time=None if start is None else convert.timestamp("start", start, self._zone),
            end_time=None if end is None else convert.timestamp("end", end, self._zone),
            days=rules.whole("days", days),
        )
        answer = await self._call(self._insight.GetActivity, request)
        return [_answer(types.ActivityPeriod, each) for each in answer.periods]

    async def backtest_forecasts(self, cut: types.Time, days: int = 90) -> types.Backtest:
        """How right forecasts made at ``cut`` would have been in the ``days`` after it."""
        request = insight_pb2.BacktestForecastsRequest(
            cut_time=convert.timestamp("cut", cut, self._zone), days=rules.whole("days", days)
        )
        return _answer(types.Backtest, await self._call(self._insight.BacktestForecasts, request))

    async def list_segments(self) -> list[types.SegmentSize]:
        """The saved segments with the number of users in each now."""
        request = insight_pb2.ListSegmentsRequest()
        answer = await self._call(self._insight.ListSegments, request)
        return [_answer(types.SegmentSize, segment) for segment in answer.segments]

    async def export_audience(
        self,
        offer: types.AudienceOffer | None = None,
        *,
        segments: Sequence[str] = (),
        except_segments: Sequence[str] = (),
        not_contacted_days: int = 0,
        days: int = 30,
        max_users: int = 1_000,
    ) -> AsyncIterator[types.AudienceMember]:
        """The users to whom an offer is worth most in the coming ``days``, best first; without one, the
        users in the segments. Users contacted within ``not_contacted_days`` are left out.
        """
        request = insight_pb2.ExportAudienceRequest(
            offer=None if offer is None else convert.to_message(offer, self._zone),
            segments=segments,
            except_segments=except_segments,
            not_contacted_days=rules.whole("not_contacted_days", not_contacted_days),
            days=rules.whole("days", days),
            max_users=rules.whole("max_users", max_users),
        )
        async for message in self._stream(self._insight.ExportAudience, request):
            for member in message.members:
                yield _answer(types.AudienceMember, member)

    async def record_contacts(self, user_ids: Iterable[Id], time: types.Time | None = None) -> int:
        """Records that the shop sent users something; gives the number of those that the store knows."""
        request = insight_pb2.RecordContactsRequest(
            user_ids=[rules.identifier("user_ids", each) for each in user_ids],
            time=None if time is None else convert.timestamp("time", time, self._zone),
        )
        return int((await self._call(self._insight.RecordContacts, request)).recorded)

    async def apply_insight_settings(
        self,
        settings: types.InsightSettings,
        *,
        note: str = "",
        expected_version: int | None = None,
    ) -> int:
        """Puts named segments and tiers in force, all at once; gives their version."""
        request = insight_pb2.ApplyInsightSettingsRequest(
            settings=convert.to_message(settings, self._zone),
            note=note,
            expected_version=expected_version,
        )
        answer = await self._call(self._insight.ApplyInsightSettings, request)
        return int(answer.version)

    async def get_insight_settings(self, version: int = 0) -> types.InsightVersions:
        """A version of the segments and tiers, the one in force where it is 0."""
        request = insight_pb2.GetInsightSettingsRequest(version=version)
        return _answer(
            types.InsightVersions, await self._call(self._insight.GetInsightSettings, request)
        )

    async def rollback_insight_settings(self, version: int = 0) -> int:
        """Puts an earlier version in force again, the one before where it is 0; gives its new number."""
        request = insight_pb2.RollbackInsightSettingsRequest(version=version)
        answer = await self._call(self._insight.RollbackInsightSettings, request)
        return int(answer.version)

    async def create_key(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        store: str = "",
        quota: types.Quota | None = None,
        expires_in: timedelta | None = None,
    ) -> types.CreatedKey:
        """Creates a key for a store ("default" where none is named)."""
        numbers = [_number(key_pb2.Scope, "scopes", scope) for scope in scopes]
        request = key_pb2.CreateKeyRequest(name=name, scopes=numbers, store=store)
        if quota is not None:
            request.quota.CopyFrom(convert.to_message(quota))
        if expires_in is not None:
            request.expires_in.FromTimedelta(expires_in)
        return _answer(types.CreatedKey, await self._call(self._keys.CreateKey, request))

    async def list_keys(self) -> list[types.Key]:
        """All keys, without their secrets."""
        answer = await self._call(self._keys.ListKeys, key_pb2.ListKeysRequest())
        return [_answer(types.Key, key) for key in answer.keys]

    async def revoke_key(self, name: str) -> types.Key:
        """Revokes a key, at once and for good."""
        answer = await self._call(self._keys.RevokeKey, key_pb2.RevokeKeyRequest(name=name))
        return _answer(types.Key, answer.key)

    async def create_store(
        self, name: str, limits: types.StoreLimits | None = None
    ) -> types.Store:
        """Creates an empty store."""
        request = store_pb2.CreateStoreRequest(name=name)
        if limits is not None:
            request.limits.CopyFrom(convert.to_message(limits))
        answer = await self._call(self._stores.CreateStore, request)
        return _answer(types.Store, answer.store)

    async def list_stores(self) -> list[types.Store]:
        """All stores, in the order of their names."""
        answer = await self._call(self._stores.ListStores, store_pb2.ListStoresRequest())
        return [_answer(types.Store, store) for store in answer.stores]

    async def update_store(self, name: str, limits: types.StoreLimits) -> types.Store:
        """Replaces the limits of a store."""
        request = store_pb2.UpdateStoreRequest(name=name, limits=convert.to_message(limits))
        answer = await self._call(self._stores.UpdateStore, request)
        return _answer(types.Store, answer.store)

    async def delete_store(self, name: str) -> None:
        """Deletes a store and everything in it, for good."""
        await self._call(self._stores.DeleteStore, store_pb2.DeleteStoreRequest(name=name))

    # What all of them need.

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            answer = await method(request, timeout=self._timeout, metadata=self._carried())
        except grpc.RpcError as error:
            refused = Refused(error)
            if refused.reason != "OFFSET_AHEAD" or not self._written:
                raise refused from None
            # Another server took over without what was written last.
            self._written = 0
            return await self._call(method, request)
        if self._reads_writes:
            self._written = max(self._written, getattr(answer, "offset", 0))
        return answer

    async def _stream(self, method: Any, request: Any) -> AsyncIterator[Any]:
        try:
            async for answer in method(request, metadata=self._carried()):
                yield answer
        except grpc.RpcError as error:
            raise Refused(error) from None

    def _carried(self) -> connection.Metadata:
        """What a call carries: also the offset that this client has written up to, where it asks for that."""
        offset = [("qianmian-min-offset", str(self._written))] if self._written else []
        return [*self._metadata, *offset]

    def _event_batches(
        self, events: Iterable[types.Event] | Table, columns: Mapping[str, str] | None
    ) -> Iterator[list[event_pb2.Event]]:
        rest = tables.rows(events, types.Event, columns)
        while batch := list(islice(rest, _BATCH)):
            yield [convert.to_message(_with_id(event), self._zone) for event in batch]

    def _filter(self, filter: types.Filter | None) -> recommendation_pb2.Filter | None:
        message: recommendation_pb2.Filter | None = None
        if filter is not None:
            message = convert.to_message(filter, self._zone)
        return message


class _Requests:
    """Requests of a stream. gRPC hides what goes wrong while they are made: the stream ends there, and
    the caller learns it after."""

    def __init__(self, requests: Iterator[Any]) -> None:
        self._requests = requests
        self._failed: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except Exception as error:
            self._failed = error
            raise StopIteration from None

    def check(self) -> None:
        """Raises what went wrong, if anything did."""
        if self._failed is not None:
            raise self._failed


def _answer(kind: type[Given], message: Any) -> Given:
    made = convert.from_message(message)
    assert isinstance(made, kind)
    return made


def _with_id(event: types.Event) -> types.Event:
    now = event.time or datetime.now().astimezone()
    return dataclasses.replace(event, time=now, event_id=event.event_id or uuid.uuid4().hex)


def _ids(field: str, ids: Iterable[Id]) -> list[str]:
    if isinstance(ids, str):
        raise TypeError(f"{field} must be a list of ids, was {ids!r}")
    return [rules.identifier(f"{field}[{at}]", each) for at, each in enumerate(ids)]


def _number(enum: Any, field: str, word: str) -> Any:
    return convert.constant(enum.DESCRIPTOR, field, word)
