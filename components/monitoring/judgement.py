"""The judgement of one window: expectations, columns, outputs, estimated quality, truths, and the test over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.contracts.monitor_actions import Trigger
from components.contracts.monitor_spec import MonitorSpec
from components.drift import columns as column_drift
from components.drift import multivariate
from components.drift.columns import ColumnDrift
from components.monitoring import embeddings, output_columns, quality, watch, window_suite
from components.monitoring.judged_model import JudgedModel
from components.monitoring.output_columns import OUTPUT
from components.monitoring.reference import TRUTH
from components.monitoring.watch import Watched
from components.monitoring.window_suite import PartVerdict
from components.monitoring.windows import MOST_COMPARED
from components.tasks.input_rows import PREFIXES

DIFFERENT = 0.05  # adjusted p-value of a window by itself, below which a column is marked
SEED = 0


class WindowJudgement(NamedTuple):
    """The result for a window.

    Args:
        verdict: verdict.json.
        drifts: of the compared columns, those that differ most first.
        frame: the rows that were compared.
        state: of the monitor after the window, as JSON; None before the first window that is large enough.
    """

    verdict: dict[str, Any]
    parts: dict[str, PartVerdict]
    drifts: list[ColumnDrift]
    frame: pd.DataFrame
    state: str | None


def judge(
    subject: JudgedModel, name: str, rows: pd.DataFrame, truths: list[Any], state: str | None, identity: str
) -> WindowJudgement:
    """Judge the champion's answers of a window.

    Args:
        rows: of one package, in the order of their times.
        truths: that were told since, one for each row; None where there is none.
        state: of the monitor before the window.
        identity: digest of what is judged and by what.
    """
    spec, notes = subject.spec, list[str]()
    frame = _frame(rows, truths)
    parts = window_suite.judge(subject.document, rows, subject.dataset, subject.task, name, identity)
    missed = window_suite.missed_share(subject.suite, rows)
    compared = frame.iloc[:: -(-len(frame) // MOST_COMPARED)] if len(frame) > MOST_COMPARED else frame
    reference = _without(subject.reference.rows, spec.leave_out)
    compared = _without(compared, [*spec.leave_out, TRUTH])
    drifts, joint, watched = list[ColumnDrift](), dict[str, Any](), Watched(state, None, None, None)
    if len(compared) >= spec.min_rows:
        shared = reference.drop(columns=[TRUTH], errors="ignore")
        drifts = _drifts(shared, compared, notes)
        vectors = _embeddings(subject, rows, notes)
        joint = _multivariate(subject, shared, compared, vectors)
        watched = watch.advance(shared, compared, spec, state, name, (subject.reference.embedding, vectors))
        notes += [watched.note] if watched.note else []
    else:
        notes.append(f"a window of fewer than {spec.min_rows} answers is not compared (monitor.min_rows)")
    adjusted = column_drift.adjusted([one.p_value for one in drifts])
    alarmed = tuple(one.stream for one in watched.found.streams) if watched.found else ()
    found = quality.of_window(subject.reference.rows, frame, rows, truths, alarmed)
    unknown = quality.unknown_note(rows, truths)
    notes += [unknown] if unknown is not None else []
    alarms = _alarms(spec, watched, drifts, missed, found)
    columns = [{**one._asdict(), "adjusted_p_value": float(p)} for one, p in zip(drifts, adjusted, strict=True)]
    different = [one["column"] for one in columns if one["adjusted_p_value"] < DIFFERENT]
    evaluated = sum(len(part.verdict.results) for part in parts.values())
    met = sum(part.verdict.statistics["met"] for part in parts.values())
    verdict = {
        "model": subject.model,
        "window": name,
        "package": subject.package.digest,
        "version": ", ".join(sorted({str(version) for version in rows["version"]})),
        "rows": len(rows),
        "compared_rows": len(compared),
        "reference": subject.reference.digest,
        "reference_rows": len(subject.reference.rows),
        "identity": identity,
        "expectations_met": f"{met} of {evaluated}",
        "expectations": {part: _told(one) for part, one in parts.items()},
        "missed_share": missed,
        "columns": columns,
        "different": different,
        "multivariate": joint,
        **found,
        "monitor": watched.document(),
        "evidence_of": watched.text(),
        "alarm": bool(alarms),
        "alarms": [{"trigger": trigger, "text": text} for trigger, text in alarms],
        "reasons": [text for _, text in alarms],
        "notes": notes,
    }
    order = np.argsort([-_size(one) for one in drifts], kind="stable")
    return WindowJudgement(plain(verdict), parts, [drifts[place] for place in order], compared, watched.state)


def _frame(rows: pd.DataFrame, truths: list[Any]) -> pd.DataFrame:
    """The columns of inputs and outputs; truths that are labels as texts."""
    import json

    inputs = rows[[name for name in rows.columns if name.startswith(PREFIXES)]]
    outputs = pd.DataFrame(output_columns.columns([json.loads(text) for text in rows["output"]]), index=rows.index)
    told = [str(truth) if isinstance(truth, str | int) else None for truth in truths]
    return pd.concat([inputs, outputs, pd.DataFrame({TRUTH: told}, index=rows.index)], axis=1)


def _without(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return table.drop(columns=[name for name in names if name in table.columns])


def _drifts(reference: pd.DataFrame, window: pd.DataFrame, notes: list[str]) -> list[ColumnDrift]:
    """Each column against the reference; of inputs, only rows whose input was described: others are not missing."""
    outputs = [name for name in window.columns if name.startswith(OUTPUT)]
    described = window.drop(columns=outputs).dropna(how="all")
    if absent := len(window) - len(described):
        notes.append(f"{absent:,} of {len(window):,} answers came too fast for their input to be described")
    of_outputs = [name for name in reference.columns if name.startswith(OUTPUT)]
    inputs = column_drift.compare(reference.drop(columns=of_outputs), described)
    return [*inputs, *column_drift.compare(reference[of_outputs], window[outputs])]


def _embeddings(subject: JudgedModel, rows: pd.DataFrame, notes: list[str]) -> NDArray[np.float32] | None:
    """The embeddings of the window's inputs, if the network gives any and the inputs are kept."""
    if subject.reference.embedding is None:
        return None
    vectors = embeddings.of_inputs(subject.package, rows)
    if vectors is None:
        notes.append("embeddings are not compared: the log keeps no inputs (serving.log.inputs)")
    return vectors


