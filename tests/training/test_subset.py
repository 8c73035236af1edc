"""A part of the train split: nested, in proportion, by whole groups; and a training on one."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from components.contracts.array_spec import ArraySpec
from components.contracts.train_spec import TrainSpec
from components.core.errors import CorruptArtifactError, UsageError
from components.evaluation import card
from components.identity import manifest
from components.preprocessing.stored import StoredSplit
from components.training import stage, subset
from components.training.prepared import open_prepared
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request


def test_a_part_has_every_class_in_proportion_and_lies_within_a_larger_one() -> None:
    classes = np.repeat([0, 1, 2], [600, 300, 100])
    np.random.default_rng(0).shuffle(classes)
    parts = [set(subset.chosen_rows(1000, samples, 3, classes)) for samples in (10, 37, 500, 1000)]
    assert [len(part) for part in parts] == [10, 37, 500, 1000]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(parts))
    for part, samples in zip(parts, (10, 37, 500, 1000), strict=True):
        counts = np.bincount(classes[sorted(part)], minlength=3)
        assert np.abs(counts - samples * np.array([0.6, 0.3, 0.1])).max() <= 1
    assert parts[0] != set(subset.chosen_rows(1000, 10, 4, classes))


def test_groups_stay_whole_and_nested() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 1000)
    classes = groups % 2  # of a group all alike
    small, large = (subset.chosen_rows(1000, samples, 0, classes, groups) for samples in (200, 500))
    assert set(small) < set(large)
    for rows, samples in ((small, 200), (large, 500)):
        assert samples - np.bincount(groups).max() < len(rows) <= samples
        assert not set(groups[rows]) & set(np.delete(groups, rows))
        assert abs(np.bincount(classes[rows])[0] / len(rows) - 0.5) < 0.15
    assert len(subset.chosen_rows(1000, 3, 0, classes, groups)) == 0


def test_arrays_of_unequal_length_and_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(9))
    np.save(tmp_path / "tokens.offsets.npy", np.array([0, 3, 4, 9]))
    split = StoredSplit(tmp_path, [ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=-1)])
    part = subset.SplitPart(split, np.array([0, 2]))
    assert part.all("tokens").tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert part.lengths("tokens").tolist() == [3, 5]
    assert part.batch(np.array([1, 0]))["tokens"].tolist() == [[4, 5, 6, 7, 8], [0, 1, 2, -1, -1]]
    assert part.sample(1)["tokens"].tolist() == [4, 5, 6, 7, 8]
    np.save(tmp_path / "rows.npy", np.arange(12, dtype=np.float32))
    windows = [
        ArraySpec(name=name, type="float32", shape=(), layout="window", of="rows", start=start, stop=stop)
        for name, start, stop in (("past", 0, 3), ("future", 3, 4))
    ]
    prepared = _Stub(tmp_path, StoredSplit(tmp_path, windows))
    assert subset.limit(prepared, 2, 0).train.batch(np.arange(2))["future"].ravel().tolist() == [10, 11]  # type: ignore[arg-type]


class _Stub:
    def __init__(self, folder: Path, train: StoredSplit) -> None:
        self.folder, self.train = folder, train

    def _replace(self, train: StoredSplit) -> _Stub:
        return _Stub(self.folder, train)


def test_a_training_on_a_part_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "samples" not in TrainSpec().model_dump(mode="json")  # else every fingerprint would change
    sealed = prepare(tmp_path / "prepared")
    own = request(tmp_path / "prepared", tmp_path / "run", samples=100, epochs=1, class_weights="balanced")
    stream = io.StringIO()
    stage.train(own, EventStream(stream))
    assert json.loads(stream.getvalue().splitlines()[0])["steps_per_epoch"] == 2
    assert "training on 100 of 640 samples (a seeded choice); train.samples is 100" in capfd.readouterr().err
    trained = manifest.verify(tmp_path / "run" / "trained", "trained")
    assert trained.facts["samples"] == 100
    assert card._part(100, 640) == ["- learnt: 100 of the 640 samples of train"]
    prepared = open_prepared(tmp_path / "prepared", sealed.digest)
    with pytest.raises(UsageError, match="fewer samples"):
        subset.limit(prepared, 641, 0)
    np.save(tmp_path / "prepared" / "clusters.npy", np.arange(160))
    with pytest.raises(CorruptArtifactError, match="no groups of the train split"):
        subset.limit(prepared, 100, 0)
    np.save(tmp_path / "prepared" / "train-clusters.npy", np.repeat(np.arange(4), 160))
    assert len(subset.limit(prepared, 400, 0).train) == 320
    with pytest.raises(UsageError, match="first group has more"):
        subset.limit(prepared, 100, 0)
