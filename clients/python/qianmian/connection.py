"""How a server is reached: plain or by TLS, and what every call carries."""

from __future__ import annotations

import ipaddress
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

Metadata = Sequence[tuple[str, str]]


def open_channel(
    address: str,
    ca: str | Path | None,
    cert: str | Path | None,
    cert_key: str | Path | None,
) -> grpc.Channel:
    """A channel to "host:port" or "http://host:port", plain; to "https://host:port", by TLS."""
    scheme, host = _parts(address)
    if scheme == "http":
        if any(file is not None for file in (ca, cert, cert_key)):
            raise ValueError(f"ca, cert and cert_key are for TLS: give https://{host}")
        return grpc.insecure_channel(host)
    if (cert is None) != (cert_key is None):
        raise ValueError("cert and cert_key must be given together")
    credentials = grpc.ssl_channel_credentials(_read(ca), _read(cert_key), _read(cert))
    return grpc.secure_channel(host, credentials)


def may_carry_a_key(address: str) -> bool:
    """Whether a key may be sent: encrypted, or to this machine."""
    scheme, host = _parts(address)
    name = host.rsplit(":", 1)[0].strip("[]")
    if scheme == "https" or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def metadata(key: str, store: str | None) -> Metadata:
    """What every call carries."""
    authorization = [("authorization", f"Bearer {key.strip()}")] if key else []
    return authorization + ([("store", store)] if store else [])


def with_metadata(channel: grpc.Channel, carried: Metadata) -> grpc.Channel:
    """The same channel, whose calls carry metadata."""
    return grpc.intercept_channel(channel, _Carrier(carried))


class _Details(
    namedtuple("_Details", "method timeout metadata credentials wait_for_ready compression"),
    grpc.ClientCallDetails,  # type: ignore[misc]
):
    """A call, as gRPC passes it on."""


class _Carrier(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    def __init__(self, carried: Metadata) -> None:
        self._carried = list(carried)

    def _call(self, proceed: Any, details: Any, request: Any) -> Any:
        every = list(details.metadata or []) + self._carried
        carried = _Details(
            details.method,
            details.timeout,
            every,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )
        return proceed(carried, request)

    intercept_unary_unary = _call
    intercept_unary_stream = _call
    intercept_stream_unary = _call
    intercept_stream_stream = _call


def _parts(address: str) -> tuple[str, str]:
    scheme, separator, host = address.partition("://")
    if not separator:
        return "http", address
    if scheme.lower() not in ("http", "https"):
        raise ValueError(f"{address}: must be HOST:PORT, or https://HOST:PORT with TLS")
    return scheme.lower(), host


def _read(file: str | Path | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
