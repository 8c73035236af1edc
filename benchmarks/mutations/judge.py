"""Draft and read a dataset in a small project, and compare with its truth."""

from __future__ import annotations

import contextlib
import io
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.mutations.dataset import Dataset, Row
from components.contracts.dataset import DatasetSpec
from components.core.errors import ModelyardError, SpecError, ValidationRefused
from components.core.project import Project
from components.drafting import draft
from components.ingestion import sources
from components.ingestion.remarks import Remarks
from components.tasks.dataset_file import open_dataset

Kind = Literal["right", "said", "refused", "fails later", "silent", "traceback"]
FAILURES = ("silent", "traceback")
_SHOWN = 3


class Outcome(NamedTuple):
    """What became of a dataset, and why: the difference, the words, the error."""

    kind: Kind
    detail: str = ""


def judge(data: Dataset, folder: Path, *, whole: bool) -> Outcome:
    """Write the dataset below a folder and see what a person who drafts it is told.

    Args:
        whole: ingest, validate and prepare also if nothing is wrong.
    """
    folder = folder.resolve()
    source, project = data.write(folder), _project(folder / "project")
    try:
        with _inside(project.root):
            return _judge(data, source, project, whole)
    except ModelyardError as error:
        has_way_out = error.next_step or error.expected or error.got or isinstance(error, SpecError)
        return Outcome("refused" if error.what and has_way_out else "silent", " | ".join(error.lines()))
    except Exception:  # noqa: BLE001  # any exception is a finding
        return Outcome("traceback", traceback.format_exc(limit=-4))


def _judge(data: Dataset, source: Path, project: Project, whole: bool) -> Outcome:
    made = draft.write(project, "things", source)
    folder = project.dataset("things")
    spec, _, settings = open_dataset(folder)
    said = [made.why, *made.notes]
    rows: list[Row] = []
    if made.task == data.task:
        lines, rows = _read(data, spec, folder, settings)
        said += lines
    text = "\n".join(said).lower()
    difference = _difference(data.truth(), Counter(rows))
    if made.task != data.task:
        difference = f"the task is {made.task} ({made.why})"
    untold = [words for words in data.must if not any(word.lower() in text for word in words)]
    told = not untold and (not difference or any(word.lower() in text for word in (*data.words, *_flat(data.must))))
    if told and not whole:
        return Outcome("said" if difference or data.must else "right", difference)
    later = _later()
    if later is not None and not told:
        return Outcome("fails later", later)
    if told:
        return Outcome("said" if difference or data.must else "right", difference)
    missing = f"not said: {untold}; " if untold else ""
    return Outcome("silent", f"{missing}{difference}; said: {' | '.join(said)}")


def _read(data: Dataset, spec: DatasetSpec, folder: Path, settings: Any) -> tuple[list[str], list[Row]]:
    """What the reader remarks, and what is compared of each sample."""
    remarks = Remarks()
    with sources.open_source(spec.source, folder, remarks) as samples:
        rows = [data.read(position, sample, settings) for position, sample in enumerate(samples)]
    return remarks.lines(), rows


def _difference(truth: Counter[Row], read: Counter[Row]) -> str:
    missing, added = list((truth - read).elements()), list((read - truth).elements())
    if not missing and not added:
        return ""
    shown = [", ".join(_short(row) for row in sorted(rows, key=repr)[:_SHOWN]) for rows in (missing, added)]
    return f"{len(missing)} of {truth.total()} are not read: {shown[0]}; {len(added)} are read instead: {shown[1]}"


def _short(row: Row) -> str:
    return repr(row) if len(repr(row)) < 200 else f"{repr(row)[:150]}...{repr(row)[-40:]}"


def _later() -> str | None:
    """The first refusal of the data's stages; None if there is none."""
    from components.ingestion import stage as ingestion
    from components.preparation import stage as preparation
    from components.validation import stage as validation

    try:
        ingestion.main(["data/things"])
        validation.main(["raw", "data/things"])
        preparation.main(["data/things"])
        validation.main(["prepared", "data/things"])
    except ValidationRefused as error:
        return str(error.got)
    except ModelyardError as error:
        return " | ".join(error.lines())
    return None


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The working directory, without what the stages print."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(before)


def _flat(groups: list[tuple[str, ...]]) -> list[str]:
    return [word for words in groups for word in words]


def _project(root: Path) -> Project:
    for name in ("pipelines", "data"):
        (root / name).mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text("datasets:\n  - none\n")
    return Project(root)
