"""A table on the terminal; plain columns where the output is not one."""

from __future__ import annotations

import os
import sys

import click

COLOURS = {"ready": "green", "ok": "green", "starting": "yellow", "warn": "yellow", "failed": "red", "fail": "red"}
COLOURS |= {"broken": "red", "absent": "yellow"}


def show(head: list[str], rows: list[list[str]]) -> None:
    """Print rows of text under a head. Words of state get their colour on a terminal; NO_COLOR is respected."""
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(_line(head, widths, {"": "bold"} if colour else None))
    for row in rows:
        click.echo(_line(row, widths, COLOURS if colour else None))


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
