"""Watch a model's windows for drift, at a stated rate of false alarms over all streams and any number of looks.

A stream is a column, an output, or a score of whole rows or embeddings. Its rows become ranks that are uniform and
independent without drift (`conformal_ranks`), the ranks of a window are counted, and the counts feed an e-detector
(`e_detector`). With K streams each has the threshold K * windows_per_month / false_alarms_per_month; the bounds of the
streams add up to the stated rate, however the streams depend on each other. The rows have to be exchangeable without
drift: rows that depend on their neighbours, or on the hour where a window is shorter than a day, are drift to the test.

Traffic that follows the hour is watched by seasons: rows of a window are ranked among earlier rows of the same phase
(the same hour of other days) alone. Such ranks are uniform and independent as well, those of different phases too, so
they feed one e-detector and the rate holds. The first window of a phase has nobody to be compared with but itself.

Later windows join the rows that ranks are taken among. So a reference of few rows gets better as time goes by, and a
change that is answered by nobody becomes what is usual: its alarm comes once or a few times, and `alarms` keeps it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from components.core.errors import UsageError
from components.core.strict import Strict
from components.drift import alternatives, column_kinds, conformal_ranks, e_detector, multivariate_score
from components.drift.distances import Real
from components.drift.e_detector import Detector
from components.drift.live_comparison import LiveComparison
from components.drift.multivariate_score import MultivariateScore

__all__ = ["Alarm", "DriftMonitor", "LiveComparison", "StreamAlarm"]

LEAST_REFERENCE_ROWS = 20
MOST_CATEGORIES = 2_000  # that a stream counts one by one; names that come later are one more category
SCORE_SHARE = 0.3  # of the reference, on which multivariate scores are fitted
MOST_SCORE_ROWS = 5_000
KEPT_ALARMS = 100
REST = "\0rest"


class StreamAlarm(Strict):
    """A stream's part in an alarm.

    Args:
        change: the alternative that explains the stream's windows best, in words.
        began: the window in which the change seems to have begun.
        log10_evidence: of the e-detector; the alarm's threshold is `log10_threshold`.
    """

    stream: str
    change: str
    began: str
    log10_evidence: float
    log10_threshold: float


class Alarm(Strict):
    """Drift at a window.

    Args:
        window: in which the alarm is raised.
        began: the first of the windows in which a stream's change seems to have begun.
        streams: those that passed their threshold, the clearest first.
        suspects: other streams that would have passed the threshold had they been the only stream.
    """

    window: str
    began: str
    streams: tuple[StreamAlarm, ...]
    suspects: tuple[str, ...]


class PhaseRows(Strict):
    """The rows of a stream so far in one phase of a season.

    Args:
        categories: of a stream of categories.
        counts: rows of each cell of the grid, or of each category.
    """

    categories: tuple[str, ...] = ()
    counts: tuple[float, ...] = ()


class Stream(Strict):
    """The state of one stream.

    Args:
        cuts, ties, counts: the grid of a stream of numbers, and the counts of its cells.
        categories: of a stream of categories; `counts` are theirs.
        phases: the rows of each phase, where seasons are watched.
        statistics, sums, begins: see `e_detector.Detector`.
        windows: that had rows of this stream.
        absent: windows with rows and without this column. They say nothing about the stream.
    """

    name: str
    kind: Literal["number", "category"]
    source: Literal["column", "row", "embedding"]
    cuts: tuple[float, ...] = ()
    ties: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    phases: dict[str, PhaseRows] = Field(default={}, exclude_if=lambda phases: not phases)
    statistics: tuple[float, ...]
    sums: tuple[float, ...]
    begins: tuple[int, ...]
    windows: int = 0
    absent: int = 0

    def detector(self) -> Detector:
        """The detector as arrays."""
        return Detector(np.array(self.statistics), np.array(self.sums), np.array(self.begins, np.int64))


class _Step(NamedTuple):
    stream: Stream
    evidence: float


class DriftMonitor(Strict):
    """A monitor after so many windows; `update` returns the next one."""

    false_alarms_per_month: float = Field(gt=0)
    windows_per_month: float = Field(gt=0)
    seed: int
    streams: tuple[Stream, ...]
    scores: tuple[MultivariateScore, ...] = ()
    unwatched: tuple[str, ...] = ()
    windows: int = 0
    names: tuple[tuple[int, str], ...] = ()
    alarms: tuple[Alarm, ...] = ()

    @staticmethod
    def start(
        reference: pd.DataFrame,
        *,
        false_alarms_per_month: float,
        windows_per_month: float,
        streams: Sequence[str] | None = None,
        multivariate: bool = True,
        embedding: NDArray[np.floating] | None = None,
        seed: int = 0,
    ) -> DriftMonitor:
        """A monitor that saw no window.

        Args:
            reference: rows without drift, columns and outputs; at least 20.
            false_alarms_per_month: at most so many on average, over all streams together.
            windows_per_month: windows with rows that are looked at in a month.
            streams: columns to watch; by default all whose kind is number or category. `unwatched` names the others.
            multivariate: whether whole rows are a stream as well (`row.distance`), where rows and columns suffice.
            embedding: of the reference's rows, (N, D); its scores are six streams.
            seed: of the random draws that order equal values; a monitor with the same seed and windows is the same.

        Raises:
            UsageError: too few rows, a column that is not there or cannot be watched, no stream at all.
        """
        watched = _watched(reference, streams)
        if embedding is not None and len(embedding) != len(reference):
            raise UsageError(
                "the embedding has another number of rows than the reference",
                got=len(embedding),
                expected=len(reference),
            )
        rng = np.random.default_rng([seed, 0])
        reference = reference.iloc[rng.permutation(len(reference))]
        fitted = min(MOST_SCORE_ROWS, int(SCORE_SHARE * len(reference)))
        row_score = multivariate_score.fit_rows(reference[watched].iloc[:fitted]) if multivariate else None
        found = [_start_column(name, reference[name], rng) for name in watched]
        if row_score is not None:
            found += _start_scores(row_score, row_score.of_rows(reference[watched].iloc[fitted:]), rng)
        embedding_score = None
        if embedding is not None:
            shuffled = np.asarray(embedding)[rng.permutation(len(embedding))]
            embedding_score = multivariate_score.fit_embedding(shuffled[:fitted])
            if embedding_score is not None:
                found += _start_scores(embedding_score, embedding_score.of_embedding(shuffled[fitted:]), rng)
        if not found:
            raise UsageError(
                "there is nothing to watch",
                got=f"columns {', '.join(map(str, reference.columns)) or 'none'}",
                expected="at least one column of numbers or categories, or an embedding",
            )
        return DriftMonitor(
            false_alarms_per_month=float(false_alarms_per_month),
            windows_per_month=float(windows_per_month),
            seed=seed,
            streams=tuple(found),
            scores=tuple(score for score in (row_score, embedding_score) if score is not None),
            unwatched=tuple(str(column) for column in reference.columns if column not in watched),
        )

    @staticmethod
    def from_json(text: str | bytes) -> DriftMonitor:
        """The monitor that `to_json` wrote."""
        return DriftMonitor.model_validate_json(text)

    def to_json(self) -> str:
        """The state as JSON."""
        return self.model_dump_json()

    def knows(self, phase: str) -> bool:
        """Whether a window of this phase was seen."""
        return any(phase in stream.phases for stream in self.streams)

    @property
    def log_threshold(self) -> float:
        """The logarithm of each stream's threshold."""
        return e_detector.log_threshold(len(self.streams), self.windows_per_month, self.false_alarms_per_month)

    def update(
        self,
        window: pd.DataFrame,
        *,
        name: str,
        embedding: NDArray[np.floating] | None = None,
        phase: str | None = None,
    ) -> tuple[DriftMonitor, Alarm | None]:
        """The monitor after a window, and an alarm if there is one.

        A window without rows changes nothing. The order of the rows does not matter. A stream whose column is not there
        waits; `absent` counts it. Rows whose inputs were not recorded must be left out before: they are not
        missing values.

        Args:
            window: rows of the watched columns; others are ignored.
            name: of the window, by which alarms say when a change began.
            embedding: of rows of the window, (M, D), where the monitor watches one.
            phase: of the season that the window is in: its rows are ranked among earlier ones of this phase; None:
                among the reference and all earlier rows.
        """
        number = self.windows + 1
        values = self._values(window, embedding)
        if not len(window) and (embedding is None or not len(embedding)):
            return self, None
        steps = _advance(self.streams, values, number, self.seed, phase)
        names = dict([*self.names, (number, name)])
        alarm = self._alarm(steps, name, names)
        alarmed = {one.stream for one in alarm.streams} if alarm else set()
        streams = tuple(_restarted(step.stream) if step.stream.name in alarmed else step.stream for step in steps)
        used = {number}.union(*(stream.begins for stream in streams))
        state = self.model_copy(
            update={
                "streams": streams,
                "windows": number,
                "names": tuple((at, text) for at, text in sorted(names.items()) if at in used),
                "alarms": (*self.alarms, alarm)[-KEPT_ALARMS:] if alarm else self.alarms,
            }
        )
        return state, alarm

    def _values(self, window: pd.DataFrame, embedding: NDArray[np.floating] | None) -> dict[str, pd.Series | Real]:
        """The rows of each stream that the window has."""
        values: dict[str, pd.Series | Real] = {
            stream.name: window[stream.name]
            for stream in self.streams
            if stream.source == "column" and stream.name in window.columns and len(window)
        }
        for score in self.scores:
            if score.kind == "row" and len(window):
                if {feature.column for feature in score.features} <= set(window.columns):
                    values |= dict(zip(score.names, score.of_rows(window).T, strict=True))
            elif score.kind == "embedding" and embedding is not None and len(embedding):
                values |= dict(zip(score.names, score.of_embedding(embedding).T, strict=True))
        return values

    def _alarm(self, steps: list[_Step], window: str, names: dict[int, str]) -> Alarm | None:
        threshold = self.log_threshold
        over = sorted((step for step in steps if step.evidence >= threshold), key=lambda step: -step.evidence)
        if not over:
            return None
        alone = threshold - float(np.log(len(self.streams)))
        explained = [(step, *e_detector.likeliest(step.stream.detector())) for step in over]
        return Alarm(
            window=window,
            began=names[min(began for _, _, began in explained)],
            streams=tuple(
                StreamAlarm(
                    stream=step.stream.name,
                    change=change,
                    began=names[began],
                    log10_evidence=float(step.evidence / np.log(10)),
                    log10_threshold=float(threshold / np.log(10)),
                )
                for step, change, began in explained
            ),
            suspects=tuple(step.stream.name for step in steps if alone <= step.evidence < threshold),
        )


