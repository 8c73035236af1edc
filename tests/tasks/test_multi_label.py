"""Multi-label classification of images and texts, from samples to labels and scores."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from components.core.errors import SampleError
from components.inference.difference import FAR, difference
from components.preprocessing.batch import Arrays
from components.tasks import find, multi_label
from components.tasks.description import describe_prepared, label_text
from tests.evaluation.stub_package import stored
from tests.tasks import whole_path


def picture(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), level).save(stream, "PNG")
    return stream.getvalue()


TEXTS = [
    {"text": "good and fine", "labels": ["fine", "good"]},
    {"text": "bad", "labels": ["bad"]},
    {"text": "so", "labels": []},
]
IMAGES = [{"image": picture(40 * i), "labels": one["labels"]} for i, one in enumerate(TEXTS)]
CASES = {
    "multi-label-image-classification": (IMAGES, {"height": 4, "width": 4, "channels": 1}, "image"),
    "multi-label-text-classification": (TEXTS, {"tokenizer": {"kind": "words", "min_frequency": 1}}, "text"),
}
CLASSES = ["bad", "fine", "good"]


def network(graph: str, feed: Arrays) -> Arrays:
    """Scores that depend on the sample alone."""
    values = next(iter(feed.values())).reshape(len(next(iter(feed.values()))), -1).sum(axis=1)
    return {
        "probabilities": np.stack([(values % 7) / 7, (values % 5) / 5, (values % 3) / 3], axis=1).astype(np.float32)
    }


@pytest.mark.parametrize("name", CASES)
def test_samples_become_flags_and_scores_become_labels(name: str, tmp_path: Path) -> None:
    samples, settings, field = CASES[name]
    task = find(name)
    processor = whole_path.fitted(task, samples, tmp_path, **settings)
    assert processor.classes == CLASSES
    assert (processor.output_spec().kind, processor.output_spec().classes) == ("labels", 3)
    batch = whole_path.stored(processor, processor.encode(whole_path.raws(task, samples, processor)))
    assert batch["labels"].tolist() == [[False, True, True], [True, False, False], [False, False, False]]
    looked = describe_prepared(task, processor, batch)
    assert tuple(looked) == task.prepared_columns
    assert looked["labels"].tolist() == [2, 1, 0]
    assert tuple(task.describe(samples[0])) == task.raw_columns
    read = [processor.read(sample[field], max_pixels=1000) for sample in samples]
    for answer in whole_path.alone_and_batched(processor, network, read, CLASSES):
        assert answer["labels"] == [name for name, score in answer["scores"].items() if score >= 0.5]
        assert set(answer["scores"]) == set(CLASSES)
    assert [task.example(sample).truth for sample in samples] == ["fine, good", "bad", "none"]
    assert [label_text(task, sample) for sample in samples] == ['["fine", "good"]', '["bad"]', "[]"]
    assert processor.endpoint(CLASSES).prediction["required"] == ["labels", "scores"]


@pytest.mark.parametrize("labels", [["spam"], "good", [1], None])
def test_labels_that_cannot_be_are_refused_with_their_sample(labels: Any, tmp_path: Path) -> None:
    task = find("multi-label-text-classification")
    processor = whole_path.fitted(task, TEXTS, tmp_path, **CASES[task.name][1])
    with pytest.raises(SampleError) as caught:
        processor.encode(whole_path.raws(task, [TEXTS[0], {"text": "x", "labels": labels}], processor))
    assert caught.value.where == "sample 1"


@pytest.mark.slow
def test_the_best_threshold_has_the_best_f1_and_is_between_two_scores() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = rng.random(40) < 0.3
        scores = np.round(rng.random(40) * 0.5 + 0.3 * truth, 1).astype(np.float32)  # many are equal
        threshold = multi_label.best_threshold(scores, truth)
        levels = np.unique(scores)
        best = max(f1_score(truth, scores >= (a + b) / 2, zero_division=0.0) for a, b in itertools.pairwise(levels))
        assert f1_score(truth, scores >= threshold, zero_division=0.0) == pytest.approx(best)
        assert threshold not in levels
    assert multi_label.best_threshold(scores, np.zeros(40, np.bool_)) == 0.5
    assert multi_label.best_threshold(np.full(3, 0.2, np.float32), np.ones(3, np.bool_)) == 0.5
    assert multi_label.best_threshold(
        np.array([0.4, 0.3, 0.2], np.float32), np.array([1, 0, 0], bool)
    ) == pytest.approx(0.35)


def test_thresholds_are_chosen_after_the_training_where_they_are_asked_for(tmp_path: Path) -> None:
    task = find("multi-label-text-classification")
    samples, settings, _ = CASES[task.name]
    half = whole_path.fitted(task, samples, tmp_path, **settings)
    split = stored(tmp_path / "split", half.arrays(), half.encode(whole_path.raws(task, samples, half)))
    assert half.after_training(network, split) is half
    asked = whole_path.fitted(task, samples, tmp_path, **settings, thresholds="f1")
    chosen = asked.after_training(network, split)
    chosen.save(tmp_path)
    assert task.load(tmp_path).chosen == chosen.chosen
    assert len(chosen.label_thresholds()) == 3
    assert asked.label_thresholds() == [0.5] * 3
    row = np.array([[chosen.chosen[0], 0.0, 1.0]], np.float32)
    assert chosen.predictions(row - 0.001)[0]["labels"] == ["good"]


def test_a_score_that_is_nearly_its_threshold_is_no_difference() -> None:
    ours = {"labels": ["a"], "scores": {"a": 0.5, "b": 0.1}}
    assert difference(ours, {"labels": [], "scores": {"a": 0.49999, "b": 0.1}}) < 1e-4
    assert difference(ours, {"labels": [], "scores": {"a": 0.4, "b": 0.1}}) == pytest.approx(0.1)
    assert difference(ours, {"labels": ["a"], "scores": {"a": 0.5}}) == FAR
