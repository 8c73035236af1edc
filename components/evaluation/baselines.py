"""What answers without a network reach on the test split: a network that is no better has learnt nothing.

For rows of a table, scikit-learn's models are such baselines too (table_baselines.py).

Legend: N samples, K classes, T steps back, H steps ahead, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import (
    ClassesOutput,
    ForecastOutput,
    LabelsOutput,
    MaskOutput,
    TableInput,
    ValuesOutput,
)  # fmt: skip
from components.evaluation import linear_baselines, table_baselines
from components.evaluation.metrics import accuracy, confusion_matrix, macro_f1
from components.evaluation.regression import RegressionScores
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.stored import StoredSplit

Real = NDArray[np.float64]

BATCH = 1024
SEASON_WINDOWS, MAX_SEASON = 100, 400  # windows of train that a season is chosen by; its most steps
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
        case LabelsOutput():  # before ClassesOutput, its base
            return _constant_labels(frozen)
        case MaskOutput():
            return _one_class_everywhere(frozen)
        case ClassesOutput():
            return [*_commonest_class(frozen), *_linear_model(frozen), *_table_classes(frozen)]
        case ForecastOutput():
            return _naive_forecasts(frozen)
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


def _linear_model(frozen: FrozenSplit) -> list[Baseline]:
    """Logistic regression on simple features, where there are such for the input."""
    answers = linear_baselines.classes(frozen)
    return [] if answers is None else [_classes(frozen, answers.name, answers.classes)]


def _naive_forecasts(frozen: FrozenSplit) -> list[Baseline]:
    """Three forecasts: the last value, the mean of the train split (0, as values are standardised), the last season."""
    season = _season(frozen.other("train"))
    names = [
        "the last value for every step ahead",
        "the mean of the train split for every step ahead",
        f"the value {season} steps before, of the last season (seasonal naive)",
    ]
    squared, absolute, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(frozen), BATCH):
        batch = frozen.split.batch(np.arange(start, min(start + BATCH, len(frozen))), ("past", "future"))
        past, future = batch["past"].astype(np.float64), batch["future"].astype(np.float64)  # (N, T, C), (N, H, C)
        for number, errors in enumerate((future - past[:, -1:], future, future - _repeated(past, future, season))):
            squared[number] += np.square(errors).sum()
            absolute[number] += np.abs(errors).sum()
        count += future.size
    found = [
        Baseline(name, {"mse": float(squared[number] / count), "mae": float(absolute[number] / count)})
        for number, name in enumerate(names)
    ]
    return found if season > 1 else found[:2]  # a season of one step is the last value


def _season(train: StoredSplit) -> int:
    """The steps T of the past of which the last ones, repeated, forecast windows of the train split best."""
    index = np.linspace(0, len(train) - 1, min(len(train), SEASON_WINDOWS)).round().astype(np.int64)
    batch = train.batch(index, ("past", "future"))
    past, future = batch["past"].astype(np.float64), batch["future"].astype(np.float64)
    errors = [
        np.square(future - _repeated(past, future, season)).mean()
        for season in range(1, min(past.shape[1], MAX_SEASON) + 1)
    ]
    return int(np.argmin(errors)) + 1


def _repeated(past: Real, future: Real, season: int) -> Real:
    """The last `season` steps of the past (N, T, C), repeated over the steps ahead (N, H, C)."""
    return past[:, past.shape[1] - season + np.arange(future.shape[1]) % season]


def _constant_labels(frozen: FrozenSplit) -> list[Baseline]:
    """The same labels for every sample: the commonest set, every label, each label at its share of the train split."""
    from components.evaluation.multi_label import MultiLabelScores

    train, truth = (np.asarray(split.all(LABELS), np.bool_) for split in (frozen.other("train"), frozen.split))
    sets, counts = np.unique(train, axis=0, return_counts=True)
    commonest = sets[counts.argmax()]  # (K,)
    shares = train.mean(axis=0).astype(np.float32)  # (K,)
    named = ", ".join(name for name, chosen in zip(frozen.classes, commonest, strict=True) if chosen) or "no label"
    rows = [
        (f"the commonest labels ({named}) for every sample", commonest.astype(np.float32), commonest),
        ("every label for every sample", np.ones_like(shares), np.ones_like(commonest)),
        ("each label at its share of the train split", shares, shares >= 0.5),
    ]
    found = []
    for name, scores, answers in rows:
        own = (
            np.broadcast_to(scores, truth.shape),
            np.broadcast_to(np.append(answers, False), (len(truth), len(shares) + 1)),
        )
        scored = MultiLabelScores(own[0], truth, own[1], frozen.classes, np.full(len(shares), 0.5))
        found.append(Baseline(name, scored.figures()))
    return found


def _one_class_everywhere(frozen: FrozenSplit) -> list[Baseline]:
    """The class of most pixels of the train split, for every pixel."""
    from components.evaluation import segmentation

    train = segmentation.pixels_of_classes(frozen.other("train"), len(frozen.classes))
    test = segmentation.pixels_of_classes(frozen.split, len(frozen.classes))
    commonest = int(train.argmax())
    figures = segmentation.figures_of_one_class(test, commonest)
    return [Baseline(f"the class of most pixels ({frozen.classes[commonest]}) everywhere", figures)]
