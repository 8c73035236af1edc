"""The draw by ranges of keys: the splits, remarks and golden rows of the draw in memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.contracts.dataset import DatasetSpec, SplitSpec
from components.preparation import key_buckets, splits
from components.preparation.decoding import Index
from components.preparation.key_buckets import SAMPLE, KeyBuckets
from components.preparation.split_draw import IndexDraw, KeyDraw
from components.preparation.splits import OPEN, TEST, TRAIN, VALIDATION, Draw

ALL = [TRAIN, VALIDATION, TEST, OPEN]
GIVEN = [[OPEN], [OPEN, TRAIN], [OPEN, TEST], [OPEN, VALIDATION], ALL, [TRAIN, TEST], [TEST]]


def spec(rng: np.random.Generator) -> DatasetSpec:
    return DatasetSpec.model_validate(
        {
            "name": "rows", "task": "tabular-classification",
            "source": {"kind": "csv", "path": "x.csv", "numbers": ["x"], "label": "l"},
            "split": {"test": float(rng.choice([0.05, 0.2, 0.5])), "validation": float(rng.choice([0.1, 0.3]))},
        }
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_the_splits_are_those_of_the_draw_in_memory(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_buckets, "ROWS_A_BUCKET", 37)
    rng = np.random.default_rng(seed)
    for case in range(40):
        count = int(rng.integers(1, 400))
        different = int(rng.integers(1, count + 1)) if rng.random() < 0.7 else count
        shares = rng.random(different) ** rng.integers(1, 12)  # some samples are there very often
        keys = rng.choice(rng.integers(0, 2**64, different, dtype=np.uint64), count, p=shares / shares.sum())
        classes = int(rng.integers(0, 6))
        numbers = rng.integers(0, classes, count).astype(np.int32) if classes else np.full(count, -1, np.int32)
        numbers[rng.random(count) < 0.5] = 0 if classes else -1
        given = rng.choice(GIVEN[rng.integers(len(GIVEN))], count).astype(np.uint8)
        data, names = spec(rng), [f"c{number}" for number in range(classes)]
        draw = Draw(keys, [(number,) if number >= 0 else () for number in numbers.tolist()], given)
        in_memory = IndexDraw(Index(draw, names, names, None, None), data)

        samples = np.zeros(count, SAMPLE)
        samples["key"], samples["row"], samples["class"], samples["split"] = keys, np.arange(count), numbers, given
        buckets = KeyBuckets(tmp_path / f"{case}", count)
        for part in np.array_split(samples, 3):
            buckets.append(part)
        by_ranges = KeyDraw(
            buckets, np.zeros(count, np.uint8), Counter(given.tolist()), names,
            lambda numbers=numbers: iter(np.array_split(numbers, 4)), data,
        )  # fmt: skip
        expected, found = in_memory.assign(), by_ranges.assign()
        assert (found == expected).all()
        assert by_ranges.remarks(found) == in_memory.remarks(expected)
        assert by_ranges.rare() == in_memory.rare()
        assert by_ranges.golden_rows(found) == in_memory.golden_rows(expected)
        assert splits.counts(found).sum() == count


def test_equal_samples_that_fill_a_bucket_stay_together(tmp_path: Path) -> None:
    samples = np.zeros(100, SAMPLE)
    samples["key"][50:] = np.arange(1, 51) << 40
    samples["row"], samples["split"] = np.arange(100), OPEN
    buckets = KeyBuckets(tmp_path / "x", 100)
    buckets.append(samples)
    data = spec(np.random.default_rng(0)).model_copy(update={"split": SplitSpec(test=0.2, validation=0.1)})
    one = [np.zeros(100, np.int32)]
    found = KeyDraw(buckets, np.zeros(100, np.uint8), Counter({OPEN: 100}), ["c"], lambda: iter(one), data).assign()
    assert set(found[:50].tolist()) == {TRAIN}
    assert Counter(found.tolist()) == {TRAIN: 72, VALIDATION: 8, TEST: 20}
