"""A table: coloured on a terminal, plain columns elsewhere."""

from __future__ import annotations

import os
import sys

import click

STATE_COLOURS = {"ready": "green", "ok": "green", "starting": "yellow", "warn": "yellow"}
STATE_COLOURS |= {"failed": "red", "fail": "red", "broken": "red", "absent": "yellow"}


def show(header: list[str], rows: list[list[str]]) -> None:
    """Print rows under a header. On a terminal, states such as `ready` are coloured; NO_COLOR is respected."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(_line(header, widths, {"": "bold"} if colour else None))
    for row in rows:
        click.echo(_line(row, widths, STATE_COLOURS if colour else None))


def _line(row: list[str], widths: list[int], colours: dict[str, str] | None) -> str:
    cells = []
    for cell, width in zip(row, widths, strict=True):
        text = cell.ljust(width)
        if colours is not None and cell in colours:
            text = click.style(text, fg=colours[cell])
        elif colours is not None and "" in colours:
            text = click.style(text, bold=True)
        cells.append(text)
    return "  ".join(cells).rstrip()
