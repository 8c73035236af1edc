"""A comparison as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from components.contracts.comparison import ComparisonTable, Row
from components.core import html_page

_TEMPLATE = Path(__file__).with_name("report.html.j2")
HEADS = (
    "model",
    "{metric}",
    "parameters",
    "epochs",
    "training s",
    "samples/s",
    "latency ms",
    "serves MB",
    "bundle MB",
)


class _Row(NamedTuple):
    """A model in the table, its figures as text."""

    name: str
    family: str
    architecture: str
    figures: list[str]


def render(table: ComparisonTable, picture: bytes) -> str:
    """Render the page.

    Args:
        picture: a PNG file.
    """
    metric = table.metric.replace("_", " ")
    return html_page.render(
        _TEMPLATE,
        table=table,
        metric=metric,
        facts={
            "task": table.task,
            "dataset": table.dataset,
            "budget of each": table.budget,
            f"{table.split} samples": f"{table.samples:,}",
        },
        heads=[head.format(metric=metric) for head in HEADS],
        rows=[_Row(row.name, row.family, row.architecture, cells(row)[1:]) for row in table.rows],
        picture=picture,
    )


def cells(row: Row) -> list[str]:
    """The texts of a row in the order of `HEADS`; a dash for a figure that was not measured."""
    quality = row.quality
    return [
        row.name,
        f"{quality.value:.4f} [{quality.lower:.4f}, {quality.upper:.4f}]",
        f"{row.parameters:,}",
        f"{row.epochs} (kept {row.kept_epoch})",
        _number(row.training_seconds, 1),
        _number(row.samples_per_second, 0),
        f"{row.latency_ms:.2f}",
        f"{row.serves_bytes / 1e6:.2f}",
        _number(None if row.bundle_bytes is None else row.bundle_bytes / 1e6, 2),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
