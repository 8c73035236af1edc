"""Scores an input: looks for what is there already, scores the pieces that are missing, and seals the output."""

from __future__ import annotations

import importlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.score_request import ScoreRequest
from components.contracts.table_layout import Columns
from components.core import located_yaml
from components.core.errors import Interrupted, SampleError, SourceError, UsageError, ValidationRefused
from components.core.log import Log
from components.core.progress import Progress
from components.identity import manifest as manifests
from components.identity.package import Package
from components.inference import body, postprocessing
from components.scoring import folder as folders
from components.scoring import identity, model, pieces, report, sources
from components.scoring.folder import OutputFolder
from components.scoring.identity import RunIdentity
from components.scoring.part import PartSeal, is_whole, read_seal
from components.scoring.piece import Piece
from components.scoring.report import Totals
from components.scoring.sources import ScoreSource
from components.scoring.worker import WorkerPlan, Workers
from components.tasks.task import EndpointSchema

if TYPE_CHECKING:
    from components.scoring.dask_workers import DaskWorkers

_EARLY_SAMPLES, _EARLY_SHARE = 1000, 0.5  # more errors than this share of the first samples end the run at once


class Done(NamedTuple):
    """The end of a run."""

    state: Literal["scored", "complete", "unchanged"]
    digest: str
    scored: int


class _Opened(NamedTuple):
    """The model, the input and what both make."""

    endpoint: EndpointSchema
    source: ScoreSource
    identity: RunIdentity


def score(request: ScoreRequest, log: Log) -> Done:
    """Score an input and seal the output; see `stage.main` for what it raises."""
    opened = _open(request)
    for remark in opened.source.remarks:
        log(f"note: {remark}")
    if request.unless_as is not None and (same := _unchanged(Path(request.unless_as), opened)) is not None:
        return Done("unchanged", same, 0)
    with folders.opened(Path(request.out)) as folder:
        if (present := _present(request, folder, opened)) is not None:
            return Done("complete", present, 0)
        shown = {name: opened.identity.facts[name] for name in ("model", "version", "bundle_digest", "options")}
        folder.begin(opened.identity.run, shown, force=request.force)
        scored = _Run(request, folder, opened, log)
        scored.score()
        return Done("scored", scored.seal().digest, scored.scored)


def _open(request: ScoreRequest) -> _Opened:
    """Verify the bundle and recognise the input; nothing is written."""
    sealed = model.verify(request)
    package = Package.open(Path(request.bundle) / "package", verify=False)
    task = tasks.find(package.facts.task)
    processor = task.load(package.folder)
    endpoint = postprocessing.endpoint(package.facts, processor.endpoint(package.signature().classes))
    if request.options.parameters:
        try:
            body.parameters(endpoint, json.dumps(request.options.parameters))
        except SampleError as error:
            raise UsageError(error.what, where="--parameters", got=error.got, expected=error.expected) from error
    _refuse_inside(request)
    is_row = getattr(task, "item_field", "") == "row"
    source = sources.find(request, endpoint, is_row=is_row, known=_known(request))
    batch = model.settings(Path(request.bundle)).samples
    return _Opened(endpoint, source, identity.of(request, sealed, package, source, batch))


def _refuse_inside(request: ScoreRequest) -> None:
    out = Path(request.out).resolve()
    for text in request.inputs:
        if out.is_relative_to(Path(text).resolve()):
            raise UsageError(
                "the output would be inside the input", where=request.out, got=text, next_step="choose another --out"
            )


def _known(request: ScoreRequest) -> Columns | None:
    """The table of the dataset that the model was trained on; None if it is none, or is not here."""
    path = None if request.dataset is None else Path(request.dataset) / "dataset.yaml"
    if path is None or not path.is_file():
        return None
    source = located_yaml.read(path, DatasetSpec).source
    columns = getattr(source, "layout", source)
    return columns if isinstance(columns, Columns) else None


def _unchanged(folder: Path, opened: _Opened) -> str | None:
    """The digest of a whole output of the same model, options and input; None if it is of another."""
    present = folders.sealed(folder)
    if present is None or present.facts.get("key") != opened.identity.key:
        return None
    same = present.facts["input_digest"] == identity.read_input(opened.source)
    return present.digest if same else None