def _watched(reference: pd.DataFrame, streams: Sequence[str] | None) -> list[str]:
    if len(reference) < LEAST_REFERENCE_ROWS:
        raise UsageError(
            "the reference has too few rows to watch for drift",
            got=len(reference),
            expected=f"at least {LEAST_REFERENCE_ROWS}",
            next_step="take the prepared dataset as the reference, or wait for more predictions",
        )
    if not reference.columns.is_unique:
        raise UsageError("two columns of the reference have the same name")
    kinds = {column: column_kinds.kind_of(reference[column]) for column in reference.columns}
    if streams is None:
        return [column for column, kind in kinds.items() if kind != "other"]
    for column in streams:
        if kinds.get(column, "other") == "other":
            why = "is not in the reference" if column not in kinds else "has no numbers or categories"
            watchable = ", ".join(str(one) for one, kind in kinds.items() if kind != "other")
            raise UsageError(f"the column cannot be watched: it {why}", got=column, expected=f"one of {watchable}")
    return list(streams)


def _idle(name: str, kind: Literal["number", "category"], source: Literal["column", "row", "embedding"]) -> Stream:
    fresh = e_detector.start()
    return Stream(
        name=name,
        kind=kind,
        source=source,
        statistics=tuple(fresh.statistics.tolist()),
        sums=tuple(fresh.sums.tolist()),
        begins=tuple(fresh.begins.tolist()),
    )


