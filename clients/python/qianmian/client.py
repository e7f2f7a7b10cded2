"""A client of one server."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from . import connection, layout
from .v1 import event_pb2, event_pb2_grpc, model_pb2, model_pb2_grpc
from .v1 import recommendation_pb2, recommendation_pb2_grpc

Role = Literal["staged", "shadow", "canary", "active"]
Metric = Literal["inner_product", "cosine"]

_CHUNK = 512 << 10
_BATCH = 1_000
_ATTEMPTS = 5


class Refused(Exception):
    """The server refused a request.

    Attributes:
        code: the gRPC status code.
        checks: of a model that did not pass the gate, every check's words by its name.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.code: grpc.StatusCode = error.code()
        self.checks: dict[str, str] = _checks(error)


@dataclass(frozen=True)
class Event:
    """An event of a user.

    Attributes:
        kind: "view", "add_to_cart", "favorite", "purchase", "refund", "rating",
            "impression" or "click".
        time: when; now where it is None. Without a zone it is local time.
        event_id: a client's own id, by which a retry is known; may be empty.
    """

    user_id: str
    item_id: str
    kind: str = "purchase"
    time: datetime | None = None
    quantity: float = 1.0
    price: float | None = None
    event_id: str = ""
    basket_id: str = ""


@dataclass(frozen=True)
class Item:
    """An item of a list: its score, higher is better, and the source it came from."""

    item_id: str
    score: float
    source: str


@dataclass(frozen=True)
class Recommendation:
    """A list, best first.

    Attributes:
        generation: the model that it came from; 0 before the first.
        basis: what it was built on: "history", "session", "attributes" or "popular".
    """

    recommendation_id: str
    generation: int
    basis: str
    items: list[Item]


@dataclass(frozen=True)
class Check:
    """What the gate looked at: a figure, the limit in words, and the verdict ("passed",
    "failed", "overridden" or "not_judged")."""

    name: str
    figure: float
    limit: str
    verdict: str


@dataclass(frozen=True)
class Model:
    """A kept model.

    Attributes:
        role: "staged", "shadow", "canary", "active" or "retired".
        quality: measured quality by name.
        checks: what the gate found of its pushed part.
        shadow: of a shadow with which lists were compared: how many, and the mean share of
            the first ten items that its lists have in common with those that were shown.
    """

    generation: int
    role: str
    share: float
    quality: Mapping[str, float]
    checks: list[Check] = field(default_factory=list)
    shadow: tuple[int, float] | None = None


