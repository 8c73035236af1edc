from pathlib import Path

import numpy as np
import torch

from components.training.batches import Split, derive_seed, epoch_order, steps_per_epoch


def test_an_epochs_order_is_a_permutation_of_its_seed_and_number() -> None:
    first = epoch_order(1000, seed=0, epoch=0)
    assert first.dtype == np.int64
    assert sorted(first) == list(range(1000))
    assert np.array_equal(first, epoch_order(1000, seed=0, epoch=0))
    assert not np.array_equal(first, epoch_order(1000, seed=0, epoch=1))
    assert not np.array_equal(first, epoch_order(1000, seed=1, epoch=0))


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {derive_seed(seed, name, place) for seed in range(5) for name in ("a", "b") for place in range(5)}
    assert len(seeds) == 50


def test_a_last_batch_of_one_is_left_out() -> None:
    assert steps_per_epoch(128, 64) == 2
    assert steps_per_epoch(129, 64) == 2
    assert steps_per_epoch(130, 64) == 3
    assert steps_per_epoch(10, 64) == 1


def test_a_batch_is_those_rows_and_the_array_stays_mapped(tmp_path: Path) -> None:
    images = np.arange(20 * 3 * 2 * 1, dtype=np.uint8).reshape(20, 3, 2, 1)
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train" / "images.npy", images)
    np.save(tmp_path / "train" / "labels.npy", np.arange(20))
    split = Split.open(tmp_path, "train")
    assert isinstance(split.images, np.memmap)
    assert len(split) == 20
    found, labels = split.batch(np.array([7, 0, 19]), torch.device("cpu"))
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), images[[7, 0, 19]])
    assert labels.tolist() == [7, 0, 19]
