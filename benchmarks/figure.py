"""One measured figure and what it should be, and how figures are printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """A figure of one benchmark.

    Args:
        name: of the benchmark.
        measured: what was measured, in words.
        unit: of the value: `s`, `x` (a ratio), `MiB`; empty for a plain number.
        at_most: the target, where smaller is better.
        at_least: the target, where larger is better. A figure without target is there to be read beside the others.
    """

    name: str
    measured: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        """The target in words."""
        bounds = (("at most", self.at_most), ("at least", self.at_least))
        return " and ".join(
            f"{word} {_number(bound)} {self.unit}".strip() for word, bound in bounds if bound is not None
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "met": self.met}

    @staticmethod
    def of(document: dict[str, Any]) -> Figure:
        """From JSON."""
        return Figure(**{key: value for key, value in document.items() if key != "met"})


def show(figures: Sequence[Figure], as_json: bool) -> None:
    """Print figures on stdout, as a table or as JSON."""
    if as_json:
        print(json.dumps([figure.document() for figure in figures], indent=2))
        return
    table = Table("benchmark", "measured", "figure", "target", "")
    before = ""
    for figure in figures:
        word = {True: "[green]met[/]", False: "[red]not met[/]", None: ""}[figure.met]
        name = figure.name if figure.name != before else ""
        table.add_row(name, figure.measured, f"{_number(figure.value)} {figure.unit}".strip(), figure.target, word)
        before = figure.name
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def all_met(figures: Sequence[Figure]) -> bool:
    """Whether no target was missed."""
    return all(figure.met is not False for figure in figures)


def command(measure: Callable[..., list[Figure]], parser: argparse.ArgumentParser) -> int:
    """One benchmark as a command: its options are the arguments of `measure`. Returns 1 if a target was missed."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    figures = measure(**options)
    show(figures, as_json)
    return 0 if all_met(figures) else 1


def pipelines_command(measure: Callable[[list[str], dict[str, Any]], list[Figure]], text: str | None) -> int:
    """A benchmark of pipelines as a command: their names, and `--set KEY=VALUE`. Returns 0."""
    own = parser(text)
    own.add_argument("pipelines", nargs="+")
    own.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key for this measurement")
    own.add_argument("--json", action="store_true", help="print JSON")
    arguments = own.parse_args()
    pairs = (words.partition("=") for words in arguments.set)
    show(measure(arguments.pipelines, {key: yaml.safe_load(value) for key, _, value in pairs}), arguments.json)
    return 0


def parser(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def tell(text: str) -> None:
    """A line of progress, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.4g}"
