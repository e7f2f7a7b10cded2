"""The messages of a push."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import convert
from .v1 import model_pb2

_CHUNK = 512 << 10


@dataclass(frozen=True)
class Push:
    """A file on its way to a server."""

    header: model_pb2.PushHeader
    data: bytes
    sha256: str

    @classmethod
    def of(
        cls,
        file: bytes | bytearray | memoryview | str | Path,
        role: str,
        share: float,
        pushed_by: str,
        note: str,
        force: bool,
    ) -> Push:
        """A push of a file, given whole or by its path."""
        data = Path(file).read_bytes() if isinstance(file, (str, Path)) else bytes(file)
        header = model_pb2.PushHeader(
            push_id=f"{uuid.uuid4()}",
            size_bytes=len(data),
            pushed_by=pushed_by,
            note=note,
            role=convert.constant(model_pb2.ModelRole.DESCRIPTOR, "role", role),  # type: ignore[arg-type]
            share=share,
            force=force,
        )
        return cls(header, data, hashlib.sha256(data).hexdigest())

    def messages(self, received: int) -> Iterator[model_pb2.PushModelRequest]:
        """The messages that are left once the server has ``received`` bytes."""
        yield model_pb2.PushModelRequest(header=self.header)
        for offset in range(received, len(self.data), _CHUNK):
            chunk = model_pb2.PushChunk(offset=offset, data=self.data[offset : offset + _CHUNK])
            yield model_pb2.PushModelRequest(chunk=chunk)
        commit = model_pb2.PushCommit(size_bytes=len(self.data), sha256=self.sha256)
        yield model_pb2.PushModelRequest(commit=commit)
