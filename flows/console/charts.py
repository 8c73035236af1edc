"""Charts as SVG paths, computed on the server: the templates draw them, with a table beside each for screen readers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 640.0, 160.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 8.0, 10.0, 22.0


@dataclass(frozen=True)
class ChartLine:
    """One line of a chart.

    Args:
        points: (x, y) in the units of the data, in order of x.
        low, high: a band around it, of the same length; empty: none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class DrawnLine:
    """A line as SVG has it.

    Args:
        path, band: attributes `d` of paths.
        dots: (x, y, text) of each point, in the chart's units.
        whiskers: (x, y of the upper end, y of the lower end) of each point's interval.
    """

    name: str
    path: str
    band: str
    dots: list[tuple[float, float, str]]
    whiskers: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class LineChart:
    """A chart as the template draws it; ticks are (place, text)."""

    lines: list[DrawnLine]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT


def chart(lines: Sequence[ChartLine], x_labels: Sequence[tuple[float, str]] = ()) -> LineChart | None:
    """Scale lines to the chart's area; None where there is nothing to draw.

    Args:
        x_labels: (x in units of the data, text).
    """
    drawn = [one for one in lines if one.points]
    values = [value for one in drawn for value in (*(y for _, y in one.points), *one.low, *one.high)]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return None
    xs = [x for one in drawn for x, _ in one.points]
    bottom, top = _range(min(values), max(values))
    first, last = min(xs), max(xs)

    def across(x: float) -> float:
        part = 0.5 if last == first else (x - first) / (last - first)
        return round(_LEFT + part * (WIDTH - _LEFT - _RIGHT), 1)

    def up(y: float) -> float:
        part = (min(max(y, bottom), top) - bottom) / (top - bottom)
        return round(HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM), 1)

    return LineChart(
        [_drawn(one, across, up) for one in drawn],
        [(up(value), _number(value)) for value in (bottom, (bottom + top) / 2, top)],
        [(across(x), text) for x, text in x_labels],
    )


def _drawn(line: ChartLine, across: Callable[[float], float], up: Callable[[float], float]) -> DrawnLine:
    places = [(across(x), up(y)) for x, y in line.points]
    path = "M" + " L".join(f"{x} {y}" for x, y in places)
    band, whiskers = "", []
    if line.low and line.high:
        upper = [(across(x), up(high)) for (x, _), high in zip(line.points, line.high, strict=True)]
        lower = [(across(x), up(low)) for (x, _), low in zip(line.points, line.low, strict=True)]
        whiskers = [(x, high, low) for (x, high), (_, low) in zip(upper, lower, strict=True)]
        band = "M" + " L".join(f"{x} {y}" for x, y in (*upper, *reversed(lower))) + " Z"
    dots = [(x, y, _number(value)) for (x, y), (_, value) in zip(places, line.points, strict=True)]
    return DrawnLine(line.name, path, band, dots, whiskers)


def spark(values: Sequence[float], width: float = 120.0, height: float = 28.0) -> str:
    """The path of a small line without axes; empty where there are not two values."""
    if len(values) < 2:
        return ""
    top = max(*values, 1e-9)
    step = width / (len(values) - 1)
    places = [(round(step * place, 1), round(height - 2 - value / top * (height - 4), 1)) for place, value in
              enumerate(values)]  # fmt: skip
    return "M" + " L".join(f"{x} {y}" for x, y in places)


def _range(low: float, high: float) -> tuple[float, float]:
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    margin = 0.05 * (high - low)
    return (0.0 if 0 <= low < 0.3 * high else low - margin), high + margin


def _number(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
