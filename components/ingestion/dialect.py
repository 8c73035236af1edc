"""How the rows of a text table are written."""

from __future__ import annotations

from typing import NamedTuple

from components.contracts.table_layout import Columns


class Dialect(NamedTuple):
    """How rows and cells are separated.

    Args:
        quoted: whether a cell can stand in quotation marks, with delimiters and line ends inside.
        columns: names of the columns; None if the first row has them.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    quoted: bool = True
    skip_lines: int = 0
    skip_last_lines: int = 0
    comment: str | None = None
    columns: list[str] | None = None


def of(layout: Columns) -> Dialect:
    """The dialect that a layout of a CSV or TSV states."""
    return Dialect(
        encoding=layout.encoding,
        delimiter="\t" if layout.kind == "tsv" else layout.delimiter or ",",
        quoted=layout.kind == "csv",
        skip_lines=layout.skip_lines or 0,
        skip_last_lines=layout.skip_last_lines or 0,
        comment=layout.comment,
        columns=layout.columns,
    )
