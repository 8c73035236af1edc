"""`python -m components.monitoring.labelled_stage REQUEST.json`: a file of labelled answers beside a dataset."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from components import tasks
from components.contracts.labelled_request import LabelledRequest, LabelledResult
from components.core import atomic
from components.core.stage_process import die_with_parent, run
from components.identity import digest
from components.ingestion import sample_file
from components.monitoring import labelled_samples
from components.monitoring.held_samples import ADDED
from components.tasks.dataset_file import open_dataset


def main(arguments: list[str]) -> None:
    """Write the file and the result of a request.

    Raises:
        UsageError: not called with one readable request file, or samples cannot be added to the dataset.
    """
    die_with_parent()
    request = LabelledRequest.read(arguments)
    found = add(request)
    target = Path(request.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(target, found.model_dump_json(indent=1) + "\n")


def add(request: LabelledRequest) -> LabelledResult:
    """Write the labelled answers that the dataset has not yet into a file of their own.

    The file is named by its content: the same answers give the same file, so that a killed call leaves nothing double.
    """
    dataset = Path(request.dataset)
    spec, _, _ = open_dataset(dataset)
    task = tasks.find(spec.task)
    files = [dataset / "raw" / sample_file.FILE_NAME, *(dataset / one.path for one in spec.source.added)]
    known = (sample for path in files if path.is_file() for group in sample_file.groups(path) for sample in group)
    left_out: Counter[str] = Counter()
    found = labelled_samples.samples(Path(request.log), spec, task, known, left_out)
    writing = dataset / ADDED / f"writing-{os.getpid()}.tmp"
    writing.parent.mkdir(exist_ok=True)
    try:
        written = sample_file.write(found, writing, f"labelled answers for {spec.name}", spec.source_fields())
    except BaseException:
        writing.unlink(missing_ok=True)
        raise
    reasons = dict(sorted(left_out.items()))
    if written.samples < max(1, request.min_labels):
        writing.unlink()
        return LabelledResult(path=None, sha256=None, samples=written.samples, splits=written.splits, left_out=reasons)
    sha256 = digest.of_file(writing)
    path = f"{ADDED}/{sha256[:16]}.parquet"
    writing.replace(dataset / path)
    return LabelledResult(path=path, sha256=sha256, samples=written.samples, splits=written.splits, left_out=reasons)


if __name__ == "__main__":
    sys.exit(run("monitoring", "components.monitoring.labelled_stage:main"))
