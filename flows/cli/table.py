"""A table on the terminal; plain columns where the output is not one."""

from __future__ import annotations

import sys

COLOURS = {"ready": "green", "ok": "green", "starting": "yellow", "warn": "yellow", "failed": "red", "fail": "red"}
COLOURS |= {"broken": "red", "absent": "yellow"}
PLAIN_WIDTH = 10_000  # characters: no line of a file or a pipe is folded


def show(head: list[str], rows: list[list[str]]) -> None:
    """Print rows of text under a head. On a terminal, words of state get their colour and long cells are folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    if sys.stdout.isatty():
        Console().print(table)
        return
    console = Console(width=PLAIN_WIDTH, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
