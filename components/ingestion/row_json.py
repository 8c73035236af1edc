"""Rows of features by column, and the JSON that `json.dumps` writes of each row.

Legend: n rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
from numpy.typing import NDArray

from components.ingestion import columns
from components.ingestion.row_columns import EXACT, Categories, RowColumns

_SHORT = (1e-4, 1e9)  # fractions between these are written without an exponent, by Arrow as by Python


def literals(rows: RowColumns) -> dict[str, pa.Array]:
    """The values of each column as JSON."""
    return {
        **{name: number_literals(values) for name, values in rows.numbers.items()},
        **{name: _name_literals(values) for name, values in rows.categories.items()},
    }


def texts(columns_as_json: dict[str, pa.Array], count: int, *, spaced: bool = False) -> pa.Array:
    """Each row as a JSON object.

    Args:
        columns_as_json: of `literals`, in the order in which they are written.
        spaced: a blank behind each comma and colon, as `json.dumps` writes it by default.
    """
    comma, colon = (", ", ": ") if spaced else (",", ":")
    parts: list[pa.Array | pa.Scalar] = []
    for number, (name, values) in enumerate(columns_as_json.items()):
        key = json.dumps(name, ensure_ascii=False)
        parts += [columns.scalar(f"{comma if number else '{'}{key}{colon}"), values]
    parts.append(columns.scalar("}"))
    joined = pc.binary_join_element_wise(*parts, columns.scalar(""))
    return joined if isinstance(joined, pa.Array) else columns.text(["{}"] * count)


def read(
    rows: pa.Array, numbers: Sequence[str], categories: Sequence[str]
) -> tuple[RowColumns, dict[str, pa.Array]] | None:
    """The columns and literals of rows of JSON.

    Returns:
        None if these columns, written again, would not be the same JSON: other keys, another order or spelling.
    """
    fields = [*((name, pa.float64()) for name in numbers), *((name, pa.string()) for name in categories)]
    try:
        table = pajson.read_json(
            pa.BufferReader(_lines(rows)),
            read_options=pajson.ReadOptions(block_size=max(1, rows.nbytes + len(rows) + 1), use_threads=False),
            parse_options=pajson.ParseOptions(pa.schema(fields), unexpected_field_behavior="error"),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(rows):
        return None
    found = [column.combine_chunks() for column in table.select([name for name, _ in fields]).columns]
    read_numbers = {name: columns.to_floats(column) for name, column in zip(numbers, found, strict=False)}
    named = zip(categories, found[len(numbers) :], strict=True)
    result = RowColumns(len(rows), read_numbers, {name: Categories(*columns.codes(column)) for name, column in named})
    written = literals(result)
    return (result, written) if texts(written, len(rows)).equals(rows) else None


def number_literals(values: NDArray[np.float64]) -> pa.Array:
    """Numbers as JSON: whole numbers that are exact without a fraction, null for NaN, others as `repr` writes them."""
    size = np.abs(values)
    missing = np.isnan(values)
    whole = (values == np.floor(values)) & (size <= EXACT)
    short = ~whole & (size >= _SHORT[0]) & (size < _SHORT[1])
    written = columns.floats(values, short).cast(pa.string())
    if whole.any():
        integers = columns.integers(np.where(whole, values, 0)).cast(pa.string())
        written = pc.if_else(columns.booleans(whole), integers, written)
    others = ~(whole | short | missing)
    if others.any():
        replaced = columns.text([repr(value) for value in values[others].tolist()])
        written = pc.replace_with_mask(written, columns.booleans(others), replaced)
    return columns.filled(written, "null")


def _name_literals(values: Categories) -> pa.Array:
    names = [json.dumps(name, ensure_ascii=False) for name in values.names]
    return columns.filled(columns.of_codes(values.numbers, names), "null")


def _lines(rows: pa.Array) -> pa.Buffer:
    """The rows with a line feed after each."""
    joined = pc.binary_join_element_wise(rows, columns.scalar(""), columns.scalar("\n"))
    _, offsets, content = joined.buffers()
    places = np.frombuffer(offsets, np.int32, len(joined) + 1, 4 * joined.offset)
    return content.slice(int(places[0]), int(places[-1] - places[0])) if content is not None else pa.py_buffer(b"")
