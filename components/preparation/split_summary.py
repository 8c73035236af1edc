"""What is not as asked in drawn splits, in words: shares, and classes that are not in every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import SplitSpec
from components.preparation import splits
from components.preparation.splits import Draw
from components.preparation.stratification import EVERYWHERE

TOLERANCE = 0.01  # of a split's share
_NAMED = 10  # classes that are named in one line


class SplitCounts(NamedTuple):
    """What became of the samples.

    Args:
        source_splits: the splits that the source gives.
        unused, near: samples in no split; those of them that a near-duplicate alone keeps out.
        drawn: of the samples that were not fixed by the source, the number in each split.
        classes: number of samples of each class.
        has_groups: whether samples of a group stay together.
    """

    source_splits: Collection[int]
    unused: int
    near: int
    drawn: Mapping[int, int]
    classes: Mapping[int, int]
    has_groups: bool


def lines(draw: Draw, names: Sequence[str], assigned: NDArray[np.uint8], spec: SplitSpec) -> list[str]:
    """`lines_of` a draw.

    Args:
        assigned: (N,) the split of each sample.
    """
    unused = assigned == splits.UNUSED
    drawn_from = np.isin(draw.source_splits, (splits.OPEN, splits.TRAIN)) & ~unused
    drawn = np.bincount(assigned[drawn_from], minlength=len(splits.SPLITS)).tolist()
    counts = SplitCounts(
        source_splits=np.unique(draw.source_splits).tolist(),
        unused=int(unused.sum()),
        near=int(_left_out_as_near(draw, unused, spec).sum()),
        drawn=dict(enumerate(drawn)),
        classes=class_counts(draw.classes),
        has_groups=draw.groups is not None,
    )
    return lines_of(counts, names, spec)


def lines_of(counts: SplitCounts, names: Sequence[str], spec: SplitSpec) -> list[str]:
    """One sentence each; none where the splits are as asked.

    Args:
        names: of the draw's classes, by number.
    """
    found = []
    if counts.near:
        found.append(
            f"{counts.near:,} samples that are nearly equal to one of the source's test or validation split are "
            "left out"
        )
    if copies := counts.unused - counts.near:
        of = "samples, or samples of a group," if counts.has_groups else "samples"
        found.append(f"{copies:,} {of} that are in the source's test or validation split too are left out")
    given = set(counts.source_splits)
    if {splits.TEST, splits.VALIDATION} <= given:
        return found
    shares = {}
    test = counts.drawn.get(splits.TEST, 0)
    everything = sum(counts.drawn.values())
    if splits.TEST not in given and everything:
        shares["test"] = (test / everything, spec.test)
    if splits.VALIDATION not in given and everything > test:
        shares["validation"] = (counts.drawn.get(splits.VALIDATION, 0) / (everything - test), spec.validation)
    for name, (share, asked) in shares.items():
        if abs(share - asked) > TOLERANCE:
            of = "of the samples" if name == "test" else "of the samples that are left for train and validation"
            found.append(f"{share:.1%} {of} are in {name}, where `split:` asks for {asked:.1%}")
    if text := rare(counts.classes, names):
        found.append(f"{text}; they are in train only, or not in every split")
    return found


def _left_out_as_near(draw: Draw, unused: NDArray[np.bool_], spec: SplitSpec) -> NDArray[np.bool_]:
    """Which samples (N,) are in no split for nothing but a near-duplicate."""
    if spec.near_duplicates != "leave_out" or draw.near is None:
        return np.zeros_like(unused)
    fixed = ~np.isin(draw.source_splits, (splits.OPEN, splits.TRAIN))
    validation, test = (draw.source_splits == number for number in (splits.VALIDATION, splits.TEST))
    for_other_reasons = ~fixed & np.isin(draw.keys, draw.keys[fixed])
    for_other_reasons |= validation & np.isin(draw.keys, draw.keys[test])
    if draw.groups is not None:
        for_other_reasons |= ~fixed & np.isin(draw.groups, draw.groups[fixed])
    return unused & ~for_other_reasons


def class_counts(classes: Sequence[Sequence[int]]) -> dict[int, int]:
    """Number of samples of each class."""
    return Counter(number for of_sample in classes for number in of_sample)


def rare(counts: Mapping[int, int], names: Sequence[str]) -> str:
    """The classes of fewer samples than there are splits, with their numbers; "" if there are none."""
    few = sorted((count, names[number]) for number, count in counts.items() if count < EVERYWHERE)
    if not few:
        return ""
    named = ", ".join(f"{name} ({count})" for count, name in few[:_NAMED])
    more = f" and {len(few) - _NAMED:,} more" if len(few) > _NAMED else ""
    return f"{len(few):,} of {len(names):,} classes have fewer than {EVERYWHERE} samples: {named}{more}"
