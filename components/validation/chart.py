"""The layout of a small bar chart; chart.html.j2 draws it as SVG."""

from __future__ import annotations

from typing import NamedTuple

_COLOURS = {"train": "#3f6fb5", "validation": "#8fb3e3", "test": "#f0a13c"}
_OTHER = "#9aa5b4"
_ROW, _LEFT, _WIDTH, _RIGHT = 24, 150, 620, 90
_MOST_ROWS = 40


class LegendEntry(NamedTuple):
    """The name of a split, and its colour."""

    x: int
    split: str
    colour: str


class Bar(NamedTuple):
    """The part of a label's bar that stands for one split."""

    x: float
    width: float
    colour: str
    tooltip: str


class ChartRow(NamedTuple):
    """The bars of one label, and their counts as text; the counts begin where the bars end."""

    y: int
    label: str
    bars: list[Bar]
    counts_x: float
    counts: str


class Chart(NamedTuple):
    """Positions and sizes in the units of the SVG.

    Args:
        label_x: where the labels end.
        labels: number of all labels, with those that have no row.
    """

    width: int
    height: int
    label_x: int
    bar_height: int
    legend: list[LegendEntry]
    rows: list[ChartRow]
    labels: int


def stacked_bars(counts: dict[str, dict[str, int]]) -> Chart:
    """One stacked bar for each label, a part for each split, with the counts; at most `_MOST_ROWS` largest labels."""
    splits = sorted({split for row in counts.values() for split in row})
    splits.sort(key=lambda split: [*_COLOURS, split].index(split))
    largest = max((sum(row.values()) for row in counts.values()), default=1)
    names = set(sorted(counts, key=lambda label: -sum(counts[label].values()))[:_MOST_ROWS])
    labels = [label for label in counts if label in names]
    return Chart(
        width=_LEFT + _WIDTH + _RIGHT + 40,
        height=(len(labels) + 1) * _ROW + 12,
        label_x=_LEFT - 10,
        bar_height=_ROW - 6,
        legend=_legend(splits),
        rows=[
            _row(position * _ROW + 8, label, counts[label], splits, largest) for position, label in enumerate(labels, 1)
        ],
        labels=len(counts),
    )


def _row(y: int, label: str, sizes: dict[str, int], splits: list[str], largest: int) -> ChartRow:
    bars = []
    x = float(_LEFT)
    for split in splits:
        size = sizes.get(split, 0)
        width = size / largest * _WIDTH
        bars.append(Bar(x, width, _COLOURS.get(split, _OTHER), f"{label}, {split}: {size:,}"))
        x += width
    return ChartRow(y, label[:22], bars, x + 8, " / ".join(f"{sizes.get(split, 0):,}" for split in splits))


def _legend(splits: list[str]) -> list[LegendEntry]:
    entries = []
    x = _LEFT
    for split in splits:
        entries.append(LegendEntry(x, split, _COLOURS.get(split, _OTHER)))
        x += 40 + 8 * len(split)
    return entries