def _present(request: ScoreRequest, folder: OutputFolder, opened: _Opened) -> str | None:
    """The digest of the output that is there already, verified; None if it is to be made.

    Raises:
        UsageError: the output of another model, input or options is there, and `force` is not set.
        CorruptArtifactError: the output is not as it was sealed.
    """
    present = folder.sealed()
    if present is None or request.force:
        return None
    if _unchanged(folder.path, opened) is not None:
        manifests.verify(folder.path, "predictions", frozenset({folders.WORK}))
        return present.digest
    raise UsageError(
        "the folder holds the output of another model, input or options",
        where=str(folder.path),
        got=f"{present.facts.get('model')} version {present.facts.get('version')}, "
        f"input {str(present.facts.get('input_digest'))[:12]}",
        next_step="choose another folder, or write --force to replace it",
    )


class _Run:
    """Scores the pieces of an input into a folder."""

    def __init__(self, request: ScoreRequest, folder: OutputFolder, opened: _Opened, log: Log) -> None:
        self._request, self._folder, self._log = request, folder, log
        self._source, self._identity = opened.source, opened.identity
        self._totals = Totals()
        self._count = 0
        self._inputs: dict[int, str] = {}
        self.scored = 0
        self._plan = WorkerPlan(
            request, opened.source, str(folder.work), opened.identity.run, *_types(opened.source)
        )  # fmt: skip

    def score(self) -> None:
        """Score every piece that has no part yet."""
        is_tables = self._source.kind == "tables"
        states = sources.states(self._source.paths) if is_tables else []
        with _progress(self._request, self._source) as progress:
            self._progress = progress
            missing = self._missing()
            first = list(itertools.islice(missing, self._processes()))  # no more processes than pieces
            if first:
                self._score(first, missing)
        if is_tables and sources.states(self._source.paths) != states:
            raise SourceError(
                "the input changed while it was scored",
                where=", ".join(self._source.names[:5]),
                next_step="run the same command again: parts whose input is the same are kept",
            )

    def _score(self, first: list[Piece], others: Iterator[Piece]) -> None:
        with self._workers(len(first)) as workers:
            try:
                for number, seal in workers.score(itertools.chain(first, others)):
                    self._add(number, seal, is_new=True)
            except KeyboardInterrupt as interrupt:
                for number, seal in workers.drain():
                    self._add(number, seal, is_new=True)
                raise Interrupted(
                    "scoring was stopped",
                    got=f"{len(self._inputs):,} parts with {self._totals.samples:,} samples are done, and are kept",
                    next_step="run the same command again to go on",
                ) from interrupt

    def _processes(self) -> int:
        cluster = self._request.cluster
        return self._request.processes if cluster is None else cluster.cluster.workers or os.cpu_count() or 1

    def _workers(self, count: int) -> Workers | DaskWorkers:
        cluster = self._request.cluster
        if cluster is None:
            return Workers(count, self._plan)
        # By its name: where pieces are scored is no part of the code that makes the output.
        module: Any = importlib.import_module("components.scoring.dask_workers")
        workers: DaskWorkers = module.DaskWorkers(cluster, count, self._plan)
        return workers

    def _missing(self) -> Iterator[Piece]:
        """The pieces without a part; those with one are counted."""
        for piece in pieces.of(self._source):
            self._count += 1
            seal = read_seal(self._folder.work, piece.number)
            if (
                seal is not None
                and seal.run == self._identity.run
                and seal.piece == piece.digest()
                and (piece.kind != "files" or seal.input == identity.input_of(piece, self._source))
                and is_whole(self._folder.work, seal)
            ):
                self._add(piece.number, seal, is_new=False)
            else:
                yield piece

    def _add(self, number: int, seal: PartSeal, *, is_new: bool) -> None:
        self._inputs[number] = seal.input
        self._totals.add(seal)
        self.scored += seal.samples if is_new else 0
        self._progress.advance(seal.samples)
        errors, samples = self._totals.errors, self._totals.samples
        if samples >= _EARLY_SAMPLES and errors > max(
            samples * _EARLY_SHARE, self._request.options.allowed_errors(samples)
        ):
            raise self._refusal()

    def seal(self) -> manifests.Manifest:
        """Write what is beside the parts, seal the result, and move it into its place.

        Raises:
            SourceError: there was no sample.
            ValidationRefused: too many samples have no answer, or an expectation is not met that must be.
        """
        totals, options = self._totals, self._request.options
        if not totals.samples:
            raise SourceError("the input holds no sample", where=", ".join(self._source.names[:5]))
        if totals.errors > options.allowed_errors(totals.samples):
            raise self._refusal()
        self._folder.keep_only({name for number in range(self._count) for name in self._files(number)})
        input_digest = identity.of_input(self._inputs[number] for number in range(self._count))
        documents = report.documents(self._request, self._folder.work, self._count, totals, self._source, input_digest)
        if documents.expectations is not None and options.expectations == "refuse" and documents.expectations["failed"]:
            raise ValidationRefused(
                f"{len(documents.expectations['failed'])} expectations are not met by the input",
                got="; ".join(documents.expectations["failed"][:5]),
                next_step="correct the input, or score it with --expectations report; parts that are done are kept",
            )
        report.write(documents, self._folder.result)
        facts = {
            folders.SCORED: self._source.kind,
            **self._identity.facts,
            "key": self._identity.key,
            "input_digest": input_digest,
            "samples": totals.samples,
            "answered": totals.answered,
            "parts": self._count,
        }
        sealed = manifests.seal(self._folder.result, "predictions", facts)
        self._folder.publish()
        return sealed

    def _files(self, number: int) -> list[str]:
        seal = read_seal(self._folder.work, number)
        assert seal is not None  # noqa: S101  # it was scored, or found
        return list(seal.files)

    def _refusal(self) -> ValidationRefused:
        totals = self._totals
        first = report.first_errors(self._folder.work, self._count, 5)
        return ValidationRefused(
            f"{totals.errors:,} of {totals.samples:,} samples cannot be scored",
            where=", ".join(str(one.place) for one in first) + (", ..." if totals.errors > len(first) else ""),
            got="; ".join(f"{one.place}: {one.problem}" for one in first),
            expected=f"at most {self._request.options.max_errors}",
            next_step="mend the input, or allow more with --max-errors, such as --max-errors 10%; parts that are done "
            "are kept",
        )


