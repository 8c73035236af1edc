"""Draw splits whose shares are as asked, in total and for each class.

Samples of one class each: quotas of every class (`quotas`). Samples of several classes, or groups of samples that stay
together: iterative stratification (`iterative`; Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label
Data, ECML PKDD 2011). In both, a class of at least three samples is in every split; where this takes more than the
share of a split, other classes give.

Legend: S splits (train, validation, test), K classes, U units: samples that are drawn as one.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EVERYWHERE = 3  # a class of fewer samples cannot be in every split
_UNCHANGED = 0.005  # share of the samples by which rounded quotas may miss a split's size

Sizes = NDArray[np.int64]


def quotas(classes: Sizes, size: float) -> Sizes:
    """The number of samples of each class in a split (K,), whole numbers.

    A class of at least `EVERYWHERE` samples gets one at least, a smaller one none. The quotas are the rounded shares if
    these add up to the size but for `_UNCHANGED`; else the size is shared out by largest remainders (Hamilton's
    method), and no class gives more than a third of its samples for others.

    Args:
        classes: (K,) number of samples of each class.
        size: wanted number of samples of the split.
    """
    total = int(classes.sum())
    least = (classes >= EVERYWHERE).astype(np.int64)
    ideal = np.where(least, classes * (size / max(1, total)), 0.0)
    rounded = np.maximum(np.round(ideal).astype(np.int64), least)
    if abs(int(rounded.sum()) - size) <= max(0.5, _UNCHANGED * total):
        return rounded
    free = ideal >= 1
    rest = max(0.0, size - int(least[~free].sum()))
    shares = np.where(free, classes * (rest / max(1, int(classes[free].sum()))), 0.0)
    shares = np.minimum(shares, np.maximum(np.ceil(ideal), classes // 3))
    result = np.where(free, np.maximum(1, np.floor(shares)), least).astype(np.int64)
    missing = round(size) - int(result.sum())
    remainders = shares - np.floor(shares)
    by_remainder = np.argsort(-remainders, kind="stable")[: max(0, missing)]
    result[by_remainder[remainders[by_remainder] > 0]] += 1
    return result


def iterative(units: Sequence[dict[int, int]], counts: Sizes, sizes: Sequence[float]) -> NDArray[np.uint8]:
    """The split of each unit (U,); units are drawn in their order.

    The class with the fewest units left comes first; each of its units goes to the split that wants most of the class,
    then to the one that wants most samples. A unit of more samples than a split wants does not go there, if the smaller
    ones can fill it; such units are drawn first.

    Args:
        units: for each unit, the number of its samples of each class.
        counts: (U,) number of samples of each unit.
        sizes: (S,) wanted number of samples of each split.
    """
    total = max(1, int(counts.sum()))
    shares = [size / total for size in sizes]
    of_class: dict[int, list[int]] = {}
    samples: dict[int, int] = {}
    for number, unit in enumerate(units):
        for name, count in unit.items():
            of_class.setdefault(name, []).append(number)
            samples[name] = samples.get(name, 0) + count
    wanted = {name: _wanted(samples[name], len(of_class[name]), shares) for name in samples}
    room = list(sizes)
    result = np.full(len(units), len(sizes), np.uint8)
    largest = [largest_unit(counts, size) for size in sizes]

    def open_to(number: int) -> list[int]:
        """The splits that a unit may go to; the first one, train, takes what no other does."""
        return [split for split in range(len(sizes)) if counts[number] <= largest[split]] or [0]

    def put(number: int, split: int) -> None:
        result[number] = split
        room[split] -= int(counts[number])
        for name, count in units[number].items():
            wanted[name][split] -= count

    left = {name: len(numbers) for name, numbers in of_class.items()}
    barred = [number for number in range(len(units)) if len(open_to(number)) < len(sizes)]
    for number in sorted(barred, key=lambda number: -counts[number]):
        put(number, max(open_to(number), key=lambda split: room[split]))
        for name in units[number]:
            left[name] -= 1
    queue = [(count, name) for name, count in left.items()]
    heapq.heapify(queue)
    while queue:
        count, name = heapq.heappop(queue)
        if count != left[name]:  # an old entry
            continue
        for number in of_class[name]:
            if result[number] < len(sizes):
                continue
            put(number, max(open_to(number), key=lambda split: (wanted[name][split], room[split])))
            for other in units[number]:
                left[other] -= 1
                if other != name:
                    heapq.heappush(queue, (left[other], other))
    for number in np.flatnonzero(result == len(sizes)).tolist():  # of no class
        put(number, max(open_to(number), key=lambda split: room[split]))
    _even_out(result, units, counts, sizes)
    return result


def largest_unit(counts: Sizes, size: float) -> float:
    """Samples of the largest unit that a split takes: no more than it wants, where the units up to this can fill it."""
    limit = max(1.0, size)
    return limit if int(counts[counts <= limit].sum()) >= size else float("inf")


def _wanted(samples: int, units: int, shares: Sequence[float]) -> list[float]:
    """Samples of a class that each split wants: its share, but one at least where the class can be in every split."""
    ideal = [samples * share for share in shares]
    if units < EVERYWHERE:
        return ideal
    least = samples / units  # of one unit
    raised = [max(one, least) if share > 0 else 0.0 for one, share in zip(ideal, shares, strict=True)]
    raised[0] = max(least, samples - sum(raised[1:]))
    return raised


def _even_out(
    result: NDArray[np.uint8], units: Sequence[dict[int, int]], counts: Sizes, sizes: Sequence[float]
) -> None:
    """Move units from splits that have too many samples to those that have too few, as long as no class leaves a split.

    Of the units that fit, those move first whose classes are most over their shares in the split.
    """
    splits, total = len(sizes), max(1, int(counts.sum()))
    of_class: dict[int, int] = {}
    present: dict[tuple[int, int], int] = {}  # units of a class in a split
    room = list(sizes)
    for number, split in enumerate(result.tolist()):
        room[split] -= int(counts[number])
        for name in units[number]:
            present[split, name] = present.get((split, name), 0) + 1
            of_class[name] = of_class.get(name, 0) + 1

    def surplus(number: int, split: int) -> float:
        """Units of its classes over their shares in the split, as parts of the shares."""
        wanted = {name: of_class[name] * sizes[split] / total for name in units[number]}
        return sum((present[split, name] - share) / max(1.0, share) for name, share in wanted.items())

    for giving in sorted(range(splits), key=lambda split: room[split]):
        movable = sorted(
            np.flatnonzero(result == giving).tolist(),
            key=lambda number: -surplus(number, giving),
        )
        for number in movable:
            taking = max(range(splits), key=lambda split: room[split])
            count = int(counts[number])
            if taking == giving or room[giving] > -count / 2 or room[taking] < count / 2:
                continue
            if any(present[giving, name] == 1 for name in units[number]):
                continue
            result[number] = taking
            room[giving], room[taking] = room[giving] + count, room[taking] - count
            for name in units[number]:
                present[giving, name] -= 1
                present[taking, name] = present.get((taking, name), 0) + 1
