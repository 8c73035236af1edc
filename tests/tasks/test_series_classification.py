"""Series classification, from raw samples to answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import SampleError
from components.preprocessing.batch import Arrays
from components.tasks import find
from components.tasks.series_classification import SeriesClassificationProcessor
from tests.tasks import whole_path

TASK = find("series-classification")
SAMPLES = [
    {"values": np.asarray([1.0, 10, 2, 20, 3, 30]), "label": "rise"},
    {"values": np.asarray([5.0, 0, 4, 0]), "label": "fall"},
    {"values": np.asarray([-1.0, 3, 0, 2, 1, 1, 7, 0]), "label": "rise"},
]


@pytest.fixture
def processor(tmp_path: Path) -> SeriesClassificationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, channels=2, max_length=4)


def network(graph: str, feed: Arrays) -> Arrays:
    """The first channel's last step, by the lengths, against its first."""
    assert graph == "model"
    last = feed["series"][np.arange(len(feed["series"])), feed["series_lengths"] - 1, 0]
    rises = (last > feed["series"][:, 0, 0]).astype(np.float32)
    return {"probabilities": np.stack([1 - rises, rises], axis=1)}


def test_from_raw_to_answers(processor: SeriesClassificationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, processor))
    batch = whole_path.stored(processor, encoded)
    assert batch["series"].shape == (3, 4, 2)
    assert batch["series_lengths"].tolist() == [3, 2, 4]
    assert batch["labels"].tolist() == [1, 0, 1]
    read = [processor.read(TASK.example(sample).content, max_pixels=0) for sample in SAMPLES]
    for one, other in zip(read, encoded, strict=True):
        assert (one["series"] == other["series"]).all()
    answers = whole_path.alone_and_batched(processor, network, read, ["fall", "rise"])
    assert [answer["label"] for answer in answers] == ["rise", "fall", "rise"]
    looked = TASK.describe_prepared(batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["minimum"].tolist() == [1, 0, -1]
    assert looked["mean"][1] == 2.25


def test_requests_are_steps_or_csv(processor: SeriesClassificationProcessor) -> None:
    items = processor.items({"series": [[[5, 0], [4, 0]], "5,0\n4,0\n"]})
    first, second = (processor.read(item, max_pixels=0)["series"] for item in items)
    assert first.tolist() == second.tolist() == [[5, 0], [4, 0]]
    assert processor.items({"values": [[5, 0]]}) == [[[5, 0]]]


def test_bad_series_are_refused_and_seen(processor: SeriesClassificationProcessor) -> None:
    for item in ([[1, 2]] * 5, [[1, 2, 3]], [[1, float("nan")]], "spam", [], b"\xff"):
        with pytest.raises(SampleError):
            processor.read(item, max_pixels=0)
    odd = {"values": np.asarray([1.0, np.nan]), "label": "rise"}
    assert TASK.describe(odd)["finite"] is False
    assert tuple(TASK.describe(odd)) == TASK.raw_columns
    with pytest.raises(SampleError, match="not finite") as caught:
        processor.encode(whole_path.raws(TASK, [SAMPLES[0], odd], processor))
    assert caught.value.where == "sample 1: step 0, channel 1"


def test_the_textbooks_input_is_of_one_length(tmp_path: Path) -> None:
    samples = [{"values": np.arange(100.0) * sign, "label": str(sign)} for sign in (1, -1)]
    processor = whole_path.fitted(TASK, samples, tmp_path, max_length=100, fixed=True)
    input_spec = processor.input_spec()
    assert (input_spec.channels, input_spec.max_length, input_spec.fixed) == (1, 100, True)
    assert processor.read(list(range(100)), max_pixels=0)["series"].shape == (100, 1)
    with pytest.raises(SampleError, match="another length"):
        processor.read(list(range(99)), max_pixels=0)
    assert processor.mean == [0.0]
    assert processor.std == pytest.approx([np.concatenate([np.arange(100), -np.arange(100)]).std()])
