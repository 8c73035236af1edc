from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.preprocessing.stored import StoredSplit
from components.training.batches import (
    derive_seed,
    epoch_batches,
    epoch_order,
    on_device,
    sample_sizes,
    steps_per_epoch,
)


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


def test_batches_of_one_size_are_slices_of_the_epochs_order() -> None:
    epoch = epoch_batches(129, 64, seed=3, epoch=2)
    order = epoch_order(129, 3, 2)
    assert len(epoch) == steps_per_epoch(129, 64) == 2
    assert np.array_equal(epoch.batch(0), order[:64])
    assert np.array_equal(epoch.batch(1), order[64:128])


def _lengths(samples: int) -> NDArray[np.int64]:
    """As those of reviews: log-normal, a mean of 230 tokens, cut at 400."""
    drawn = np.random.default_rng(0).lognormal(mean=5.2, sigma=0.65, size=samples)
    return drawn.astype(np.int64).clip(1, 400)


@pytest.mark.parametrize(("samples", "batch_size"), [(25_000, 64), (3_394, 32), (6_920, 50)])
def test_batches_by_length_have_little_padding_and_hold_every_sample_once(samples: int, batch_size: int) -> None:
    lengths = _lengths(samples)
    epoch = epoch_batches(samples, batch_size, seed=0, epoch=0, sizes=lengths[:, None])
    assert len(epoch) == steps_per_epoch(samples, batch_size)
    assert sorted(epoch.order) == list(range(samples))
    batches = [lengths[epoch.batch(number)] for number in range(len(epoch))]
    assert max(len(batch) for batch in batches) == batch_size
    places = sum(len(batch) * batch.max() for batch in batches)
    assert 1 - lengths.sum() / places <= 0.10
    plain = epoch_batches(samples, batch_size, seed=0, epoch=0)
    unsorted = sum(len(index) * lengths[index].max() for index in map(plain.batch, range(len(plain))))
    assert 1 - lengths.sum() / unsorted > 0.3
    # Short and long ones come in turn, not one after the other.
    halves = [np.mean([batch.mean() for batch in part]) for part in (batches[::2], batches[1::2])]
    assert abs(halves[0] - halves[1]) < 40
    assert abs(np.corrcoef(np.arange(len(batches)), [batch.mean() for batch in batches])[0, 1]) < 0.25


@pytest.mark.parametrize(("samples", "batch_size"), [(29_000, 128), (20_000, 64)])
def test_pairs_are_alike_in_both_lengths(samples: int, batch_size: int) -> None:
    """As captions and their translations: 15 and 17 tokens, correlated by 0.75."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=samples), rng.normal(size=(2, samples))
    source, target = (
        np.exp(mean + 0.3 * (0.87 * shared + 0.5 * noise)).round().astype(np.int64).clip(2)
        for mean, noise in zip((2.65, 2.75), own, strict=True)
    )
    sizes = np.stack([source, target], axis=1)
    epoch = epoch_batches(samples, batch_size, seed=0, epoch=0, sizes=sizes)
    assert sorted(epoch.order) == list(range(samples))
    for lengths in (source, target):
        places = sum(len(index) * lengths[index].max() for index in map(epoch.batch, range(len(epoch))))
        assert 1 - lengths.sum() / places <= 0.10


def test_batches_by_length_are_those_of_their_seed_and_epoch() -> None:
    sizes = _lengths(1000)[:, None]
    first = epoch_batches(1000, 64, 0, 0, sizes)
    assert np.array_equal(first.order, epoch_batches(1000, 64, 0, 0, sizes).order)
    assert not np.array_equal(first.order, epoch_batches(1000, 64, 0, 1, sizes).order)
    assert not np.array_equal(first.order, epoch_batches(1000, 64, 1, 0, sizes).order)


def test_what_samples_are_sorted_by(tmp_path: Path) -> None:
    offsets = {"source": np.array([0, 3, 4, 9]), "target": np.array([0, 1, 5, 6])}
    for name, bounds in offsets.items():
        np.save(tmp_path / f"{name}.npy", np.zeros(bounds[-1], np.int64))
        np.save(tmp_path / f"{name}.offsets.npy", bounds)
    specs = [ArraySpec(name=name, type="int64", shape=(), layout="ragged") for name in ("target", "source")]
    split = StoredSplit(tmp_path, specs)
    sizes = sample_sizes(split, ("source", "source_lengths"))
    assert sizes is not None
    assert sizes.tolist() == [[3, 1], [1, 4], [5, 1]]
    same = [ArraySpec(name=name, type="int64", shape=(), layout="ragged") for name in ("tags", "source")]
    for end in (".npy", ".offsets.npy"):
        (tmp_path / f"tags{end}").write_bytes((tmp_path / f"source{end}").read_bytes())
    sizes = sample_sizes(StoredSplit(tmp_path, same), ("source", "source_lengths"))
    assert sizes is not None
    assert sizes.tolist() == [[3], [1], [5]]
    assert sample_sizes(split, ("images",)) is None


def test_a_batch_on_its_device_is_the_arrays() -> None:
    arrays = {"images": np.arange(12, dtype=np.uint8).reshape(2, 3, 2, 1), "labels": np.array([7, 0])}
    found = on_device(arrays, torch.device("cpu"))
    assert found["images"].dtype == torch.uint8
    assert np.array_equal(found["images"].numpy(), arrays["images"])
    assert found["labels"].tolist() == [7, 0]
