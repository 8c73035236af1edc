"""The draw: stratified, deaf to the order of rows, twins together."""

import numpy as np
import pytest

from components.contracts.dataset import SplitSpec
from components.preparation import split_summary, splits
from components.preparation.splits import OPEN, TEST, TRAIN, UNUSED, VALIDATION, Draw, key

SPEC = SplitSpec(test=0.2, validation=0.1, seed=0)
SHARES = {TRAIN: 0.72, VALIDATION: 0.08, TEST: 0.2}
N = 3000


def assign(keys: np.ndarray, labels: np.ndarray, given: np.ndarray, spec: SplitSpec) -> np.ndarray:
    return splits.assign(Draw(keys, [(label,) for label in labels.tolist()], given), spec)


def drawn(classes: list[tuple[int, ...]], seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    keys = np.random.default_rng(seed).integers(0, 2**63, len(classes)).astype(np.uint64)
    return splits.assign(Draw(keys, classes, np.full(len(classes), OPEN, np.uint8), groups), SPEC)


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


def test_what_is_in_a_given_test_split_is_not_learnt() -> None:
    keys, labels, given = draw()
    given[:] = TRAIN
    given[:500], given[500:600] = TEST, VALIDATION
    keys[1000:1010] = keys[:10]
    result = assign(keys, labels, given, SPEC)
    assert (result[1000:1010] == UNUSED).all()
    assert (result == UNUSED).sum() == 10
    lines = split_summary.lines(Draw(keys, [(0,)] * N, given), ["all"], result, SPEC)
    assert lines == ["10 samples that are in the source's test or validation split too are left out"]


def test_every_label_is_in_every_split_as_soon_as_it_can_be() -> None:
    labels = np.repeat(np.arange(5, dtype=np.uint32), 3)
    keys = np.arange(15, dtype=np.uint64)
    result = assign(keys, labels, np.full(15, OPEN, np.uint8), SPEC)
    for label in range(5):
        assert sorted(result[labels == label]) == [TRAIN, VALIDATION, TEST]


def test_the_key_is_of_seed_and_pixels() -> None:
    assert key(b"pixels", 0) == key(b"pixels", 0)
    assert len({key(b"pixels", 0), key(b"pixels", 1), key(b"others", 0)}) == 3


@pytest.mark.slow
def test_shares_hold_whatever_the_labels_are() -> None:
    """200 label structures: one label or several, 2 to 80 classes, even or like Zipf's.

    Each split has room for a sample of each class; where it has not: the test after the next.
    """
    for seed in range(200):
        random = np.random.default_rng(seed)
        count = int(random.integers(400, 4000))
        kinds = int(random.integers(2, min(81, count // 20)))
        weights = 1 / np.arange(1, kinds + 1) ** random.uniform(0, 1.5)
        weights /= weights.sum()
        if seed % 2:
            classes = [(label,) for label in random.choice(kinds, count, p=weights).tolist()]
        else:
            most = min(kinds, int(random.integers(2, 6)))
            cumulated = weights.cumsum() / weights.sum()  # as `random.choice` draws, in a tenth of its time
            classes = [
                tuple(
                    sorted(
                        {*cumulated.searchsorted(random.random(int(random.integers(0, most + 1))), "right").tolist()}
                    )
                )
                for _ in range(count)
            ]
        result = drawn(classes, seed)
        member = np.zeros((count, kinds), bool)
        member[
            np.repeat(np.arange(count), [len(names) for names in classes]), [n for names in classes for n in names]
        ] = 1
        for split, share in SHARES.items():
            assert abs((result == split).mean() - share) < 0.01, (seed, split, (result == split).mean())
        for label in range(kinds):
            of_label = result[member[:, label]]
            if len(of_label) >= 3:
                assert set(of_label) == {TRAIN, VALIDATION, TEST}, (seed, label, len(of_label))
            if len(of_label) >= 100:
                assert abs((of_label == TEST).mean() - 0.2) < 0.06, (seed, label, len(of_label))


def test_a_class_of_one_or_two_samples_is_learnt_and_named() -> None:
    classes = [(0,)] * 197 + [(1,)] * 2 + [(2,)]
    result = drawn(classes)
    assert set(result[197:]) == {TRAIN}
    assert abs((result == TEST).sum() - 40) <= 1
    draw = Draw(np.arange(200, dtype=np.uint64), classes, np.full(200, OPEN, np.uint8))
    (line,) = split_summary.lines(draw, ["good", "bad", "fraud"], result, SPEC)
    assert line.startswith("2 of 3 classes have fewer than 3 samples: fraud (1), bad (2)")


def test_where_every_class_is_rare_the_shares_are_said() -> None:
    classes = [(number,) for number in range(50) for _ in range(3)]
    result = drawn(classes)
    for number in range(50):
        assert set(result[3 * number : 3 * number + 3]) == {TRAIN, VALIDATION, TEST}
    draw = Draw(np.arange(150, dtype=np.uint64), classes, np.full(150, OPEN, np.uint8))
    lines = split_summary.lines(draw, [str(number) for number in range(50)], result, SPEC)
    assert "33.3% of the samples are in test, where `split:` asks for 20.0%" in lines


@pytest.mark.parametrize("several", [False, True])
def test_a_group_is_in_one_split(several: bool) -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 150, N).astype(np.uint64)  # 20 samples each
    labels = random.choice(4, N, p=[0.5, 0.3, 0.15, 0.05])
    classes = [(label, 4) if several and row % 3 else (label,) for row, label in enumerate(labels.tolist())]
    result = drawn(classes, groups=groups)
    for group in range(150):
        assert len(set(result[groups == group])) == 1
    for split, share in SHARES.items():
        assert abs((result == split).mean() - share) < 0.01
        for label in range(4):
            of_label = result[[label in names for names in classes]]
            assert abs((of_label == split).mean() - share) < 0.05, (split, label)


def test_a_share_is_of_the_samples_that_a_split_is_drawn_from() -> None:
    keys, labels, given = draw()
    given[:1000], given[1000:] = VALIDATION, TRAIN
    result = assign(keys, labels, given, SPEC)
    assert abs((result == TEST).sum() - 400) <= 3
    assert split_summary.lines(Draw(keys, [(0,)] * N, given), ["all"], result, SPEC) == []


def test_samples_that_stay_together_and_are_more_than_a_split_are_learnt() -> None:
    classes = [(label,) for label in range(10) for _ in range(20)]
    groups = np.arange(1, 201, dtype=np.uint64)
    groups[[20 * label + place for label in range(3) for place in range(15)]] = 1000  # 45 of 200
    for seed in range(10):
        result = drawn(classes, seed, groups)
        assert (result[groups == 1000] == TRAIN).all()
        for split, share in SHARES.items():
            assert abs((result == split).mean() - share) < 0.01, (seed, split)
            assert {classes[row] for row in np.flatnonzero(result == split)} == {(label,) for label in range(10)}
    few = np.repeat(np.arange(4, dtype=np.uint64), 50)  # no split can be made of smaller ones
    assert {*drawn([(row % 10,) for row in range(200)], groups=few).tolist()} == {TRAIN, VALIDATION, TEST}


def test_near_duplicates_of_one_class_that_are_more_than_a_split_are_learnt() -> None:
    labels = np.repeat(np.arange(10), 10)
    near = np.arange(1, 101, dtype=np.uint64)
    near[5:10] = near[10:16] = near[20:24] = 0  # 15 of 100, of three classes
    given = np.full(100, OPEN, np.uint8)
    spec = SplitSpec(test=0.1, validation=0.1, seed=0, near_duplicates="together")
    for seed in range(10):
        keys = np.random.default_rng(seed).integers(0, 2**63, 100).astype(np.uint64)
        result = splits.assign(Draw(keys, [(int(label),) for label in labels], given, None, near), spec)
        assert (result[near == 0] == TRAIN).all()
        for split in (TRAIN, VALIDATION, TEST):
            assert set(labels[result == split]) == set(range(10)), (seed, split)
