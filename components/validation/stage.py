"""The stage `validate`: `raw/` -> `validated/`, and the check of a prepared dataset before its acceptance."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from components.contracts.dataset import DatasetSpec
from components.core import atomic
from components.core.errors import UsageError, ValidationRefused
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task
from components.validation import prepared_table, raw_table, report, split_report
from components.validation.split_report import SplitReport
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
    source = folder / "raw" / sample_file.FILE_NAME
    with atomic.folder(folder / "validated") as fresh:
        count = int(raw.facts["samples"])
        target, features = fresh / "samples.parquet", spec.row_columns()
        table = raw_table.build(task, source, target, spec.name, count, settings, features, spec.columns_by_kind())
        verdict = suite.judge(table, raw.digest)
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
    table = prepared_table.build(task, staging / "prepared", spec.name)
    verdict = suite.judge(table, staged.digest)
    about_splits = split_report.examine(task, spec, folder, staging / "prepared", table, staged.facts)
    for warning in about_splits.warnings:
        print(f"{spec.name}: {warning}", file=sys.stderr)
    previews = _previews(task, folder / "raw" / sample_file.FILE_NAME, verdict, about_splits.shown_ids)
    _report(spec, verdict, table, previews, about_splits)
    atomic.write_text(staging / "verdict.json", verdict.to_json())


def _previews(task: Task, source: Path, verdict: Verdict, others: Collection[str] = ()) -> dict[str, bytes | str]:
    """Previews of the failing samples and of others by id, for the report."""
    shown = {*verdict.failing_ids(report.MAX_PREVIEWS), *others}
    if not shown:
        return {}
    rows = {row for row, identity in enumerate(sample_file.ids(source)) if identity in shown}
    return {sample.id: task.preview(sample.values) for _, sample in sample_file.pick(source, rows)}


def _report(
    spec: DatasetSpec, verdict: Verdict, table: pd.DataFrame, previews: dict[str, bytes | str],
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
