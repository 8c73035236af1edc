"""The result of an inspection as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from components.core import html_page
from components.ingestion import sample_file
from components.inspection.inspection import Inspection
from components.preprocessing import image
from components.tasks.task import Task
from components.validation.leakage import NearPair

SHOWN = 60  # samples, or pairs, of each kind
_SIDE = 96
_SNIPPET = 240
_TEMPLATE = Path(__file__).with_name("inspection.html.j2")


class _Item(NamedTuple):
    """A sample as shown: its text, or a small PNG, or neither; and what is said of it."""

    id: str
    caption: str
    text: str | None
    thumbnail: bytes | None


class _Section(NamedTuple):
    """One kind of finding: rows of one sample, or of two that are alike."""

    title: str
    explanation: str
    rows: list[list[_Item]]
    total: int


def write(found: Inspection, task: Task, source: Path, path: Path) -> None:
    """Write the page; the pictures and texts are of the raw samples.

    Args:
        source: file of the raw samples.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(found, _previews(found, task, source)), encoding="utf-8")


def render(found: Inspection, previews: dict[str, bytes | str]) -> str:
    """Render the page.

    Args:
        previews: image files or texts by id.
    """

    def item(identity: str, *caption: str) -> _Item:
        preview = previews.get(identity)
        if isinstance(preview, str):
            more = " …" if len(preview) > _SNIPPET else ""
            return _Item(identity, ", ".join(filter(None, caption)), preview[:_SNIPPET] + more, None)
        thumbnail = None if preview is None else image.thumbnail(preview, _SIDE)
        return _Item(identity, ", ".join(filter(None, caption)), None, thumbnail)

    def pairs(chosen: list[NearPair]) -> list[list[_Item]]:
        return [
            [item(p.first, p.first_split, p.first_label), item(p.second, p.second_split, p.second_label)]
            for p in chosen[:SHOWN]
        ]

    wrong = [
        [item(one.id, one.split, f"{one.label}: rather {one.suggested}? ({one.judge})")]
        for one in found.wrong_labels[:SHOWN]
    ]
    far = [[item(one.id, one.split, one.label, f"{one.factor:g} times")] for one in found.outliers[:SHOWN]]
    noise = "" if found.noise is None else f" About {found.noise:.1%} of the labels are estimated to be wrong."
    sections = [
        _Section(
            "Labels that are likely to be wrong",
            "Confident learning; most likely first." + noise,
            wrong,
            len(found.wrong_labels),
        ),
        _Section(
            "Equal or nearly equal samples of two labels",
            "One of the labels is wrong, or the classes overlap.",
            pairs(found.conflicts),
            len(found.conflicts),
        ),
        _Section(
            "Near-duplicates",
            "Pairs of nearly equal samples.",
            pairs(found.near_duplicates),
            len(found.near_duplicates),
        ),
        _Section(
            "Outliers", "So many times farther from their neighbours than these from theirs.", far, len(found.outliers)
        ),
    ]
    return html_page.render(_TEMPLATE, found=found, sections=sections)


def _previews(found: Inspection, task: Task, source: Path) -> dict[str, bytes | str]:
    pairs = [*found.conflicts[:SHOWN], *found.near_duplicates[:SHOWN]]
    shown = {one.id for one in found.wrong_labels[:SHOWN]} | {one.id for one in found.outliers[:SHOWN]}
    shown |= {identity for pair in pairs for identity in (pair.first, pair.second)}
    rows = {row for row, identity in enumerate(sample_file.ids(source)) if identity in shown}
    return {sample.id: task.preview(sample.values) for _, sample in sample_file.pick(source, rows)}
