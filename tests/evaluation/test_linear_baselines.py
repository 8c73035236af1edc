"""A linear model beside the network: what it reads of each kind of input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, ImageInput, InputSpec, SeriesInput, TokensInput
from components.evaluation import baselines, linear_baselines
from components.evaluation.test_split import FrozenSplit
from tests.evaluation.stub_package import frozen, stored

LABELS = ArraySpec(name="labels", type="int64", shape=())


def split(
    folder: Path, array: ArraySpec, spec: InputSpec, samples: Sequence[Any], labels: Sequence[int]
) -> FrozenSplit:
    """Four fifths of the samples are train, the rest is test."""
    rows = [{array.name: sample, "labels": label} for sample, label in zip(samples, labels, strict=True)]
    cut = len(rows) * 4 // 5
    stored(folder / "train", (array, LABELS), rows[:cut])
    processor = SimpleNamespace(
        input_spec=lambda: spec, output_spec=lambda: ClassesOutput(classes=2), inputs=lambda: (array.name,)
    )
    return frozen(folder, (array, LABELS), rows[cut:], ["no", "yes"], processor)


def test_of_texts_it_is_scikit_learns_model_on_tf_idf(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    samples = [np.asarray([*rng.integers(4, 40, rng.integers(3, 9)), *([41] * label)], np.int64) for label in labels]
    array = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=0)
    made = split(tmp_path, array, TokensInput(vocabulary=50, max_length=16), samples, labels.tolist())
    found = linear_baselines.classes(made)
    assert found is not None
    assert found.name == "a linear model on the tokens (tf-idf)"
    texts = [" ".join(f"t{token}" for token in sample) for sample in samples]
    reference = make_pipeline(TfidfVectorizer(sublinear_tf=True), RidgeClassifier(alpha=1.0))
    reference.fit(texts[:160], labels[:160])
    assert found.classes.tolist() == reference.predict(texts[160:]).tolist()
    commonest, linear = baselines.of(made)
    assert linear.figures["accuracy"] > 0.9 > commonest.figures["accuracy"]


@pytest.mark.parametrize("size", [(8, 8), (40, 23)])
def test_of_images_it_reads_the_levels_of_squares(size: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100).tolist()
    images = rng.integers(0, 120, (100, *size, 1)).astype(np.uint8)
    images[:, : size[0] // 2] += np.asarray(labels, np.uint8)[:, None, None, None] * 100
    array = ArraySpec(name="images", type="uint8", shape=(*size, 1))
    spec = ImageInput(height=size[0], width=size[1], channels=1, mean=[0.5], std=[0.2])
    found = linear_baselines.classes(split(tmp_path, array, spec, list(images), labels))
    assert found is not None
    assert found.classes.tolist() == labels[80:]


def test_of_series_of_any_lengths_it_reads_times_means_and_deviations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100).tolist()
    samples = [rng.normal(label, 0.3, (rng.integers(1, 90), 2)).astype(np.float32) for label in labels]
    array = ArraySpec(name="series", type="float32", shape=(2,), layout="ragged", pad=0)
    spec = SeriesInput(channels=2, max_length=90, mean=[0.0, 0.0], std=[1.0, 1.0])
    found = linear_baselines.classes(split(tmp_path, array, spec, samples, labels))
    assert found is not None
    assert found.classes.tolist() == labels[80:]


def test_a_large_split_is_read_in_parts_which_the_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_baselines, "MAX_SAMPLES", 20)
    labels = [0, 1] * 50
    array = ArraySpec(name="images", type="uint8", shape=(2, 2, 1))
    spec = ImageInput(height=2, width=2, channels=1, mean=[0.5], std=[0.2])
    images = [np.full((2, 2, 1), 90 * label + number, np.uint8) for number, label in enumerate(labels)]
    found = linear_baselines.classes(split(tmp_path, array, spec, images, labels))
    assert found is not None
    assert found.name == "a linear model of 20 samples on the levels"


def test_a_train_split_of_one_class_has_none(tmp_path: Path) -> None:
    array = ArraySpec(name="images", type="uint8", shape=(2, 2, 1))
    spec = ImageInput(height=2, width=2, channels=1, mean=[0.5], std=[0.2])
    made = split(tmp_path, array, spec, [np.zeros((2, 2, 1), np.uint8)] * 10, [1] * 10)
    assert linear_baselines.classes(made) is None