def _types(source: ScoreSource) -> tuple[dict[str, pa.DataType], dict[str, pa.DataType]]:
    """The types of the columns that say which sample it is, and of those that are kept of the input."""
    if source.kind == "dataset":
        return dict.fromkeys(("id", "split", "truth"), pa.string()), {}
    keys: dict[str, pa.DataType] = {"file": pa.string()} if source.has_names else {}
    if source.form is None:
        return keys, {}
    keys["row" if source.form.kind == "parquet" else "line"] = pa.int64()
    if source.form.kind != "parquet":
        return keys, dict.fromkeys(source.form.kept, pa.string())
    schemas = [pq.read_schema(path) for path in source.paths]
    kept = {name: schemas[0].field(name).type for name in source.form.kept}
    for path, schema in zip(source.names, schemas, strict=True):
        if other := [name for name, kind in kept.items() if schema.field(name).type != kind]:
            raise SourceError(
                "a column has another type than in the first file",
                where=path,
                got=f"{other[0]}: {schema.field(other[0]).type}",
                expected=str(kept[other[0]]),
                next_step="write the files alike, or leave the column out: --keep none",
            )
    return keys, kept


def _progress(request: ScoreRequest, source: ScoreSource) -> Progress:
    total = None
    if source.kind == "files":
        total = len(source.paths)
    elif source.form is not None and source.form.kind == "parquet":
        total = sum(pq.read_metadata(path).num_rows for path in source.paths)
    where = "" if request.cluster is None else " on a Dask cluster"
    return Progress(f"scoring with {request.model} version {request.version}{where}", total)
