"""The file in which a model is pushed: safetensors with agreed names."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_TYPES = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.uint8): "U8",
    np.dtype(np.uint32): "U32",
    np.dtype(np.uint64): "U64",
}


def encode(tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """Writes named arrays as safetensors.

    Args:
        tensors: arrays of float32, float16, int32, int64, uint8, uint32 or uint64.
        metadata: words besides.

    Raises:
        TypeError: for an array of another type.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata or {})}
    parts: list[bytes] = []
    at = 0
    for name, array in tensors.items():
        if array.dtype not in _TYPES:
            raise TypeError(f"{name} must be one of {sorted(_TYPES.values())}, is {array.dtype}")
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _TYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def ids(kind: str, values: Sequence[str]) -> dict[str, Array]:
    """Ids as two tensors; ``kind`` is "item" or "user"."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.uint64)
    utf8 = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {f"{kind}_ids.utf8": utf8, f"{kind}_ids.offsets": ends}


def floats(name: str, array: Any, rows: int) -> Array:
    """An array of ``rows`` rows as float32, or float16 where it is that already.

    Raises:
        ValueError: where it has another number of rows.
    """
    found = np.asarray(array)
    if found.ndim == 0 or len(found) != rows:
        raise ValueError(f"{name} must have a row for each of {rows} ids, has shape {found.shape}")
    return found if found.dtype == np.float16 else found.astype(np.float32)


def neighbours_of(similarity: Any, k: int) -> tuple[Array, Array]:
    """The ``k`` largest entries above 0 of every row of a square matrix, its diagonal left
    out, as places and scores: what ``item_neighbours`` of a push wants.

    Args:
        similarity: a dense array, or a scipy sparse matrix; read row by row.
    """
    matrix = similarity.tocsr() if hasattr(similarity, "tocsr") else np.asarray(similarity)
    rows = matrix.shape[0]
    places = np.full((rows, k), -1, dtype=np.int32)
    scores = np.zeros((rows, k), dtype=np.float32)
    for at in range(rows):
        row = matrix[at]
        row = row.toarray().ravel() if hasattr(row, "toarray") else row
        row = row.astype(np.float32)  # a copy
        row[at] = 0
        best = np.argsort(-row, kind="stable")[:k]
        best = best[row[best] > 0]
        places[at, : len(best)], scores[at, : len(best)] = best, row[best]
    return places, scores