class Client:
    """A connection to a server; close it, or use it as a context manager.

    Args:
        address: host and port, e.g. "127.0.0.1:50051"; "https://host:port" for TLS.
        timeout: seconds after which a request is given up; pushes have none.
        key: the API key ("qm_…"); the variable QIANMIAN_KEY where it is None and there is no
            channel. To an address it is sent in plain text on this machine only.
        store: the store, where the key is an admin's or the server has no keys; the one that the
            key opens, or "default", where it is None.
        ca: file of the roots (PEM) that the server's certificate must come from; those of gRPC
            where it is None.
        cert, cert_key: files of a client certificate and its key (PEM), for a server that asks.
        channel: a channel of your own instead of address and certificates; it carries the key as it
            is.

    Every method raises :class:`Refused` where the server refuses, or cannot be reached.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        timeout: float = 10.0,
        key: str | None = None,
        store: str | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        cert_key: str | Path | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        if channel is not None:
            if any(file is not None for file in (ca, cert, cert_key)):
                raise ValueError("ca, cert and cert_key are for an address, not for a channel")
            plain, secret = channel, key or ""
        else:
            plain = connection.open_channel(address, ca, cert, cert_key)
            secret = os.environ.get("QIANMIAN_KEY", "") if key is None else key
            if secret and not connection.may_carry_a_key(address):
                plain.close()
                raise ValueError(f"{address} is not encrypted: give https://HOST:PORT to send a key")
        metadata = connection.metadata(secret, store)
        self._channel = connection.with_metadata(plain, metadata) if metadata else plain
        self._plain = plain
        self._timeout = timeout
        self._recommendations = recommendation_pb2_grpc.RecommendationServiceStub(self._channel)
        self._events = event_pb2_grpc.EventServiceStub(self._channel)
        self._models = model_pb2_grpc.ModelServiceStub(self._channel)

    def close(self) -> None:
        """Closes the connection."""
        self._plain.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recommend(
        self,
        user_id: str = "",
        *,
        session: Sequence[str] = (),
        limit: int = 20,
        exclude: Sequence[str] = (),
        categories: Sequence[str] = (),
        strategy: str = "",
    ) -> Recommendation:
        """A personalised list.

        Args:
            user_id: the user; may be empty with a session.
            session: items of the running session, oldest first.
            limit: length of the list, 1 to 500.
            exclude: items that are not to be offered.
            categories: only items of these are offered; all where there are none.
            strategy: one source alone, e.g. "pushed_embedding"; all where it is empty.
        """
        request = recommendation_pb2.RecommendRequest(
            user_id=user_id,
            session_item_ids=session,
            limit=limit,
            filter=recommendation_pb2.Filter(categories=categories),
            exclude_item_ids=exclude,
            strategy=_constant(recommendation_pb2.Source, "SOURCE", strategy or "unspecified"),
        )
        answer = self._call(self._recommendations.Recommend, request)
        source = recommendation_pb2.Source.Name
        items = [
            Item(item.item_id, item.score, _word(source(item.source), "SOURCE"))
            for item in answer.items
        ]
        basis = _word(recommendation_pb2.Basis.Name(answer.basis), "BASIS")
        return Recommendation(answer.recommendation_id, answer.generation, basis, items)

    def write_events(self, events: Iterable[Event]) -> int:
        """Records events, durably; they count in the user's next list.

        Returns:
            The number of new events; events with a known id are not counted.

        Raises:
            ValueError: if events break a limit. Earlier batches, and the valid events of this
                batch, are recorded; later batches are not sent.
        """
        recorded, begun, rest = 0, 0, iter(events)
        while batch := list(islice(rest, _BATCH)):
            request = event_pb2.WriteEventsRequest(events=[_event(event) for event in batch])
            answer = self._call(self._events.WriteEvents, request)
            if answer.errors:
                first = answer.errors[0]
                words = f"events[{begun + first.index}].{first.field}: {first.message}"
                raise ValueError(f"{len(answer.errors)} events were refused; {words}")
            recorded += answer.recorded
            begun += len(batch)
        return recorded

    def push_embeddings(
        self,
        ids: Sequence[str],
        array: Any,
        *,
        user_ids: Sequence[str] = (),
        user_array: Any = None,
        metric: Metric = "inner_product",
        trained_until: datetime | None = None,
        role: Role = "active",
        share: float = 0.0,
        pushed_by: str = "",
        note: str = "",
        force: bool = False,
    ) -> Model:
        """Pushes item vectors, and user vectors with them; returns when they serve.

        Args:
            ids: items, one a row of ``array``.
            array: n x d, d from 1 to 1,024; float16 is sent as it is, all else as float32.
                Of a PyTorch module, ``weight.detach().cpu()``.
            user_ids, user_array: the same of users, m x d. A user without a vector is folded in from
                their history.
            metric: the similarity of vectors.
            trained_until: the model was trained on events until then; the server judges it by
                later ones. None: until now. Without a zone it is local time.
            role, share: the role of the model, and the share of a shadow or a canary.
            force: accept the model even if lists are worse with it.
        """
        tensors = {**layout.ids("item", ids), "item_embeddings": layout.floats("array", array, len(ids))}
        if user_array is not None:
            vectors = layout.floats("user_array", user_array, len(user_ids))
            tensors |= {**layout.ids("user", user_ids), "user_embeddings": vectors}
        metadata: dict[str, str] = {"metric": metric}
        if trained_until is not None:
            metadata["trained_until"] = str(round(trained_until.timestamp() * 1_000))
        data = layout.encode(tensors, metadata)
        return self.push(data, role=role, share=share, pushed_by=pushed_by, note=note, force=force)

    def push(
        self,
        file: bytes | bytearray | memoryview | str | Path,
        *,
        role: Role = "active",
        share: float = 0.0,
        pushed_by: str = "",
        note: str = "",
        force: bool = False,
    ) -> Model:
        """Pushes a file of any kinds of parts, given whole or by its path;
        docs/src/models.md shows its layout. Resumes after a broken connection. Arguments as of
        :meth:`push_embeddings`."""
        data = Path(file).read_bytes() if isinstance(file, (str, Path)) else bytes(file)
        sha256 = hashlib.sha256(data).hexdigest()
        header = model_pb2.PushHeader(
            push_id=f"{uuid.uuid4()}",
            size_bytes=len(data),
            pushed_by=pushed_by,
            note=note,
            role=_constant(model_pb2.ModelRole, "MODEL_ROLE", role),
            share=share,
            force=force,
        )
        for attempt in range(_ATTEMPTS):
            try:
                messages = _messages(header, data, sha256, self._received(header.push_id))
                return _model(self._models.PushModel(messages).model)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or attempt + 1 == _ATTEMPTS:
                    raise Refused(error) from None
                time.sleep(2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def models(self) -> list[Model]:
        """The models kept, newest first."""
        answer = self._call(self._models.ListModels, model_pb2.ListModelsRequest())
        return [_model(model) for model in answer.models]

    def assign(self, generation: int, role: Role, share: float = 0.0) -> Model:
        """Gives a kept model another role; "active" makes it answer."""
        number = _constant(model_pb2.ModelRole, "MODEL_ROLE", role)
        request = model_pb2.AssignModelRequest(generation=generation, role=number, share=share)
        return _model(self._call(self._models.AssignModel, request).model)

    def rollback(self) -> Model:
        """Lets the kept model answer that did before."""
        answer = self._call(self._models.RollbackModel, model_pb2.RollbackModelRequest())
        return _model(answer.model)

    def _received(self, push_id: str) -> int:
        try:
            request = model_pb2.GetPushRequest(push_id=push_id)
            return int(self._models.GetPush(request, timeout=self._timeout).received_bytes)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return 0
            raise

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise Refused(error) from None


def _messages(
    header: model_pb2.PushHeader, data: bytes, sha256: str, received: int
) -> Iterator[model_pb2.PushModelRequest]:
    yield model_pb2.PushModelRequest(header=header)
    for offset in range(received, len(data), _CHUNK):
        chunk = model_pb2.PushChunk(offset=offset, data=data[offset : offset + _CHUNK])
        yield model_pb2.PushModelRequest(chunk=chunk)
    commit = model_pb2.PushCommit(size_bytes=len(data), sha256=sha256)
    yield model_pb2.PushModelRequest(commit=commit)


def _event(event: Event) -> event_pb2.Event:
    moment = Timestamp()
    moment.FromDatetime((event.time or datetime.now(timezone.utc)).astimezone(timezone.utc))
    message = event_pb2.Event(
        event_id=event.event_id,
        user_id=event.user_id,
        item_id=event.item_id,
        kind=_constant(event_pb2.EventKind, "EVENT_KIND", event.kind),
        time=moment,
        quantity=event.quantity,
        basket_id=event.basket_id,
    )
    if event.price is not None:
        message.price = event.price
    return message


def _model(model: model_pb2.Model) -> Model:
    verdict = model_pb2.Verdict.Name
    checks = [
        Check(check.name, check.figure, check.limit, _word(verdict(check.verdict), "VERDICT"))
        for check in model.lineage.checks
    ]
    role = _word(model_pb2.ModelRole.Name(model.role), "MODEL_ROLE")
    compared = (model.shadow.lists, model.shadow.overlap) if model.HasField("shadow") else None
    return Model(model.generation, role, model.share, dict(model.quality), checks, compared)


def _constant(enum: Any, prefix: str, word: str) -> Any:
    try:
        return enum.Value(f"{prefix}_{word.upper()}")
    except ValueError:
        known = [_word(name, prefix) for name in enum.keys()]
        raise ValueError(f"must be one of {known}, was {word!r}") from None


def _word(constant: str, prefix: str) -> str:
    return constant.removeprefix(f"{prefix}_").lower()


def _checks(error: grpc.RpcError) -> dict[str, str]:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info) and info.reason == "MODEL_REFUSED":
            return dict(info.metadata)
    return {}
