"""`python -m components.advice REQUEST.json`: count parameters, or measure experiments and write the advice.

Experiments are measured on the validation split: whoever chooses by the advice would wear the test split out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from components import tasks
from components.advice import measurement, summary
from components.comparison import latency
from components.contracts import advice as contract
from components.contracts.advice import Advice, ReportRequest, SizesRequest
from components.core import atomic
from components.core.errors import CorruptArtifactError, UsageError
from components.core.stage_process import die_with_parent
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest

PARAMETERS = "parameters.json"
ADVICE, REPORT, PLOT = "advice.json", "report.html", "plot.png"


def main(arguments: list[str]) -> None:
    """Do what a request file names.

    Raises:
        UsageError: not called with one readable request file.
        NotFoundError, CorruptArtifactError: trained parts or data are missing, damaged, or of another digest.
        NotFiniteError, InferenceError: a model cannot predict.
    """
    die_with_parent()
    request = contract.read(arguments)
    data = manifest.verify(Path(request.prepared), "prepared")
    if data.digest != request.data_digest:
        raise CorruptArtifactError(
            "the prepared data is not the data of the request",
            where=request.prepared,
            got=data.digest,
            expected=request.data_digest,
            next_step="run the command again",
        )
    if isinstance(request, SizesRequest):
        count_parameters(request, data)
        return
    frozen = FrozenSplit.open(Path(request.prepared), data.facts, "validation")
    write(advise(request, frozen), Path(request.target))


def count_parameters(request: SizesRequest, data: manifest.Manifest) -> None:
    """Write the number of parameters of each model; null where one does not fit the data."""
    from components.models.parameters import count

    processor = tasks.find(data.facts["task"]).load(Path(request.prepared))
    counts: list[int | None] = []
    for model in request.models:
        try:
            counts.append(count(model, processor.input_spec(), processor.output_spec()))
        except UsageError:
            counts.append(None)
    with atomic.folder(Path(request.target)) as fresh:
        (fresh / PARAMETERS).write_text(json.dumps(counts), encoding="utf-8")


def advise(request: ReportRequest, frozen: FrozenSplit) -> Advice:
    """Measure the experiments of a request, and put the advice together."""
    metric = next(iter(frozen.task.metrics))
    measured = measurement.measure(request, frozen, metric)
    sizes = {one.experiment.parameters: one for one in reversed(measured)}
    print("measuring latency, in turns", file=sys.stderr, flush=True)
    medians = latency.medians([one.package for one in sizes.values()])
    by_size = dict(zip(sizes, medians, strict=True))
    latencies_ms = {one.experiment.name: by_size[one.experiment.parameters] for one in measured}
    return summary.advice(request, frozen.task, measured, latencies_ms)


def write(advice: Advice, folder: Path) -> None:
    """Write the folder of the advice; atomic."""
    from components.advice.drawing import draw
    from components.advice.report import render

    with atomic.folder(folder) as fresh:
        picture = draw(advice)
        (fresh / PLOT).write_bytes(picture)
        (fresh / ADVICE).write_text(advice.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / REPORT).write_text(render(advice, picture), encoding="utf-8")
