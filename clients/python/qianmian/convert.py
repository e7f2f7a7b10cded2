"""Conversions between the protocol's messages and the classes of :mod:`.types`, by the names of
their fields. No message is named here but those that have a form of their own in Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timezone, tzinfo
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from . import rules, types
from .v1 import catalog_pb2, event_pb2, experiment_pb2, insight_pb2, key_pb2, placement_pb2
from .v1 import recommendation_pb2, rule_pb2, store_pb2, user_pb2

# Messages whose classes have other names.
_RENAMED = {
    "RecommendResponse": types.Recommendation,
    "SimilarItemsResponse": types.ItemList,
    "BoughtTogetherResponse": types.ItemList,
    "PopularResponse": types.ItemList,
    "RankResponse": types.Ranking,
    "SimilarUsersResponse": types.UserList,
    "StreamEventsResponse": types.Acknowledgement,
    "TrainResponse": types.Training,
    "WatchTrainingResponse": types.TrainingProgress,
    "CompareModelsResponse": types.ModelComparison,
    "CreateKeyResponse": types.CreatedKey,
    "DiagnoseResponse": types.Diagnosis,
    "ApplyRulesResponse": types.Applied,
    "ApplyPlacementsResponse": types.Applied,
    "RollbackRulesResponse": types.Applied,
    "RollbackPlacementsResponse": types.Applied,
    "GetRulesResponse": types.Rules,
    "GetPlacementsResponse": types.Placements,
    "DryRunRulesResponse": types.DryRun,
    "TradeOffResponse": types.TradeOff,
    "ListExperimentsResponse": types.Experiments,
    "GetExperimentReportResponse": types.ExperimentReport,
    "ReplayPlacementResponse": types.Replay,
    "GetOverviewResponse": types.Overview,
    "ListUserTagsResponse": types.UserTags,
    "DescribeRecommenderResponse": types.RecommenderDescription,
    "BacktestForecastsResponse": types.Backtest,
    "GetInsightSettingsResponse": types.InsightVersions,
}
_FILES = (
    catalog_pb2, event_pb2, experiment_pb2, insight_pb2, key_pb2, placement_pb2, recommendation_pb2,
    rule_pb2, store_pb2, user_pb2,
)
# Several conditions, which are a list here.
_CONDITIONS = ("Conditions", "UserConditions")
_NUMBERS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def from_message(message: Any) -> Any:
    """A message as an object of its class."""
    name = message.DESCRIPTOR.name
    kind = _RENAMED.get(name) or getattr(types, name)
    values: dict[str, Any] = {}
    for part in dataclasses.fields(kind):
        field = message.DESCRIPTOR.fields_by_name[part.name]
        if field.has_presence and not message.HasField(part.name):
            values[part.name] = None
        else:
            values[part.name] = _from_field(field, getattr(message, part.name))
    return kind(**values)


def to_message(value: Any, zone: tzinfo | None = None) -> Any:
    """An object as the message of its class's name; times without a zone are in ``zone``.

    Raises:
        TypeError, ValueError: with the name of the field that does not fit.
    """
    name = type(value).__name__
    made = next(getattr(file, name) for file in _FILES if hasattr(file, name))()
    for part in dataclasses.fields(value):
        given = getattr(value, part.name)
        if given is not None:
            _set(made, made.DESCRIPTOR.fields_by_name[part.name], given, zone)
    return made


def constant(enum: EnumDescriptor, field: str, word: str) -> int:
    """The number of a word.

    >>> constant(event_pb2.EventKind.DESCRIPTOR, "kind", "view")
    1
    >>> constant(user_pb2.Consent.DESCRIPTOR, "consent", "yes")
    Traceback (most recent call last):
    ValueError: consent must be one of ['unspecified', 'given', 'denied'], was 'yes'
    """
    known = {_word(value.name, enum): value.number for value in enum.values}
    if word not in known:
        raise ValueError(f"{field} must be one of {list(known)}, was {word!r}")
    return int(known[word])


def _word(name: str, enum: EnumDescriptor) -> str:
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.name)
    return name.removeprefix(f"{prefix[1:]}_").lower()


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _values_of(field: FieldDescriptor) -> Any:
    """The field of a map's values."""
    entry: Any = field.message_type
    return entry.fields_by_name["value"]


def _from_field(field: FieldDescriptor, value: Any) -> Any:
    if _is_map(field):
        of = _values_of(field)
        return {key: _from_value(of, each) for key, each in value.items()}
    if field.is_repeated:
        return [_from_value(field, each) for each in value]
    return _from_value(field, value)


def _from_value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type:
        known = field.enum_type.values_by_number.get(value)
        # A newer server may have further ones.
        return _word(known.name, field.enum_type) if known else str(value)
    if not field.message_type:
        return value
    if field.message_type.name == "Timestamp":
        return value.ToDatetime(tzinfo=timezone.utc)
    if field.message_type.name == "Embedding":
        return list(value.values)
    if field.message_type.name in _CONDITIONS:
        return [from_message(each) for each in value.conditions]
    return from_message(value)


def _set(message: Any, field: FieldDescriptor, value: Any, zone: tzinfo | None) -> None:
    name = field.name
    if field.message_type and field.message_type.name in _CONDITIONS:
        getattr(message, name).conditions.extend(to_message(each) for each in value)
        getattr(message, name).SetInParent()
    elif _is_map(field):
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a dictionary, was {value!r}")
        _set_map(getattr(message, name), field, value, zone)
    elif field.is_repeated:
        if isinstance(value, str):
            raise TypeError(f"{name} must be a list, was {value!r}")
        getattr(message, name).extend(_to_value(field, each, zone) for each in value)
    elif field.message_type:
        getattr(message, name).CopyFrom(_to_value(field, value, zone))
        # An empty message counts as given.
        getattr(message, name).SetInParent()
    else:
        setattr(message, name, _to_value(field, value, zone))


def _set_map(
    entries: Any, field: FieldDescriptor, value: Mapping[str, Any], zone: tzinfo | None
) -> None:
    of = _values_of(field)
    for key, each in value.items():
        if of.message_type is None:
            entries[key] = _text(field.name, each)
        elif of.message_type.name == "Embedding":
            entries[key].values.extend(rules.number(field.name, number) for number in each)
        else:
            entries[key].CopyFrom(to_message(each, zone))


def _to_value(field: FieldDescriptor, value: Any, zone: tzinfo | None) -> Any:
    name = field.name
    if field.enum_type:
        return constant(field.enum_type, name, value)
    if field.cpp_type in _NUMBERS:
        return rules.number(name, value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return rules.identifier(name, value) if name.endswith(("_id", "_ids")) else _text(name, value)
    if not field.message_type:
        return value if isinstance(value, bool) else rules.whole(name, value)
    if field.message_type.name == "Timestamp":
        return timestamp(name, value, zone)
    return to_message(value, zone)


def timestamp(field: str, value: Any, zone: tzinfo | None) -> Timestamp:
    """A time as the protocol has it; one without a zone is in ``zone``."""
    time = Timestamp()
    time.FromDatetime(rules.moment(field, value, zone))
    return time


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{field} must be text, was {value!r} ({type(value).__name__})")
    return value
