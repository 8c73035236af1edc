"""`python -m components.comparison REQUEST.json`: measure trained models; write a table, a plot and a page.

Models are measured on the validation split: whoever chooses by the table would wear the test split out.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from components.comparison.scored_model import ScoredModel
from components.contracts.comparison import Compared, ComparisonRequest, ComparisonTable, Row
from components.core import atomic
from components.core.errors import CorruptArtifactError
from components.core.stage_process import die_with_parent
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package
from components.inference import latency

WEIGHTS = "model.safetensors"  # only for further training; predictions do not need them


def main(arguments: list[str]) -> None:
    """Measure what a request names and write table.json, table.csv, plot.png and report.html.

    Raises:
        UsageError: not called with one readable request file.
        NotFoundError, CorruptArtifactError: a package or the data is missing, damaged, or has another digest.
        InferenceError: a package cannot predict.
    """
    die_with_parent()
    request = ComparisonRequest.read(arguments)
    data = manifest.verify(Path(request.prepared), "prepared")
    if data.digest != request.data_digest:
        raise CorruptArtifactError(
            "the prepared data is not what the models were trained on",
            where=request.prepared,
            got=data.digest,
            expected=request.data_digest,
            next_step="run the comparison again",
        )
    frozen = FrozenSplit.open(Path(request.prepared), data.facts, "validation")
    packages = [Package.open(Path(model.package)) for model in request.models]
    table = measure(request, frozen, packages)
    write_report(table, Path(request.target))


def measure(request: ComparisonRequest, frozen: FrozenSplit, packages: list[Package]) -> ComparisonTable:
    """Measure quality, latency and size of each model of the request."""
    metric, metric_spec = next(iter(frozen.task.metrics.items()))
    scored_models = [
        ScoredModel.once(request.known, request.scoring, model.name, package, frozen, metric)
        for model, package in zip(request.models, packages, strict=True)
    ]
    print("measuring latency, in turns", file=sys.stderr, flush=True)
    latencies_ms = latency.medians(packages)
    rows = [
        Row(
            **model.model_dump(),
            quality=scored_model.quality,
            latency_ms=milliseconds,
            serves_bytes=serves_bytes(package),
        )
        for model, package, scored_model, milliseconds in zip(
            request.models, packages, scored_models, latencies_ms, strict=True
        )
    ]
    rows.sort(key=lambda row: -row.quality.value if metric_spec.higher_is_better else row.quality.value)
    return ComparisonTable(
        title=request.title,
        dataset=request.dataset,
        task=frozen.task.name,
        budget=request.budget,
        metric=metric,
        words=metric_spec.description,
        higher_is_better=metric_spec.higher_is_better,
        interval=scored_models[0].method,
        samples=scored_models[0].samples,
        rows=rows,
        failed=request.failed,
    )


def serves_bytes(package: Package) -> int:
    """Bytes of the package's files, without the weights for training on."""
    files = [path for path in package.folder.rglob("*") if path.is_file() and path.name != WEIGHTS]
    return sum(path.stat().st_size for path in files)


def write_report(table: ComparisonTable, folder: Path) -> None:
    """Write the folder of the report; atomic."""
    from components.comparison.drawing import draw
    from components.comparison.report import render

    with atomic.folder(folder) as fresh:
        picture = draw(table)
        (fresh / "plot.png").write_bytes(picture)
        (fresh / "table.json").write_text(table.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / "table.csv").write_text(as_csv(table), encoding="utf-8")
        (fresh / "report.html").write_text(render(table, picture), encoding="utf-8")


def as_csv(table: ComparisonTable) -> str:
    """One line for each model, with unrounded numbers; a figure that was not measured is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [name for name in Compared.model_fields if name != "package"]
    measured = ("latency_ms", "serves_bytes")
    writer.writerow([*columns, table.metric, f"{table.metric}_lower", f"{table.metric}_upper", *measured])
    for row in table.rows:
        quality = row.quality
        figures = [quality.value, quality.lower, quality.upper]
        writer.writerow(
            [*(getattr(row, name) for name in columns), *figures, *(getattr(row, name) for name in measured)]
        )
    return stream.getvalue()