def _multivariate(
    subject: JudgedModel, reference: pd.DataFrame, window: pd.DataFrame, vectors: NDArray[np.float32] | None
) -> dict[str, Any]:
    """All columns of inputs together by a classifier, and embeddings by their mean discrepancy, where there are any."""
    found: dict[str, Any] = {}
    inputs = [name for name in reference.columns if not name.startswith(OUTPUT) and name in window.columns]
    described = window[inputs].dropna(how="all")
    if inputs and len(described) >= subject.spec.min_rows:
        found["domain_classifier"] = multivariate.domain_classifier(reference[inputs], described, SEED)._asdict()
    if subject.reference.embedding is not None and vectors is not None and len(vectors) >= subject.spec.min_rows:
        result = multivariate.maximum_mean_discrepancy(subject.reference.embedding, vectors, SEED)
        found["embedding"] = result._asdict()
    return found


def _alarms(
    spec: MonitorSpec, watched: Watched, drifts: list[ColumnDrift], missed: float | None, found: Mapping[str, Any]
) -> list[tuple[Trigger, str]]:
    """Why there is an alarm; [] if there is none."""
    alarms: list[tuple[Trigger, str]] = [("drift", watched.alarm)] if watched.alarm else []
    limits = spec.limits
    if limits.missed is not None and missed is not None and missed > limits.missed:
        text = f"{missed:.1%} of the rows miss an expectation of the training data; limit {limits.missed:.1%}"
        alarms.append(("expectations", text))
    if limits.psi is not None:
        beyond = [f"{one.column} ({one.psi:.2f})" for one in drifts if one.psi > limits.psi]
        if beyond:
            alarms.append(("distance", f"population stability index above {limits.psi:g}: {', '.join(beyond)}"))
    drop = (found.get("quality") or {}).get("drop")
    if limits.quality_drop is not None and drop is not None and drop > limits.quality_drop:
        text = f"the estimated accuracy is {drop:.1%} below the reference's; limit {limits.quality_drop:.1%}"
        alarms.append(("estimated_quality", text))
    return alarms


def _told(part: PartVerdict) -> dict[str, Any]:
    missed = [result for result in part.verdict.results if not result.success]
    return {
        **part.verdict.statistics,
        "left_out": part.left_out,
        "missed": [{"type": one.type, "kwargs": one.kwargs, "sentence": one.sentence()} for one in missed],
    }


def _size(one: ColumnDrift) -> float:
    return one.psi if math.isfinite(one.psi) else -1.0


def plain(value: Any) -> Any:
    """As JSON; a figure that is not finite is null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(inner) for inner in value]
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
