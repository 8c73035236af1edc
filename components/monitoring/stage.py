"""The stage `monitoring`: judge the windows of a prediction log, each once.

`<target>/<window>/` is a sealed folder: verdict.json, report.html, expectations-<part>.html, and monitor.json, the
state of the test over time after the window. A window is judged again if anything that it is judged by has changed:
its rows, its truths, the reference, the expectations, the settings, the state before it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from components import tasks
from components.contracts.drift_request import DriftRequest
from components.core import atomic, file_lock
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.stage_process import die_with_parent
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.package import Package
from components.monitoring import labels, log_reader, reference, sealing, window_suite, windows
from components.monitoring.judged_model import JudgedModel
from components.monitoring.windows import LogWindow
from components.tasks import row_suite
from components.tasks.dataset_file import open_dataset

if TYPE_CHECKING:
    from components.monitoring.judgement import WindowJudgement

VERDICT, STATE, REPORT = "verdict.json", "monitor.json", "report.html"
ROLE = "champion"


def main(arguments: list[str]) -> None:
    """Judge the windows that a request names.

    Raises:
        UsageError: not called with one readable request file, or the data is not the model's.
        NotFoundError, CorruptArtifactError: a package, the data or a sealed hour is missing or damaged.
    """
    die_with_parent()
    request = DriftRequest.read(arguments)
    log = Path(request.log)
    with file_lock.locked(log / "sealing.lock", "another look at the prediction log"):
        sealing.seal_closed(log)
    Path(request.target).mkdir(parents=True, exist_ok=True)
    with file_lock.locked(Path(request.target) / ".judging.lock", "another look at the same windows"):
        run(request)


def run(request: DriftRequest, now: float | None = None) -> list[str]:
    """Judge, and say which windows were judged."""
    now = time.time() if now is None else now
    log, target = Path(request.log), Path(request.target)
    sealed = sealing.sealed_hours(log)
    chosen = windows.of_log(sealed, request.monitor.window, request.since, request.until, now)
    told = windows.truths(log, sealed)
    subjects: dict[str, JudgedModel] = {}
    judged = []
    for window in chosen:
        rows, others = _of_one_package(window.predictions())
        if rows.empty:
            continue
        package = str(rows["package"].iloc[0])
        if package not in subjects:
            subjects[package] = _subject(request, package)
        truths = _truths(rows, told)
        state = _state_before(target, window, package)
        identity = _identity(subjects[package], window, len(rows), truths, state)
        if not request.again and _is_judged(target / window.name, identity):
            continue
        from components.monitoring import judgement  # SciPy and scikit-learn take seconds; most looks judge nothing

        print(f"judging {window.name}: {len(rows):,} answers", file=sys.stderr, flush=True)
        found = judgement.judge(subjects[package], window.name, rows, truths, state, identity)
        if others:
            found.verdict["notes"].append(f"{others:,} answers of other packages are not in this verdict")
        _write(target, window, subjects[package], found)
        judged.append(window.name)
    return judged


def _of_one_package(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The champion's rows of the package that answered most, and how many rows of others there are."""
    champion = table[table["role"] == ROLE]
    if champion.empty:
        return champion, 0
    most = champion["package"].value_counts().index[0]
    own = champion[champion["package"] == most].reset_index(drop=True)
    return own, len(champion) - len(own)


def _subject(request: DriftRequest, package_digest: str) -> JudgedModel:
    package = _package(request, package_digest)
    dataset = Path(request.dataset)
    spec, _, _ = open_dataset(dataset)
    task = tasks.find(package.facts.task)
    found = reference.of_package(package, dataset, Path(request.references), request.model)
    document, suite = window_suite.read(dataset), row_suite.read(dataset, task)
    return JudgedModel(request.model, package, found, spec, task, document, suite, request.monitor)


def _package(request: DriftRequest, package_digest: str) -> Package:
    """The sealed package of a digest, from the folders of the request.

    Raises:
        NotFoundError: it is in none of them.
    """
    for place in request.packages:
        for path in sorted(Path(place).glob("*/manifest.json")) + sorted(
            Path(place).glob("*/src/package/manifest.json")
        ):
            try:
                if manifests.read(path).digest == package_digest:
                    return Package.open(path.parent)
            except CorruptArtifactError:
                continue
    raise NotFoundError(
        f"the package that answered as {request.model} is not here",
        where=", ".join(request.packages),
        got=package_digest[:12],
        next_step=f"`modelyard run {request.model}`, or restore the bundle of that version",
    )


def _truths(rows: pd.DataFrame, told: list[Any]) -> list[Any]:
    """The truth of each row; None where none was told."""
    import pyarrow as pa

    facts = pa.Table.from_pandas(rows[list(log_reader.FACTS.names)], log_reader.FACTS, preserve_index=False)
    joined = labels.join(facts, told).table
    by_key = dict(zip(zip(joined["id"], joined["index"], strict=True), joined["truth"], strict=True))
    return [by_key.get(key) for key in zip(rows["id"], rows["index"], strict=True)]


def _state_before(target: Path, window: LogWindow, package: str) -> str | None:
    """The state of the monitor after the last judged window of the same package before this one."""
    names = sorted(path.name for path in target.iterdir() if len(path.name) == len(window.name))
    for name in reversed([name for name in names if name < window.name]):
        path = target / name / VERDICT
        if path.is_file() and json.loads(path.read_bytes())["package"] == package:
            state = target / name / STATE
            return state.read_text() if state.is_file() else None
    return None


def _identity(subject: JudgedModel, window: LogWindow, rows: int, truths: list[Any], state: str | None) -> str:
    return digest.of_value({
        "parts": window.identity,
        "rows": rows,
        "truths": digest.of_value([repr(truth) for truth in truths]),
        "package": subject.package.digest,
        "reference": subject.reference.digest,
        "expectations": digest.of_value(dict(subject.document)),
        "monitor": subject.spec.model_dump(mode="json"),
        "state": state,
    })  # fmt: skip


def _is_judged(folder: Path, identity: str) -> bool:
    try:
        return bool(manifests.verify(folder, "monitoring").facts["identity"] == identity)
    except (NotFoundError, CorruptArtifactError):
        return False


def _write(target: Path, window: LogWindow, subject: JudgedModel, found: WindowJudgement) -> None:
    from components.monitoring import drift_report  # with Matplotlib

    history = drift_report.history(target, window.name, found.verdict["package"])
    pages = {f"expectations-{part}.html": one.page for part, one in found.parts.items()}
    text = drift_report.render(found, subject.reference.rows, history, list(pages), subject.spec)
    with atomic.folder(target / window.name) as fresh:
        manifests.write_json(fresh / VERDICT, found.verdict)
        (fresh / REPORT).write_text(text, encoding="utf-8")
        for name, page in pages.items():
            (fresh / name).write_text(page, encoding="utf-8")
        if found.state is not None:
            (fresh / STATE).write_text(found.state, encoding="utf-8")
        facts = {"model": subject.model, "window": window.name, "identity": found.verdict["identity"],
                 "alarm": found.verdict["alarm"]}  # fmt: skip
        manifests.seal(fresh, "monitoring", facts)
