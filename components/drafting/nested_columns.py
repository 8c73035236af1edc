"""Recognise columns of a Parquet file whose cells are images or lists of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.drafting import column_roles
from components.drafting.cells import Column
from components.drafting.table_files import Files


def image(table: Files) -> str | None:
    """The first column of images of a Parquet file."""
    return None if table.schema is None else _image(table)


def _image(table: Files) -> str | None:
    return next((field.name for field in table.schema if _is_image(field.type)), None)


def recognise(table: Files, columns: Sequence[Column]) -> tuple[dict[str, Any], str] | None:
    """Images or lists of numbers in a Parquet file, with labels."""
    if table.schema is None:
        return None
    import pyarrow as pa

    label = column_roles.label(columns)
    image = _image(table)
    lists = next((field.name for field in table.schema if pa.types.is_list(field.type)), None)
    if label is None or (image is None and lists is None):
        return None
    if image is not None:
        return {"image": image, "label": label.name}, f"images ({image}) and labels ({label.name})"
    return {"values": lists, "label": label.name}, f"lists of numbers ({lists}) and labels ({label.name})"


def is_nested(kind: Any) -> bool:
    """Whether cells of a column are images, lists or structs: no text can stand for them."""
    import pyarrow as pa

    return _is_image(kind) or bool(pa.types.is_nested(kind))


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind))
    )
