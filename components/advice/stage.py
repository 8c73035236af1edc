"""`python -m components.advice REQUEST.json`: count parameters, or measure experiments and write the advice.

Experiments are measured on the validation split: whoever chooses by the advice would wear the test split out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.advice import measurement, summary
from components.contracts import advice as contract
from components.contracts.advice import Advice, CountedSteps, ModelSizes, ReportRequest, SizesRequest
from components.core import atomic
from components.core.errors import CorruptArtifactError, UsageError
from components.core.stage_process import die_with_parent
from components.evaluation import baselines
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.inference import latency

SIZES = "sizes.json"
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
        count(request)
        return
    frozen = FrozenSplit.open(Path(request.prepared), data.facts, "validation")
    write(advise(request, frozen), Path(request.target))


def count(request: SizesRequest) -> None:
    """Write the parameters of each model and the cost of the first one's steps; null for what does not fit the data."""
    from components.models import parameters
    from components.training import flops, subset
    from components.training.prepared import open_prepared

    prepared = open_prepared(Path(request.prepared), request.data_digest)
    takes, gives = prepared.processor.input_spec(), prepared.processor.output_spec()
    counts: list[int | None] = []
    for model in request.models:
        try:
            counts.append(parameters.count(model, takes, gives))
        except UsageError:
            counts.append(None)
    cost = None
    if counts[0] is not None:
        part = subset.limit(prepared, request.train.samples, request.train.seed)
        cost = CountedSteps(**flops.step_cost(request.models[0], request.train, part)._asdict())
    with atomic.folder(Path(request.target)) as fresh:
        sizes = ModelSizes(parameters=counts, step_cost=cost)
        (fresh / SIZES).write_text(sizes.model_dump_json(), encoding="utf-8")


def advise(request: ReportRequest, frozen: FrozenSplit) -> Advice:
    """Measure the experiments of a request, and put the advice together."""
    metric = next(iter(frozen.task.metrics))
    measured = measurement.measure(request, frozen, metric)
    sizes = {one.experiment.parameters: one for one in reversed(measured)}
    print("measuring latency, in turns", file=sys.stderr, flush=True)
    medians = latency.medians([one.package for one in sizes.values()])
    by_size = dict(zip(sizes, medians, strict=True))
    latencies_ms = {one.experiment.name: by_size[one.experiment.parameters] for one in measured}
    return summary.advice(request, frozen.task, measured, latencies_ms, baselines.of(frozen))


def write(advice: Advice, folder: Path) -> None:
    """Write the folder of the advice; atomic."""
    from components.advice.drawing import draw
    from components.advice.report import render

    with atomic.folder(folder) as fresh:
        picture = draw(advice)
        (fresh / PLOT).write_bytes(picture)
        (fresh / ADVICE).write_text(advice.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / REPORT).write_text(render(advice, picture), encoding="utf-8")
