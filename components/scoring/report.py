"""What stands beside the predictions: the errors, the summary, the verdict on the input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.score_request import ScoreRequest
from components.core import atomic
from components.scoring import expectations, folder
from components.scoring.part import INPUTS, RESULT, PartError, PartSeal, name_of, read_seal
from components.scoring.sources import ScoreSource

_LISTED = 20  # names of files in the summary


class Totals:
    """Numbers over all parts."""

    def __init__(self) -> None:
        self.samples = self.answered = self.errors = self.replaced = 0
        self.codes: dict[str, int] = {}
        self.labels: dict[str, int] = {}

    def add(self, seal: PartSeal) -> None:
        """Add a part."""
        self.samples += seal.samples
        self.answered += seal.answered
        self.errors += len(seal.errors)
        self.replaced += seal.replaced
        for error in seal.errors:
            self.codes[error.code] = self.codes.get(error.code, 0) + 1
        for label, count in seal.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count


class Documents(NamedTuple):
    """The files beside the parts.

    Args:
        errors: of all parts, in order.
        expectations: the verdict as of `expectations.judge`; None: there is none.
    """

    summary: dict[str, Any]
    errors: Iterator[PartError]
    expectations: dict[str, Any] | None


def documents(
    request: ScoreRequest, work: Path, parts: int, totals: Totals, source: ScoreSource, input_digest: str
) -> Documents:
    """Judge the input, and say what came out. Nothing in it depends on time, place or processes."""
    verdict = None
    if request.dataset is not None and request.options.expectations != "off":
        files = [work / RESULT / INPUTS / f"{name_of(number)}.parquet" for number in range(parts)]
        verdict = expectations.judge(Path(request.dataset), files, totals.answered, input_digest)
    remarks = list(source.remarks)
    if totals.replaced:
        remarks.append(
            f"{totals.replaced:,} samples have U+FFFD, which stands for bytes that could not be decoded: they are "
            "answered as they are"
        )
    summary = {
        "model": request.model,
        "version": request.version,
        "samples": totals.samples,
        "answered": totals.answered,
        "errors": totals.errors,
        "errors_by_code": dict(sorted(totals.codes.items())),
        "labels": dict(sorted(totals.labels.items())),
        "files": len(source.names),
        "first_files": source.names[:_LISTED],
        "remarks": remarks,
        "expectations": None if verdict is None else {key: verdict[key] for key in verdict if key != "results"},
    }
    return Documents(summary, _errors(work, parts), verdict)


def write(documents: Documents, result: Path) -> None:
    """Write the files."""
    with (result / folder.ERRORS).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["place", "code", "problem"])
        writer.writerows([one.place, one.code, one.problem] for one in documents.errors)
    _write(result / folder.SUMMARY, documents.summary)
    if documents.expectations is not None:
        _write(result / folder.EXPECTATIONS, documents.expectations)


def first_errors(work: Path, parts: int, count: int) -> list[PartError]:
    """The first errors of the parts that are there."""
    return list(islice(_errors(work, parts), count))


def _errors(work: Path, parts: int) -> Iterator[PartError]:
    for number in range(parts):
        seal = read_seal(work, number)
        yield from () if seal is None else seal.errors


def _write(path: Path, document: dict[str, Any]) -> None:
    sink = io.StringIO()
    json.dump(document, sink, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    atomic.write_text(path, sink.getvalue() + "\n")
