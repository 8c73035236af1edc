"""What is not as asked in drawn splits, in words: shares, and classes that are not in every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import SplitSpec
from components.preparation import splits
from components.preparation.splits import Draw
from components.preparation.stratification import EVERYWHERE

TOLERANCE = 0.01  # of a split's share
_NAMED = 10  # classes that are named in one line


def lines(draw: Draw, names: Sequence[str], assigned: NDArray[np.uint8], spec: SplitSpec) -> list[str]:
    """One sentence each; none where the splits are as asked.

    Args:
        names: of the draw's classes, by number.
        assigned: (N,) the split of each sample.
    """
    given = set(np.unique(draw.source_splits).tolist())
    found = []
    unused = assigned == splits.UNUSED
    if near := int(_left_out_as_near(draw, unused, spec).sum()):
        found.append(
            f"{near:,} samples that are nearly equal to one of the source's test or validation split are left out"
        )
    if copies := int(unused.sum()) - near:
        of = "samples" if draw.groups is None else "samples, or samples of a group,"
        found.append(f"{copies:,} {of} that are in the source's test or validation split too are left out")
    if {splits.TEST, splits.VALIDATION} <= given:
        return found
    shares = {}
    drawn_from = np.isin(draw.source_splits, (splits.OPEN, splits.TRAIN)) & (assigned != splits.UNUSED)
    if splits.TEST not in given:
        shares["test"] = (float((assigned[drawn_from] == splits.TEST).mean()), spec.test)
    if splits.VALIDATION not in given:
        rest = drawn_from & (assigned != splits.TEST)
        shares["validation"] = (float((assigned[rest] == splits.VALIDATION).mean()), spec.validation)
    for name, (share, asked) in shares.items():
        if abs(share - asked) > TOLERANCE:
            of = "of the samples" if name == "test" else "of the samples that are left for train and validation"
            found.append(f"{share:.1%} {of} are in {name}, where `split:` asks for {asked:.1%}")
    if text := rare(draw.classes, names):
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


def rare(classes: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """The classes of fewer samples than there are splits, with their numbers; "" if there are none."""
    counts = Counter(number for of_sample in classes for number in of_sample)
    few = sorted((count, names[number]) for number, count in counts.items() if count < EVERYWHERE)
    if not few:
        return ""
    named = ", ".join(f"{name} ({count})" for count, name in few[:_NAMED])
    more = f" and {len(few) - _NAMED:,} more" if len(few) > _NAMED else ""
    return f"{len(few):,} of {len(names):,} classes have fewer than {EVERYWHERE} samples: {named}{more}"
