"""The bar chart."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from components.core import html_page
from components.validation import chart as charts

TEMPLATE = Path(charts.__file__).with_name("chart.html.j2")


def draw(counts: dict[str, dict[str, int]]) -> str:
    return html_page.render(TEMPLATE, chart=charts.stacked_bars(counts))


def test_bars_are_as_long_as_their_counts() -> None:
    chart = draw({"a": {"train": 60, "test": 20}, "b<": {"train": 40}})
    root = ElementTree.fromstring(chart)  # noqa: S314  # our own text
    bars = [bar for bar in root.iter("rect") if bar.find("title") is not None]
    widths = {str(bar.findtext("title")): float(bar.attrib["width"]) for bar in bars}
    assert widths["a, train: 60"] == 3 * widths["a, test: 20"]
    assert widths["a, train: 60"] * 40 == widths["b<, train: 40"] * 60


def test_only_the_largest_of_many_labels_are_shown() -> None:
    chart = draw({f"label{number}": {"train": number + 1} for number in range(100)})
    assert len(re.findall(r"<title>", chart)) == 40
    assert "40 largest of 100" in chart
    assert "label99" in chart
