"""Labels in the order of their arrival, and the two tests over them: of the champion alone, and against its challenger.

A test that may be looked at any time needs a sequence that does not depend on what is seen later. So labels are grouped
by the window in which the first truth of an answer arrived, and a window counts once it is over. Of several truths the
last one counts, as everywhere (`labels.settle`): a label that was wrong is corrected where it stands, and the tests are
those of the corrected labels.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.live_request import ChallengerRequest, ComparisonResult, LiveRequest, LiveResult, LowAccuracy
from components.contracts.monitor_spec import Window
from components.contracts.prediction_log import OPEN, hour_of, hours
from components.drift import accuracy_watch
from components.drift.live_comparison import LiveComparison
from components.monitoring import labels, live_quality, log_reader, sealing
from components.monitoring.sealing import SealedHour
from components.monitoring.upkeep_request import GRACE_SECONDS
from components.monitoring.windows import A_MONTH, SECONDS

_COLUMNS = ["id", "index", "package", "role", "output"]
_DAY = len("2026-11-29")
_MOST_CHAMPIONS = 1000


class ScoredAnswer(NamedTuple):
    """A label of an answer.

    Args:
        arrived: name of the window in which the label arrived.
        right: None where it cannot be said.
        error: squared, of an answer that is a number.
        unknown: names in the truth that are no class of the answer's version.
    """

    key: tuple[str, int]
    package: str
    role: str
    arrived: str
    right: bool | None
    error: float | None = None
    unknown: tuple[str, ...] = ()


def result(request: LiveRequest, log: Path, now: float) -> LiveResult:
    """What the labels of a log say until now."""
    sealed = sealing.sealed_hours(log)
    truths = _arrived_truths(log, sealed, request.window, now)
    known = set[str]()
    scored = [_of_any_version(one, known) for one in list(_scored(log, sealed, truths, known))]
    own = [one for one in scored if one.package == request.champion and one.role == "champion"]
    judged = [one for one in own if one.right is not None]
    unknown = Counter(name for one in own for name in one.unknown)
    comparison, note = None, None
    if request.challenger is not None:
        comparison, note = _compared(scored, request.champion, request.challenger)
    return LiveResult(
        champion=request.champion,
        labels=len(judged),
        right=sum(bool(one.right) for one in judged),
        unscored=sum(one.right is None and one.error is None and not one.unknown for one in own),
        low_accuracy=None if request.limit is None else _low_accuracy(judged, request, request.limit),
        comparison=comparison,
        note=note,
        unknown_classes=dict(unknown.most_common()),
        unknown_note=live_quality.unknown_note(dict(unknown.most_common()), known),
    )


def _of_any_version(one: ScoredAnswer, known: Collection[str]) -> ScoredAnswer:
    """An answer whose version lacks a class that another version of the model knows is wrong."""
    if not one.unknown:
        return one
    names = tuple(name for name in one.unknown if name not in known)
    return one._replace(right=None if names else False, unknown=names)


def _arrived_truths(
    log: Path, sealed: Iterable[SealedHour], window: Window, now: float
) -> dict[tuple[str, int], tuple[str, str]]:
    """The truth of each answer, as JSON, and the window in which the first that was told of it arrived."""
    rows = [row for one in sealed for row in pq.read_table(one.folder / sealing.FEEDBACK).to_pylist()]
    for hour in hours(log / OPEN):
        rows += log_reader.read(log / OPEN / hour).feedback.to_pylist()
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for key, truth in labels.settle(rows).items():
        end = (math.floor(truth.first_arrived / SECONDS[window]) + 1) * SECONDS[window]
        if end + GRACE_SECONDS <= now:
            hour = hour_of(truth.first_arrived)
            found[key] = truth.text, hour if window == "hour" else hour[:_DAY]
    return found


def _scored(
    log: Path, sealed: Iterable[SealedHour], truths: Mapping[tuple[str, int], tuple[str, str]], known: set[str]
) -> Iterable[ScoredAnswer]:
    """The labelled answers of a log, part by part: the memory does not grow with the answers.

    Args:
        known: the classes that these answers name are added.
    """
    ids = pa.array(sorted({key[0] for key in truths}), pa.string())
    if not len(ids):
        return
    tables: Iterable[pa.Table] = (group for one in sealed for group in _row_groups(one.folder / sealing.PREDICTIONS))
    yield from (one for table in tables for one in _of_table(table, ids, truths, known))
    for hour in hours(log / OPEN):
        yield from _of_table(log_reader.read(log / OPEN / hour).predictions.select(_COLUMNS), ids, truths, known)


def _row_groups(path: Path) -> Iterable[pa.Table]:
    with pq.ParquetFile(path) as parquet:
        for number in range(parquet.num_row_groups):
            yield parquet.read_row_group(number, columns=_COLUMNS)


def _of_table(
    table: pa.Table, ids: pa.Array, truths: Mapping[tuple[str, int], tuple[str, str]], known: set[str]
) -> Iterable[ScoredAnswer]:
    chosen = table.filter(pc.is_in(table["id"], value_set=ids))
    for row in chosen.to_pylist():
        key = (row["id"], row["index"])
        if key in truths:
            truth, arrived = truths[key]
            output, told = json.loads(row["output"]), json.loads(truth)
            known.update(live_quality.known_classes([output]))
            score, unknown = live_quality.score(output, told), live_quality.unknown_names(output, told)
            right = None if score is None or score.metric != "accuracy" else bool(score.value)
            error = score.value if score is not None and score.metric == "rmse" else None
            yield ScoredAnswer(key, row["package"], row["role"], arrived, right, error, tuple(unknown))


def _low_accuracy(known: list[ScoredAnswer], request: LiveRequest, limit: float) -> LowAccuracy:
    groups = _by_arrival(known)
    found = accuracy_watch.watch(
        [(sum(bool(one.right) for one in group), sum(not one.right for one in group)) for group in groups.values()],
        limit,
        false_alarms_per_month=request.false_alarms_per_month,
        windows_per_month=A_MONTH[request.window],
    )
    names = list(groups)
    return LowAccuracy(
        limit=limit,
        log10_evidence=found.log10_evidence if math.isfinite(found.log10_evidence) else None,
        log10_threshold=found.log10_threshold,
        window=None if found.alarm_at is None else names[found.alarm_at],
        began=None if found.begin is None else names[found.begin],
    )


def _by_arrival(labels: Iterable[ScoredAnswer]) -> dict[str, list[ScoredAnswer]]:
    groups: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for one in labels:
        groups[one.arrived].append(one)
    return dict(sorted(groups.items()))


def _compared(
    scored: list[ScoredAnswer], champion: str, challenger: ChallengerRequest
) -> tuple[ComparisonResult | None, str | None]:
    """The comparison, or why there is none.

    Of numbers the one that is closer to the truth is right: their errors have no bound, and a test of means that may be
    looked at any time needs one. So it is a sign test, of pairs.
    """
    of_champion = {one.key: one for one in scored if one.package == champion and one.role == "champion"}
    of_challenger = [
        one for one in scored if one.package == challenger.package and one.role in ("challenger", "shadow")
    ]
    if of_challenger and all(one.right is None for one in of_challenger):
        if all(one.error is None for one in of_challenger):
            return None, "the answers of this task are not right or wrong, so that labels compare no accuracies"
        if challenger.canary_percent:
            return None, "numbers are compared on samples that both answer: release.canary_percent: 0 runs a shadow"
        both = [_closer(of_champion[one.key], one) for one in of_challenger if one.key in of_champion]
        return _paired([pair for pair in both if pair is not None], challenger, closer=True), None
    shadows = [one for one in of_challenger if one.role == "shadow" and one.right is not None]
    paired = challenger.canary_percent == 0
    if paired:
        pairs = [
            (of_champion[one.key], one)
            for one in shadows
            if one.key in of_champion and of_champion[one.key].right is not None
        ]
        return _paired(pairs, challenger), None
    canary = [one for one in of_challenger if one.role == "challenger" and one.right is not None]
    others = [one for one in of_champion.values() if one.right is not None]
    return _unpaired(others, canary, challenger), None


def _closer(champion: ScoredAnswer, challenger: ScoredAnswer) -> tuple[ScoredAnswer, ScoredAnswer] | None:
    """Two numbers for one sample: right is the one that is closer to the truth; equally close ones say nothing."""
    if champion.error is None or challenger.error is None or champion.error == challenger.error:
        return None
    is_closer = challenger.error < champion.error
    return champion._replace(right=not is_closer), challenger._replace(right=is_closer)


def _paired(
    pairs: list[tuple[ScoredAnswer, ScoredAnswer]], challenger: ChallengerRequest, *, closer: bool = False
) -> ComparisonResult:
    state = LiveComparison(alpha=challenger.alpha, min_effect=challenger.min_effect, paired=True)
    groups: dict[str, list[tuple[ScoredAnswer, ScoredAnswer]]] = defaultdict(list)
    for pair in pairs:
        groups[pair[1].arrived].append(pair)
    for _, group in sorted(groups.items()):
        both = [(bool(champion.right), bool(other.right)) for champion, other in group]
        state = state.update_paired(
            both_right=both.count((True, True)),
            only_challenger=both.count((False, True)),
            only_champion=both.count((True, False)),
            both_wrong=both.count((False, False)),
        )
    return _outcome(state, challenger, closer=closer)


def _unpaired(
    champion: list[ScoredAnswer], canary: list[ScoredAnswer], challenger: ChallengerRequest
) -> ComparisonResult:
    ratio = (100 - challenger.canary_percent) / challenger.canary_percent
    champions = max(1, min(_MOST_CHAMPIONS, round(ratio)))
    state = LiveComparison(alpha=challenger.alpha, min_effect=challenger.min_effect, champions=champions)
    first = min((one.arrived for one in canary), default=None)
    # Labels of the champion from before the canary are of other traffic.
    groups = _by_arrival([*(one for one in champion if first is not None and one.arrived >= first), *canary])
    for group in groups.values():
        counts = {
            (name, right): sum((one.package == challenger.package) == (name == "challenger") and one.right == right
                               for one in group)
            for name in ("champion", "challenger")
            for right in (True, False)
        }  # fmt: skip
        state = state.update(
            champion_right=counts["champion", True],
            champion_wrong=counts["champion", False],
            challenger_right=counts["challenger", True],
            challenger_wrong=counts["challenger", False],
        )
    return _outcome(state, challenger)


def _outcome(state: LiveComparison, challenger: ChallengerRequest, *, closer: bool = False) -> ComparisonResult:
    champion_right, champion_wrong, other_right, other_wrong = state.labels
    return ComparisonResult(
        package=challenger.package,
        decision=state.decision,
        paired=state.paired,
        closer=closer,
        labels=(champion_right + champion_wrong, other_right + other_wrong),
        right=(champion_right, other_right),
        low=state.low,
        high=state.high,
    )