def _start_column(name: str, column: pd.Series, rng: np.random.Generator) -> Stream:
    if column_kinds.kind_of(column) == "number":
        return _start_numbers(_idle(name, "number", "column"), column_kinds.numbers(column), rng)
    counted = pd.Series(column_kinds.categories(column)).value_counts()
    counted = counted.sort_index()
    return _idle(name, "category", "column").model_copy(
        update={
            "categories": tuple(str(one) for one in counted.index),
            "counts": tuple(float(count) for count in counted.to_numpy()),
        }
    )


def _start_scores(score: MultivariateScore, values: Real, rng: np.random.Generator) -> list[Stream]:
    return [
        _start_numbers(_idle(name, "number", score.kind), column, rng)
        for name, column in zip(score.names, values.T, strict=True)
    ]


def _start_numbers(stream: Stream, values: Real, rng: np.random.Generator) -> Stream:
    cuts, ties, gaps = conformal_ranks.make_grid(conformal_ranks.ordered(values), rng.random(len(values)))
    update = {"cuts": tuple(cuts.tolist()), "ties": tuple(ties.tolist()), "counts": tuple(gaps.tolist())}
    return stream.model_copy(update=update)


def _advance(
    streams: Sequence[Stream], values: dict[str, pd.Series | Real], number: int, seed: int, phase: str | None
) -> list[_Step]:
    """The streams after a window's rows, and their evidence; the detectors of all of them at once."""
    found = [_counted(stream, values.get(stream.name), number, seed, phase) for stream in streams]
    steps = [_Step(stream, -np.inf) for stream, _ in found]
    places = [place for place, (_, counts) in enumerate(found) if counts is not None]
    if not places:
        return steps
    chosen = [found[place][0] for place in places]
    before = Detector(
        np.array([stream.statistics for stream in chosen]),
        np.array([stream.sums for stream in chosen]),
        np.array([stream.begins for stream in chosen], np.int64),
    )
    after, evidence = e_detector.advance(before, np.array([found[place][1] for place in places]), number)
    for row, (place, stream) in enumerate(zip(places, chosen, strict=True)):
        own = Detector(after.statistics[row], after.sums[row], after.begins[row])
        moved = stream.model_copy(update={**_fields(own), "windows": stream.windows + 1})
        steps[place] = _Step(moved, float(evidence[row]))
    return steps


