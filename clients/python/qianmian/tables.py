"""Rows of tables as objects: pandas, polars, pyarrow and all others that show themselves by the
Arrow PyCapsule interface (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

Row = TypeVar("Row")


class Table(Protocol):
    """A table: a pandas or polars DataFrame, a pyarrow Table, Dataset reader, ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def rows(
    given: Iterable[Row] | Table, kind: type[Row], columns: Mapping[str, str] | None
) -> Iterator[Row]:
    """The rows of a table as objects of a class, or the objects as they are.

    Columns are named as the attributes of the class; ``columns`` renames those that are not, as
    ``{"CustomerID": "user_id"}``. An empty value stands for the attribute's default.

    Raises:
        ImportError: where pyarrow is missing (``pip install "qianmian[tables]"``).
        ValueError: for a column that is no attribute, or a row without a required value.
    """
    if not hasattr(given, "__arrow_c_stream__"):
        if columns:
            raise ValueError("columns are renamed of tables only")
        return iter(given)
    return _rows(given, kind, columns or {})


def _rows(table: Any, kind: type[Row], columns: Mapping[str, str]) -> Iterator[Row]:
    try:
        import pyarrow
    except ImportError as missing:
        raise ImportError('tables need pyarrow: pip install "qianmian[tables]"') from missing

    parts: Any = dataclasses.fields(kind)  # type: ignore[arg-type]
    known = [part.name for part in parts]
    required = [
        part.name
        for part in parts
        if part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
    ]

    reader = pyarrow.RecordBatchReader.from_stream(table)
    # The rows' numbers in pandas are no data.
    index = [f"__index_level_{level}__" for level in range(len(reader.schema.names))]
    kept = [at for at, name in enumerate(reader.schema.names) if name not in index]
    names = [columns.get(reader.schema.names[at], reader.schema.names[at]) for at in kept]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{unknown} are no attributes of {kind.__name__}, which has {known}: rename them by "
            "columns={...}, or leave them out"
        )
    missing_columns = [name for name in required if name not in names]
    if missing_columns:
        raise ValueError(f"the table has no column {' and '.join(missing_columns)}")

    at = 0
    for batch in reader:
        values = [_values(pyarrow, batch.column(at)) for at in kept]
        for row in zip(*values):
            given = {name: value for name, value in zip(names, row) if value is not None}
            for name in required:
                if name not in given:
                    raise ValueError(f"row {at}: {name} is empty")
            yield kind(**given)
            at += 1


def _values(pyarrow: Any, column: Any) -> list[Any]:
    """The values of a column. Times are cut to microseconds, the finest that Python has."""
    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values
