"""Columns of a Parquet file by what they are read as; columns of text files are text already.

What stands for the same number, name or label one by one is taken; other types are left to the reader of single rows.
"""

from __future__ import annotations

import pyarrow as pa

from components.ingestion import columns


class OtherTypeError(Exception):
    """A type that is not read by column."""


def number(column: pa.Array) -> pa.Array:
    """Numbers as float64, null where there is none; text as it is."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False)
    return text(column)


def category(column: pa.Array) -> pa.Array:
    """Text, whole numbers and truth values as text; null where there is none."""
    return column.cast(pa.string()) if pa.types.is_boolean(column.type) else label(column)


def label(column: pa.Array) -> pa.Array:
    """Text and whole numbers as text; null where there is none."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    return _text(column)


def text(column: pa.Array) -> pa.Array:
    """Text, which is empty where there is none."""
    return columns.filled(_text(column), "")


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _text(column.dictionary_decode())
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    raise OtherTypeError(str(column.type))
