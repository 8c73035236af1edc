"""A validation report as a Prefect artifact: the verdict, each expectation, the failing samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.core.project import Project

SHOWN_SAMPLES = 20


def markdown(project: Project, dataset: str) -> str:
    """The latest reports of a dataset's raw and prepared data."""
    folder = project.reports(dataset)
    paths = [folder / f"{part}.json" for part in ("raw", "prepared")]
    parts = [_part(path) for path in paths if path.is_file()]
    splits = folder / "splits.json"
    return "\n\n".join([*parts, *([_splits(splits)] if splits.is_file() else [])]) or "No report yet."


def verdict(project: Project, dataset: str) -> str:
    """A summary of the latest reports, as in `raw: 14 of 14 met, prepared: 9 of 9 met`."""
    verdicts = []
    for part in ("raw", "prepared"):
        path = project.reports(dataset) / f"{part}.json"
        if path.is_file():
            results = json.loads(path.read_text())["results"]
            met = sum(bool(result["success"]) for result in results)
            verdicts.append(f"{part}: {met} of {len(results)} met")
    return ", ".join(verdicts)


def _splits(path: Path) -> str:
    """What the splits of the prepared data let through; doubtful findings are bold."""
    document: dict[str, Any] = json.loads(path.read_text())
    findings = [(str(one["text"]), bool(one["doubtful"])) for one in document["leakage"]["findings"]]
    findings.append((str(document["shift"]["sentence"]), bool(document["shift"]["warns"])))
    lines = [f"- **{text}**" if doubtful else f"- {text}" for text, doubtful in findings]
    return "\n".join(["## Leakage between the splits, and shift", *lines])


def _part(path: Path) -> str:
    document: dict[str, Any] = json.loads(path.read_text())
    outcome = "met" if document["success"] else "NOT met"
    lines = [
        f"## {document['part']} data: expectations {outcome}",
        f"Data `{document['subject_digest'][:12]}`, suite `{document['suite_digest'][:12]}`, page `{path.stem}.html` "
        f"in `{path.parent.name}`.",
        "",
        "| | expectation | observed |",
        "|---|---|---|",
    ]
    for result in document["results"]:
        mark = "✓" if result["success"] else "✗"
        lines.append(f"| {mark} | {result['description'] or result['type']} | {_cell(result['observed'])} |")
    failing = [
        f"- `{sample}`: {result['description']}"
        for result in document["results"]
        for sample in result["failing"][:SHOWN_SAMPLES]
    ]
    return "\n".join([*lines, *(["", "### Failing samples", *failing[:SHOWN_SAMPLES]] if failing else [])])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")
