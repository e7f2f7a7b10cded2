"""How a server is reached: plain or by TLS, what every call carries, and which are retried."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

Metadata = Sequence[tuple[str, str]]
Channel: TypeAlias = grpc.Channel
AsyncChannel: TypeAlias = grpc.aio.Channel

_PACKAGE = "qianmian.v1"
_SERVICES = ("Catalog", "Event", "Key", "Model", "Recommendation", "Store", "User")
# A second call would do something else, or is refused because the first succeeded.
NEVER_RETRIED = (
    ("CatalogService", "DeleteItem"),
    ("ExperimentService", "AdoptVariant"),
    ("ExperimentService", "DeleteExperiment"),
    ("ExperimentService", "StartExperiment"),
    ("ExperimentService", "StopExperiment"),
    ("InsightService", "ApplyInsightSettings"),
    ("InsightService", "DeleteUserTag"),
    ("InsightService", "RollbackInsightSettings"),
    ("KeyService", "CreateKey"),
    ("ModelService", "DeleteModel"),
    ("ModelService", "PushModel"),
    ("ModelService", "RollbackModel"),
    ("ModelService", "Train"),
    ("PlacementService", "ApplyPlacements"),
    ("PlacementService", "RollbackPlacements"),
    ("RuleService", "ApplyRules"),
    ("RuleService", "RollbackRules"),
    ("StoreService", "CreateStore"),
    ("StoreService", "DeleteStore"),
    ("UserService", "DeleteUser"),
)
# The pauses grow to about eight seconds in all, each drawn at random around its length.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.25s",
    "maxBackoff": "5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def open_channel(address: str, files: Sequence[str | Path | None], retries: bool) -> Channel:
    """A channel to "host:port" or "http://host:port", plain; to "https://host:port", by TLS.
    ``files`` are those of the roots, the client's certificate, and its key."""
    host, credentials = _reached(address, *files)
    if credentials is None:
        return grpc.insecure_channel(host, options=_options(retries))
    return grpc.secure_channel(host, credentials, options=_options(retries))


def open_async_channel(
    address: str, files: Sequence[str | Path | None], retries: bool
) -> AsyncChannel:
    """As :func:`open_channel`, for asyncio."""
    host, credentials = _reached(address, *files)
    if credentials is None:
        return grpc.aio.insecure_channel(host, options=_options(retries))
    return grpc.aio.secure_channel(host, credentials, options=_options(retries))


def secret_for(address: str | None, key: str | None) -> str:
    """The key to send: as given, else that of the variable QIANMIAN_KEY.

    Raises:
        ValueError: where it would be sent in plain text to another machine.
    """
    secret = os.environ.get("QIANMIAN_KEY", "") if key is None else key
    if secret and address is not None and not _may_carry_a_key(address):
        raise ValueError(f"{address} is not encrypted: give https://HOST:PORT to send a key")
    return secret


def metadata(key: str, store: str | None) -> Metadata:
    """What every call carries."""
    authorization = [("authorization", f"Bearer {key.strip()}")] if key else []
    return authorization + ([("store", store)] if store else [])


def _options(retries: bool) -> list[tuple[str, Any]]:
    named = [{"service": f"{_PACKAGE}.{service}Service"} for service in _SERVICES]
    never = [{"service": f"{_PACKAGE}.{service}", "method": name} for service, name in NEVER_RETRIED]
    config = {"methodConfig": [{"name": named, "retryPolicy": _RETRY}, {"name": never}]}
    return [
        ("grpc.enable_retries", int(retries)),
        ("grpc.service_config", json.dumps(config)),
        # A server that is back is found within the pauses of the retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def _reached(
    address: str, ca: str | Path | None, cert: str | Path | None, cert_key: str | Path | None
) -> tuple[str, grpc.ChannelCredentials | None]:
    scheme, host = _parts(address)
    if scheme == "http":
        if any(file is not None for file in (ca, cert, cert_key)):
            raise ValueError(f"ca, cert and cert_key are for TLS: give https://{host}")
        return host, None
    if (cert is None) != (cert_key is None):
        raise ValueError("cert and cert_key must be given together")
    return host, grpc.ssl_channel_credentials(_read(ca), _read(cert_key), _read(cert))


def _may_carry_a_key(address: str) -> bool:
    """Whether a key may be sent: encrypted, or to this machine."""
    scheme, host = _parts(address)
    name = host.rsplit(":", 1)[0].strip("[]")
    if scheme == "https" or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _parts(address: str) -> tuple[str, str]:
    scheme, separator, host = address.partition("://")
    if not separator:
        return "http", address
    if scheme.lower() not in ("http", "https"):
        raise ValueError(f"{address}: must be HOST:PORT, or https://HOST:PORT with TLS")
    return scheme.lower(), host


def _read(file: str | Path | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
