"""The stage `rehearsal`: rows to draw from, each policy in each scenario, the report.

`<target>/` is a sealed folder: result.json and report.html.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from components import tasks
from components.contracts.rehearsal_request import RehearsalRequest
from components.contracts.rehearsal_scenario import ScenarioSpec
from components.contracts.row_expectations import RowSuite
from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.core.progress import Progress
from components.core.stage_process import die_with_parent
from components.identity import manifest as manifests
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.monitoring import reference
from components.rehearsal import pool as pools
from components.rehearsal import recorded, report
from components.rehearsal.model_version import ReferenceRows
from components.rehearsal.outcome import Rehearsed
from components.rehearsal.pool import DatasetRows, Pool
from components.rehearsal.recorded import RecordedWorld, Recording
from components.rehearsal.simulation import Simulation
from components.rehearsal.world import HOURS_A_MONTH, World
from components.tasks import row_suite

RESULT, REPORT = "result.json", "report.html"


class RehearsalSetting(NamedTuple):
    """A scenario, ready.

    Args:
        reference: of the package; None: rows of the pool.
    """

    world: World
    reference: ReferenceRows | None


class RowSource(NamedTuple):
    """Where the rows come from.

    Args:
        rows: of the dataset, with which inputs can be damaged.
        recording: of a log.
    """

    package: Package
    pool: Pool
    rows: DatasetRows
    suite: RowSuite | None
    recording: Recording | None
    notes: list[str]


def main(arguments: list[str]) -> None:
    """Rehearse what a request names.

    Raises:
        UsageError: not called with one readable request file, or a scenario does not fit the rows.
        NotFoundError, CorruptArtifactError: a package, the data or a sealed hour is missing or damaged.
    """
    die_with_parent()
    run(RehearsalRequest.read(arguments))


def run(request: RehearsalRequest) -> dict[str, Any]:
    """Rehearse, write the result and return it."""
    source = _source(request)
    settings = _settings(request, source)
    hours = sum(setting.world.hours for setting in settings) * len(request.policies)
    found: list[Rehearsed] = []
    with Progress(f"rehearsing {request.model}", hours, "hours") as progress:
        for setting in settings:
            found += _rehearsed(request, source, setting, progress.advance)
    document = report.document(request, source.package.digest, source.pool, found, source.notes)
    target = Path(request.target)
    with atomic.folder(target) as fresh:
        manifests.write_json(fresh / RESULT, document)
        (fresh / REPORT).write_text(report.render(request, document, found), encoding="utf-8")
        manifests.seal(fresh, "monitoring", {"model": request.model, "package": source.package.digest})
    return document


def _rehearsed(
    request: RehearsalRequest, source: RowSource, setting: RehearsalSetting, advance: Callable[[int], None]
) -> list[Rehearsed]:
    seconds = request.training_seconds.get(source.package.digest)
    return [
        Simulation(policy, setting.world, request.seed, seconds, setting.reference).run(advance)
        for policy in request.policies
    ]


def _source(request: RehearsalRequest) -> RowSource:
    dataset = Path(request.dataset)
    recording = None if request.log is None else recorded.read(Path(request.log))
    digest = request.package if recording is None else recording.package
    package = _package(request, digest)
    predictor = Predictor(package)
    rows = DatasetRows(predictor, dataset, Path(request.cache), request.model)
    suite = row_suite.read(dataset, tasks.find(package.facts.task))
    if recording is None:
        table, embedding, reference_rows = rows.table()
        return RowSource(package, pools.of_table(table, embedding, suite, reference_rows), rows, suite, None, [])
    has_most = sum(recording.right == recording.right) >= pools.LEAST_ROWS
    pool = recorded.pool_of(recording, suite, min(len(recording.table), reference.MOST_ROWS), labelled=has_most)
    notes = []
    if recording.others:
        notes.append(f"{recording.others:,} answers of other packages or roles are left out")
    if has_most and len(pool.rows) < len(recording.table):
        notes.append(
            f"{len(recording.table) - len(pool.rows):,} answers without a truth are left out of what is drawn from"
        )
    if not has_most:
        notes.append("too few answers have a truth: what is right and wrong is not known")
    return RowSource(package, pool, rows, suite, recording, notes)


def _settings(request: RehearsalRequest, source: RowSource) -> list[RehearsalSetting]:
    """All scenarios, so that one that does not fit is refused before any simulation."""
    found = []
    for scenario in request.scenarios:
        try:
            found.append(_setting(request, source, scenario))
        except UsageError as error:
            if not request.only_fitting:
                raise
            source.notes.append(f"{scenario.name} is left out: {error.what}")
    if not found:
        raise UsageError("no scenario fits the rows", got=source.notes)
    return found


def _setting(request: RehearsalRequest, source: RowSource, scenario: ScenarioSpec) -> RehearsalSetting:
    hours = round(request.months * HOURS_A_MONTH)
    recording = source.recording
    if scenario.name == "recorded":
        if recording is None:
            raise UsageError("recorded traffic needs a prediction log", next_step="add --from log")
        whole = recorded.pool_of(recording, source.suite, 0, labelled=False)
        own = reference.of_package(source.package, Path(request.dataset), Path(request.references), request.model)
        return RehearsalSetting(
            RecordedWorld(scenario, whole, recording, request.seed), ReferenceRows(own.rows, own.embedding)
        )
    pool = source.pool
    if scenario.name == "broken_sensor":
        if recording is not None:
            raise UsageError(
                "a broken sensor needs inputs that the package can answer again; a log has rows of inputs",
                next_step="rehearse it on the dataset: --from dataset",
            )
        table, embedding, _ = source.rows.table(scenario)
        pool = pools.damaged(pool, table, embedding, source.suite)
    elif scenario.name == "new_class":
        if not pool.is_scored:
            raise UsageError("new_class needs answers that are right or wrong, and known to be")
        pool = pools.renamed(pool)
    rate = None if recording is None else recording.requests_an_hour
    return RehearsalSetting(World(scenario, pool, hours, request.seed, rate), None)


def _package(request: RehearsalRequest, digest: str | None) -> Package:
    """The sealed package of a digest, from the folders of the request.

    Raises:
        NotFoundError: it is in none of them.
    """
    for place in request.packages:
        for path in sorted({*Path(place).glob("*/manifest.json"), *Path(place).glob("*/src/package/manifest.json")}):
            try:
                if manifests.read(path).digest == digest:
                    return Package.open(path.parent)
            except CorruptArtifactError:
                continue
    raise NotFoundError(
        f"the package that answered as {request.model} is not here",
        where=", ".join(request.packages),
        got=str(digest)[:12],
        next_step=f"`modelyard run {request.model}`, or restore the bundle of that version",
    )
