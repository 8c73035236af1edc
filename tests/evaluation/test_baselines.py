"""Baselines against scikit-learn's dummies, and the word for a network that is no better."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import BoxesOutput, ClassesOutput, ForecastOutput, TableInput, ValuesOutput
from components.evaluation import baselines, table_baselines
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.stored import StoredSplit

CLASSES = ["ant", "bee", "cow"]


def classes_split(folder: Path) -> tuple[FrozenSplit, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    specs = (ArraySpec(name="labels", type="int64", shape=()),)
    train, test = random.choice(3, 200, p=[0.2, 0.5, 0.3]), random.choice(3, 80, p=[0.3, 0.3, 0.4])
    for name, labels in (("train", train), ("test", test)):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "labels.npy", labels.astype(np.int64))
    processor = SimpleNamespace(output_spec=lambda: ClassesOutput(classes=3), input_spec=lambda: None)
    task = tasks.find("image-classification")
    split = StoredSplit(folder / "test", specs)
    return FrozenSplit(folder, task, specs, split, CLASSES, processor), train, test  # type: ignore[arg-type]


def test_the_commonest_class_of_train(tmp_path: Path) -> None:
    frozen, train, test = classes_split(tmp_path)
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((200, 1)), train).predict(np.zeros((80, 1)))
    (found,) = baselines.of(frozen)
    assert found.name == "the commonest class (bee) for every sample"
    assert found.figures["accuracy"] == pytest.approx(accuracy_score(test, dummy))
    assert found.figures["macro_f1"] == pytest.approx(f1_score(test, dummy, average="macro"))


def test_a_network_that_is_no_better_is_said_to_be(tmp_path: Path) -> None:
    frozen, _, _ = classes_split(tmp_path)
    known = baselines.of(frozen)
    figure = known[0].figures["accuracy"]
    better = baselines.compare({"accuracy": figure + 0.01}, known, frozen)
    worse = baselines.compare({"accuracy": figure}, known, frozen)
    assert better is not None
    assert worse is not None
    assert (better.is_better, worse.is_better) == (True, False)
    assert better.sentence() == f"the commonest class (bee) for every sample: accuracy {figure:.4f}"
    assert worse.sentence().startswith("NO BETTER THAN A BASELINE: the commonest class (bee)")
    document = baselines.document(known, worse)
    assert document["better_than_baselines"] == {"metric": "accuracy", "is_better": False}


def test_naive_forecasts(tmp_path: Path) -> None:
    back, ahead, channels = 6, 4, 2
    common = {"type": "float32", "shape": (channels,), "layout": "window", "of": "values"}
    specs = (
        ArraySpec(name="past", stop=back, **common),  # type: ignore[arg-type]
        ArraySpec(name="future", start=back, stop=back + ahead, **common),  # type: ignore[arg-type]
    )
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    wave = np.tile([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]], (60, 1)).astype(np.float32)  # a season of three steps
    np.save(tmp_path / "train" / "values.npy", wave)
    table = np.cumsum(np.random.default_rng(0).normal(size=(2000, channels)), axis=0).astype(np.float32)
    np.save(tmp_path / "test" / "values.npy", table)
    split = StoredSplit(tmp_path / "test", specs)
    output = ForecastOutput(horizon=ahead, channels=channels, quantiles=[0.5])
    processor = SimpleNamespace(output_spec=lambda: output)
    frozen = FrozenSplit(tmp_path, tasks.find("forecasting"), specs, split, [], processor)  # type: ignore[arg-type]
    last, mean, seasonal = baselines.of(frozen)
    batch = split.batch(np.arange(len(split)))
    truth, repeated = batch["future"].ravel(), np.repeat(batch["past"][:, -1:], ahead, axis=1).ravel()
    assert last.figures["mse"] == pytest.approx(mean_squared_error(truth, repeated))
    assert last.figures["mae"] == pytest.approx(mean_absolute_error(truth, repeated))
    assert mean.figures["mse"] == pytest.approx(mean_squared_error(truth, np.zeros_like(truth)))
    assert seasonal.name.startswith("the value 3 steps before")
    season = batch["past"][:, [3, 4, 5, 3]].ravel()
    assert seasonal.figures["mse"] == pytest.approx(mean_squared_error(truth, season))
    comparison = baselines.compare({"mse": last.figures["mse"] * 0.9}, [last, mean], frozen)
    assert comparison is not None
    assert comparison.baseline == last
    assert comparison.is_better


def test_outputs_without_baselines(tmp_path: Path) -> None:
    frozen, _, _ = classes_split(tmp_path)
    boxes = SimpleNamespace(output_spec=lambda: BoxesOutput(classes=3))
    other = FrozenSplit(*tuple(frozen)[:5], boxes)  # type: ignore[arg-type]
    assert baselines.of(other) == []
    assert baselines.compare({"accuracy": 1.0}, [], frozen) is None


def table_split(folder: Path, target: str) -> FrozenSplit:
    """A prepared table whose truth follows from a number and, by another rule for each category, from another one."""
    random = np.random.default_rng(0)
    for name, count in (("train", 600), ("test", 200)):
        numbers, categories = random.normal(size=(count, 2)), random.integers(2, 4, (count, 1))
        value = numbers[:, 0] + np.where(categories[:, 0] == 2, 1, -1) * numbers[:, 1]
        arrays = {"numbers": numbers.astype(np.float32), "categories": categories}
        arrays |= {"labels": (value > 0).astype(np.int64), "target": value[:, None].astype(np.float32)}
        (folder / name).mkdir(parents=True)
        for key, array in arrays.items():
            np.save(folder / name / f"{key}.npy", array)
    specs = [
        ArraySpec(name="numbers", type="float32", shape=(2,)),
        ArraySpec(name="categories", type="int64", shape=(1,)),
    ]
    labels = ArraySpec(name="labels", type="int64", shape=())
    specs.append(labels if target == "labels" else ArraySpec(name="target", type="float32", shape=(1,)))
    output = ClassesOutput(classes=2) if target == "labels" else ValuesOutput(mean=100.0, std=10.0)
    spec = TableInput(numbers=2, cardinalities=[4])
    processor: Any = SimpleNamespace(input_spec=lambda: spec, output_spec=lambda: output)
    task = tasks.find("tabular-classification" if target == "labels" else "tabular-regression")
    classes = ["no", "yes"] if target == "labels" else []
    return FrozenSplit(folder, task, tuple(specs), StoredSplit(folder / "test", specs), classes, processor)


@pytest.mark.parametrize("target", ["labels", "target"])
def test_models_of_scikit_learn_stand_beside_a_table(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = table_split(tmp_path, target)
    *constants, linear, boosting = baselines.of(frozen)
    metric = "accuracy" if target == "labels" else "r2"
    best = max(one.figures[metric] for one in constants)
    assert best < linear.figures[metric] < boosting.figures[metric]
    assert boosting.figures[metric] > 0.9
    if target == "target":
        truth = np.load(tmp_path / "test" / "target.npy")[:, 0] * 10.0 + 100.0
        assert constants[0].figures["rmse"] == pytest.approx(np.sqrt(np.square(truth - np.load(
            tmp_path / "train" / "target.npy").mean() * 10.0 - 100.0).mean()), rel=1e-5)  # fmt: skip
    monkeypatch.setattr(table_baselines, "MOST_CELLS", 1000)
    assert baselines.of(frozen) == constants
    assert "left out as baselines: 1,800 rows x columns, more than 1,000" in capsys.readouterr().err
