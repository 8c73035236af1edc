"""Run lengths of COCO masks, compressed and not: lengths of runs of 0 and of 1 in turns, column after column.

Format: https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c (`rleFrString`): a number is written in
groups of five bits, the lowest first, each as a character from "0" (48) on; bit 6 says that more follow, bit 5 of the
last group is the sign; from the fourth number on, the number before the last is added.

Legend: H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIRST, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 0x1F


def decode(mask: Any) -> NDArray[np.bool_]:
    """A mask {size: [H, W], counts: text or list} as bool (H, W).

    Raises:
        ValueError: it is none, or its runs do not fill the size.
    """
    if not isinstance(mask, dict) or not {"size", "counts"} <= mask.keys():
        raise ValueError("no run lengths: size and counts are expected")
    height, width = (int(side) for side in mask["size"])
    counts = mask["counts"]
    runs = expand(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if height < 1 or width < 1 or min(runs, default=-1) < 0 or sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs):,} pixels in a mask of {height}x{width}")
    flags = np.arange(len(runs)) % 2 == 1
    flat: NDArray[np.bool_] = np.repeat(flags, runs)
    return flat.reshape(width, height).T


def expand(text: str) -> list[int]:
    """The run lengths of a compressed text.

    Raises:
        ValueError: the text ends inside a number, or has other characters.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - _FIRST
        if not 0 <= group < 64:
            raise ValueError(f"a character that run lengths do not have: {character!r}")
        value |= (group & _BITS) << shift
        shift += 5
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("run lengths end inside a number")
    return runs


def compress(runs: Sequence[int]) -> str:
    """The inverse of `expand`."""
    text = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            group = value & _BITS
            value >>= 5
            more = value != -1 if group & _SIGN else value != 0
            text.append(chr(_FIRST + (group | (_MORE if more else 0))))
    return "".join(text)
