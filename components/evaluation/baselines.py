"""What answers without a network reach on the test split: a network that is no better has learnt nothing.

For rows of a table, scikit-learn's models are such baselines too (table_baselines.py).

Legend: N samples, K classes, T steps back, H steps ahead, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import ClassesOutput, ForecastOutput, TableInput, ValuesOutput
from components.evaluation import table_baselines
from components.evaluation.metrics import accuracy, confusion_matrix, macro_f1
from components.evaluation.regression import RegressionScores
from components.evaluation.test_split import FrozenSplit

BATCH = 1024
LABELS = "labels"  # array of class numbers (N,)
TARGET = "target"  # array of scaled targets (N, 1)


class Baseline(NamedTuple):
    """Answers that need no network.

    Args:
        name: what they are, in words.
        figures: metrics on the test split, by the names of the task's metrics.
    """

    name: str
    figures: dict[str, float]


class BaselineComparison(NamedTuple):
    """A model beside the best baseline of its first metric.

    Args:
        metric: name of the metric.
        is_better: whether the model is better than every baseline.
    """

    metric: str
    baseline: Baseline
    is_better: bool

    def sentence(self) -> str:
        """The comparison in one line."""
        figure = f"{self.baseline.name}: {self.metric} {self.baseline.figures[self.metric]:.4f}"
        return figure if self.is_better else f"NO BETTER THAN A BASELINE: {figure}"


def of(frozen: FrozenSplit) -> list[Baseline]:
    """The baselines of a test split, by the kind of its output; none for outputs that have none."""
    match frozen.processor.output_spec():
        case ClassesOutput():
            return _commonest_class(frozen) + _table_classes(frozen)
        case ForecastOutput():
            return _constant_forecasts(frozen)
        case ValuesOutput() as output:
            return _numbers(frozen, output)
        case _:
            return []


def compare(figures: dict[str, float], baselines: list[Baseline], frozen: FrozenSplit) -> BaselineComparison | None:
    """A model's figures beside the best baseline, by the task's first metric that both have; None without baselines."""
    for name, metric in frozen.task.metrics.items():
        having = [baseline for baseline in baselines if name in baseline.figures]
        if not having or name not in figures:
            continue
        sign = 1 if metric.higher_is_better else -1
        best = max(having, key=lambda baseline: sign * baseline.figures[name])
        return BaselineComparison(name, best, sign * figures[name] > sign * best.figures[name])
    return None


def document(baselines: list[Baseline], comparison: BaselineComparison | None) -> dict[str, Any]:
    """For metrics.json; {} without baselines."""
    if comparison is None:
        return {}
    return {
        "baselines": [baseline._asdict() for baseline in baselines],
        "better_than_baselines": {"metric": comparison.metric, "is_better": comparison.is_better},
    }


def _commonest_class(frozen: FrozenSplit) -> list[Baseline]:
    """The commonest class of the train split, for every sample."""
    if not any(spec.name == LABELS for spec in frozen.specs):
        return []
    commonest = int(np.bincount(frozen.other("train").all(LABELS).astype(np.int64)).argmax())
    name = f"the commonest class ({frozen.classes[commonest]}) for every sample"
    return [_classes(frozen, name, np.full(len(frozen), commonest))]


def _table_classes(frozen: FrozenSplit) -> list[Baseline]:
    """Models of scikit-learn; [] for other inputs than tables."""
    spec = _table(frozen)
    return [] if spec is None else [_classes(frozen, *fitted) for fitted in table_baselines.classes(frozen, spec)]


def _table(frozen: FrozenSplit) -> TableInput | None:
    spec = frozen.processor.input_spec() if issubclass(frozen.task.input_type, TableInput) else None
    return spec if isinstance(spec, TableInput) else None


def _classes(frozen: FrozenSplit, name: str, answers: NDArray[np.int64]) -> Baseline:
    """The figures of class numbers (N,)."""
    confusion = confusion_matrix(frozen.split.all(LABELS).astype(np.int64), answers, len(frozen.classes))
    return Baseline(name, {"accuracy": accuracy(confusion), "macro_f1": macro_f1(confusion)})


def _numbers(frozen: FrozenSplit, output: ValuesOutput) -> list[Baseline]:
    """The mean and the median of the train split for every sample; for tables, models of scikit-learn."""
    train, truth = (np.asarray(split.all(TARGET), np.float64)[:, 0] for split in (frozen.other("train"), frozen.split))
    answers = [
        ("the mean of the train split for every sample", np.full(len(truth), train.mean())),
        ("the median of the train split for every sample", np.full(len(truth), np.median(train))),
    ]
    spec, in_units = _table(frozen), truth * output.std + output.mean
    answers += table_baselines.values(frozen, spec) if spec is not None else []
    return [
        Baseline(name, RegressionScores(values * output.std + output.mean, in_units).figures())
        for name, values in answers
    ]


def _constant_forecasts(frozen: FrozenSplit) -> list[Baseline]:
    """The last value, and the mean of the train split (0, as values are standardised), for every step ahead."""
    names = ("the last value for every step ahead", "the mean of the train split for every step ahead")
    squared, absolute, count = np.zeros(2), np.zeros(2), 0
    for start in range(0, len(frozen), BATCH):
        batch = frozen.split.batch(np.arange(start, min(start + BATCH, len(frozen))), ("past", "future"))
        past, future = batch["past"].astype(np.float64), batch["future"].astype(np.float64)  # (N, T, C), (N, H, C)
        for number, errors in enumerate((future - past[:, -1:], future)):
            squared[number] += np.square(errors).sum()
            absolute[number] += np.abs(errors).sum()
        count += future.size
    return [
        Baseline(name, {"mse": float(squared[number] / count), "mae": float(absolute[number] / count)})
        for number, name in enumerate(names)
    ]
