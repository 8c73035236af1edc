"""`python -m components.comparison REQUEST.json`: trained models, measured side by side; a table, a plot, a page."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from components.comparison import latency
from components.comparison.quality import method, quality
from components.contracts.comparison import Compared, ComparisonRequest, ComparisonTable, Quality, Row
from components.core import atomic
from components.core.errors import CorruptArtifactError
from components.core.stage_process import die_with_parent
from components.core.strict import Strict
from components.evaluation.stage import score
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package

WEIGHTS = "model.safetensors"  # for training on; nothing that answers reads them


def main(arguments: list[str]) -> None:
    """Measure what a request names and write table.json, table.csv, plot.png and report.html.

    Raises:
        UsageError: not one readable request file.
        NotFoundError, CorruptArtifactError: a package or the data is missing, damaged or another one.
        InferenceError: a package does not answer.
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
    frozen = FrozenSplit.open(Path(request.prepared), data.facts)
    packages = [Package.open(Path(model.package)) for model in request.models]
    table = measure(request, frozen, packages)
    write_report(table, Path(request.target))


def measure(request: ComparisonRequest, frozen: FrozenSplit, packages: list[Package]) -> ComparisonTable:
    """The table: what the request says of each model, its quality, latency and size."""
    metric, meaning = next(iter(frozen.task.metrics.items()))
    judged = [
        _judged(request, model, package, frozen, metric)
        for model, package in zip(request.models, packages, strict=True)
    ]
    print("measuring latency, in turns", file=sys.stderr, flush=True)
    taken = latency.medians(packages)
    rows = [
        Row(
            **model.model_dump(),
            quality=found.quality,
            latency_ms=milliseconds,
            serves_bytes=serves_bytes(package),
        )
        for model, package, found, milliseconds in zip(request.models, packages, judged, taken, strict=True)
    ]
    rows.sort(key=lambda row: -row.quality.value if meaning.higher_is_better else row.quality.value)
    return ComparisonTable(
        title=request.title,
        dataset=request.dataset,
        task=frozen.task.name,
        budget=request.budget,
        metric=metric,
        words=meaning.description,
        higher_is_better=meaning.higher_is_better,
        interval=judged[0].method,
        samples=judged[0].samples,
        rows=rows,
        failed=request.failed,
    )


def serves_bytes(package: Package) -> int:
    """Bytes of the package's files, without the weights for training on."""
    files = [path for path in package.folder.rglob("*") if path.is_file() and path.name != WEIGHTS]
    return sum(path.stat().st_size for path in files)


def write_report(table: ComparisonTable, folder: Path) -> None:
    """Write the report's folder, at once."""
    from components.comparison.drawing import draw
    from components.comparison.report import render

    with atomic.folder(folder) as fresh:
        picture = draw(table)
        (fresh / "plot.png").write_bytes(picture)
        (fresh / "table.json").write_text(table.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / "table.csv").write_text(as_csv(table), encoding="utf-8")
        (fresh / "report.html").write_text(render(table, picture), encoding="utf-8")


def as_csv(table: ComparisonTable) -> str:
    """One line a model, numbers as they are; what was not measured is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    plain = [name for name in Compared.model_fields if name != "package"]
    own = ("latency_ms", "serves_bytes")
    writer.writerow([*plain, table.metric, f"{table.metric}_lower", f"{table.metric}_upper", *own])
    for row in table.rows:
        found = row.quality
        figures = [found.value, found.lower, found.upper]
        writer.writerow([*(getattr(row, name) for name in plain), *figures, *(getattr(row, name) for name in own)])
    return stream.getvalue()


class _Judged(Strict):
    """What scoring a package gave; kept, so that a package is scored once."""

    scoring: str
    metric: str
    samples: int
    method: str
    quality: Quality


def _judged(request: ComparisonRequest, model: Compared, package: Package, frozen: FrozenSplit, metric: str) -> _Judged:
    kept = Path(request.known) / f"{package.digest[:16]}.json"
    if kept.is_file():
        try:
            found = _Judged.model_validate_json(kept.read_bytes())
        except ValueError:  # of an older form
            pass
        else:
            if found.scoring == request.scoring and found.metric == metric:
                return found
    print(f"scoring {model.name}", file=sys.stderr, flush=True)
    scored = score(package, frozen)
    found = _Judged(
        scoring=request.scoring,
        metric=metric,
        samples=scored.samples,
        method=method(scored, metric),
        quality=quality(scored, metric),
    )
    atomic.write_text(kept, found.model_dump_json())
    return found
