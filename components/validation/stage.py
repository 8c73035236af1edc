"""The stage `validate`: `raw/` -> `validated/`, and the check of a prepared dataset before its acceptance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pandas as pd

from components.contracts.dataset import DatasetSpec
from components.core import atomic
from components.core.errors import UsageError, ValidationRefused
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample_batch import OtherRowsError
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task
from components.validation import prepared_table, raw_rows, raw_table, report, split_report, stored_table
from components.validation.prepared_table import OtherOrderError
from components.validation.split_report import SplitReport
from components.validation.stored_table import StoredTable
from components.validation.suite import Suite
from components.validation.verdict import Verdict

SUITE_FILE = "expectations.json"


def main(arguments: list[str]) -> None:
    """Check raw or prepared data against its expectations.

    Raises:
        UsageError: not called with a part and one dataset's folder.
        SpecError: expectations.json is wrong; no data was read.
        CorruptArtifactError: the data differs from its manifest.
        ValidationRefused: the data does not meet its expectations; the last valid output is kept.
    """
    match arguments:
        case ["raw", folder]:
            validate_raw(Path(folder))
        case ["prepared", folder]:
            validate_prepared(Path(folder))
        case _:
            raise UsageError("a part and a dataset are expected", got=arguments, expected="raw|prepared data/<dataset>")


def validate_raw(folder: Path) -> None:
    """Write the verdict and the sample table to `validated/`, atomically, if every expectation is met."""
    spec, task, settings = open_dataset(folder)
    suite = Suite.read(folder / SUITE_FILE, "raw", raw_table.columns(task, spec.row_columns()))
    raw = manifest.verify(folder / "raw", "raw")
    suite = suite.with_added(int(raw.facts.get("added", 0)))
    source = folder / "raw" / sample_file.FILE_NAME
    with atomic.folder(folder / "validated") as fresh:
        table = _raw_table(spec, task, settings, source, fresh / "samples.parquet", int(raw.facts["samples"]))
        verdict = suite.judge(table, raw.digest, _teller(spec))
        _report(spec, verdict, table, _previews(task, source, verdict))
        atomic.write_text(fresh / "verdict.json", verdict.to_json())
        facts = {
            "raw_digest": raw.digest,
            "suite_digest": suite.digest,
            "success": True,
            "statistics": verdict.statistics,
        }
        manifest.seal(fresh, "validated", facts)


def validate_prepared(folder: Path) -> None:
    """Validate the staged dataset and write the verdict beside it; report what its splits let through."""
    spec, task, _ = open_dataset(folder)
    suite = Suite.read(folder / SUITE_FILE, "prepared", prepared_table.columns(task))
    staging = Project(Path()).state / "staging" / spec.name
    staged = manifest.verify(staging / "prepared", "prepared")
    suite = suite.with_added(int(manifest.load(folder / "raw", "raw").facts.get("added", 0)))
    table = _prepared_table(spec, task, staging / "prepared", sum(staged.facts["counts"].values()))
    verdict = suite.judge(table, staged.digest, _teller(spec))
    about_splits = split_report.examine(task, spec, folder, staging / "prepared", table, staged.facts)
    for warning in about_splits.warnings:
        print(f"{spec.name}: {warning}", file=sys.stderr)
    previews = _previews(task, folder / "raw" / sample_file.FILE_NAME, verdict, about_splits.shown_ids)
    _report(spec, verdict, table, previews, about_splits)
    atomic.write_text(staging / "verdict.json", verdict.to_json())


def _raw_table(
    spec: DatasetSpec, task: Task, settings: Any, source: Path, target: Path, count: int
) -> pd.DataFrame | StoredTable:
    """The table of the raw samples; of many rows of features a stored one."""
    features, by_kind = spec.row_columns(), spec.columns_by_kind()
    if count > stored_table.LARGE:
        try:
            return raw_table.build_stored(task, source, target, spec.name, count, features, by_kind)
        except OtherRowsError:
            pass
    return raw_table.build(task, source, target, spec.name, count, settings, features, by_kind)


def _prepared_table(spec: DatasetSpec, task: Task, folder: Path, count: int) -> pd.DataFrame | StoredTable:
    """The table of the prepared samples; of many with one label at most a stored one."""
    if count > stored_table.LARGE and "labels" not in task.fields:
        try:
            return prepared_table.build_stored(task, folder, spec.name, count)
        except OtherOrderError:
            pass
    return prepared_table.build(task, folder, spec.name)


def _teller(spec: DatasetSpec) -> Callable[[str], None]:
    return lambda text: print(f"{spec.name}: {text}", file=sys.stderr)


def _previews(task: Task, source: Path, verdict: Verdict, others: Collection[str] = ()) -> dict[str, bytes | str]:
    """Previews of the failing samples and of others by id, for the report."""
    shown = {*verdict.failing_ids(report.MAX_PREVIEWS), *others}
    if not shown:
        return {}
    rows = raw_rows.numbers_of(source, shown)
    return {sample.id: task.preview(sample.values) for _, sample in sample_file.pick(source, rows)}


def _report(
    spec: DatasetSpec, verdict: Verdict, table: pd.DataFrame | StoredTable, previews: dict[str, bytes | str],
    about_splits: SplitReport | None = None,
) -> None:  # fmt: skip
    folder = Project(Path()).reports(spec.name)
    page = folder / f"{verdict.part}.html"
    atomic.write_text(page, report.render(spec, verdict, report.counts(table), previews, about_splits))
    atomic.write_text(folder / f"{verdict.part}.json", verdict.to_json())
    if about_splits is not None:
        atomic.write_text(folder / split_report.FILE_NAME, about_splits.to_json())
    if not verdict.success:
        failed = [result for result in verdict.results if not result.success]
        raise ValidationRefused(
            f"{spec.name}: {len(failed)} of {len(verdict.results)} expectations of {verdict.part} data are not met",
            where=str(page),
            got="; ".join(result.sentence() for result in failed[:5]),
            expected="every expectation of expectations.json",
            next_step="open the report: it shows the failing samples; correct the data and run again, "
            f"or accept it: change or remove the expectation in data/{spec.name}/{SUITE_FILE}",
        )