def _counted(
    stream: Stream, values: pd.Series | Real | None, number: int, seed: int, phase: str | None
) -> tuple[Stream, Real | None]:
    """The stream with the rows of a window in its counts, and the counts of their ranks; None without rows."""
    if values is None or not len(values):
        return stream.model_copy(update={"absent": stream.absent + (values is None)}), None
    rng = np.random.default_rng([seed, number, zlib.crc32(stream.name.encode())])
    if phase is None:
        ranks, rows = _ranks(stream, PhaseRows(categories=stream.categories, counts=stream.counts), values, rng)
        return stream.model_copy(update=dict(rows)), alternatives.cell_counts(ranks)
    nothing = PhaseRows(counts=(0.0,) * (len(stream.cuts) + 1 if stream.kind == "number" else 0))
    ranks, rows = _ranks(stream, stream.phases.get(phase, nothing), values, rng, rows_alone=True)
    return stream.model_copy(update={"phases": {**stream.phases, phase: rows}}), alternatives.cell_counts(ranks)


def _ranks(
    stream: Stream, before: PhaseRows, values: pd.Series | Real, rng: np.random.Generator, *, rows_alone: bool = False
) -> tuple[Real, PhaseRows]:
    """Ranks of the rows, in random order, and the counts with them.

    The rows are sorted before they are shuffled, so that the result does not depend on their order.

    Args:
        before: the counts that the rows are ranked among.
        rows_alone: they are of rows, not of gaps of a reference.
    """
    if stream.kind == "number":
        numbers = column_kinds.numbers(values) if isinstance(values, pd.Series) else values
        shuffled = rng.permutation(np.sort(conformal_ranks.ordered(numbers)))
        cells = conformal_ranks.find_cells(
            shuffled, rng.random(len(shuffled)), np.array(stream.cuts), np.array(stream.ties)
        )
        draws = rng.random(len(shuffled))
        ranks, counts = conformal_ranks.ranks_of_cells(cells, np.array(before.counts), draws, rows_alone=rows_alone)
        return ranks, PhaseRows(counts=tuple(counts.tolist()))
    texts = sorted(column_kinds.categories(pd.Series(values)))
    known = dict(zip(before.categories, before.counts, strict=True))
    room = max(0, MOST_CATEGORIES - len(known))
    new = [name for name in dict.fromkeys(texts) if name not in known]
    rest = set(new[room:])
    names = sorted({*known, *new[:room], *([REST] if rest else [])})
    number = {name: at for at, name in enumerate(names)}
    rows = rng.permutation(np.array([number[REST if text in rest else text] for text in texts], np.int64))
    counted = np.array([known.get(name, 0.0) for name in names])
    ranks, counts = conformal_ranks.ranks_of_categories(rows, counted, rng.random(len(rows)))
    return ranks, PhaseRows(categories=tuple(names), counts=tuple(counts.tolist()))


def _restarted(stream: Stream) -> Stream:
    return stream.model_copy(update=_fields(e_detector.start()))


def _fields(detector: Detector) -> dict[str, tuple[float, ...] | tuple[int, ...]]:
    return {
        "statistics": tuple(detector.statistics.tolist()),
        "sums": tuple(detector.sums.tolist()),
        "begins": tuple(detector.begins.tolist()),
    }
