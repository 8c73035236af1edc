"""The draw: stratified, deaf to the order of rows, twins together."""

import numpy as np
import pytest

from components.contracts.dataset import SplitSpec
from components.preparation.splits import OPEN, TEST, TRAIN, VALIDATION, assign, key

SPEC = SplitSpec(test=0.2, validation=0.1, seed=0)
N = 3000


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    keys = random.integers(0, 2**63, N).astype(np.uint64)
    labels = random.choice(3, N, p=[0.7, 0.25, 0.05]).astype(np.uint32)
    return keys, labels, np.full(N, OPEN, np.uint8)


def test_shares_are_right_for_each_label() -> None:
    keys, labels, given = draw()
    result = assign(keys, labels, given, SPEC)
    for label in range(3):
        of_label = result[labels == label]
        assert abs((of_label == TEST).mean() - 0.2) < 1 / len(of_label)
        assert abs((of_label == VALIDATION).mean() - 0.08) < 1.5 / len(of_label)
        assert (of_label == TRAIN).any()


def test_the_order_of_rows_does_not_matter() -> None:
    keys, labels, given = draw()
    order = np.random.default_rng(1).permutation(N)
    assert (assign(keys, labels, given, SPEC)[order] == assign(keys[order], labels[order], given, SPEC)).all()


def test_a_new_sample_moves_next_to_nothing() -> None:
    keys, labels, given = draw()
    before = assign(keys[1:], labels[1:], given[1:], SPEC)
    assert (assign(keys, labels, given, SPEC)[1:] != before).sum() <= 2


@pytest.mark.parametrize("given_test", [False, True])
def test_twins_stay_together(given_test: bool) -> None:
    keys, labels, given = draw()
    keys[1000:1500] = keys[:500]  # twins, many of them with other labels
    if given_test:
        given[:800] = TEST
        given[800:] = TRAIN
    result = assign(keys, labels, given, SPEC)
    sets = [set(keys[result == split].tolist()) for split in (TRAIN, VALIDATION, TEST)]
    assert not sets[TRAIN] & sets[VALIDATION]
    assert not sets[VALIDATION] & sets[TEST]
    if not given_test:
        assert not sets[TRAIN] & sets[TEST]


def test_given_splits_are_kept() -> None:
    keys, labels, given = draw()
    given[:] = TRAIN
    given[:500] = TEST
    result = assign(keys, labels, given, SPEC)
    assert ((result == TEST) == (given == TEST)).all()
    assert abs((result == VALIDATION).sum() - 250) <= 3
    given[500:600] = VALIDATION
    assert (assign(keys, labels, given, SPEC) == given).all()


def test_every_label_is_in_every_split_as_soon_as_it_can_be() -> None:
    labels = np.repeat(np.arange(5, dtype=np.uint32), 3)
    keys = np.arange(15, dtype=np.uint64)
    result = assign(keys, labels, np.full(15, OPEN, np.uint8), SPEC)
    for label in range(5):
        assert sorted(result[labels == label]) == [TRAIN, VALIDATION, TEST]


def test_the_key_is_of_seed_and_pixels() -> None:
    assert key(b"pixels", 0) == key(b"pixels", 0)
    assert len({key(b"pixels", 0), key(b"pixels", 1), key(b"others", 0)}) == 3
