"""Levels (class numbers or colours) of the pixels of masks: how many pixels and files have each, and which are odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from components.core.errors import ColouredMaskError
from components.core.progress import Progress
from components.ingestion import masks

MOST_LEVELS = 64  # different levels; more are no classes
STRAY_PIXELS = 0.001  # share of all pixels below which a level may be a mistake,
STRAY_FILES = 0.05  # if it is in at most this share of the files, or in at most
FEW_FILES = 2  # so many of several times as many
_SHOWN = 12


class MaskLevels(NamedTuple):
    """The levels of all masks.

    Args:
        pixels, files: number of pixels, and of files, of each level.
        first: name of the first file of each level.
        masks: number of all files.
        in_colours: whether levels are colours, red * 65536 + green * 256 + blue.
    """

    pixels: Counter[int]
    files: Counter[int]
    first: dict[int, str]
    masks: int
    in_colours: bool

    def spelled(self, level: int) -> str:
        """A level as in dataset.yaml."""
        return str([level >> 16, level >> 8 & 255, level & 255]) if self.in_colours else str(level)

    def stray(self) -> list[int]:
        """Levels of so few pixels in so few files that they may be mistakes of the masks, the rarest first."""
        total = self.pixels.total()
        found = [
            level
            for level, count in self.pixels.items()
            if count < STRAY_PIXELS * total
            and (
                self.files[level] <= STRAY_FILES * self.masks or 2 * self.files[level] <= min(2 * FEW_FILES, self.masks)
            )
        ]
        return sorted(found, key=lambda level: (self.pixels[level], level))

    def where(self, level: int) -> str:
        """How often a level occurs, and where."""
        count, more = self.files[level], ", …" if self.files[level] > 1 else ""
        return f"{self.pixels[level]:,} pixels in {count:,} of {self.masks:,} masks ({self.first[level]}{more})"

    def summary(self) -> str:
        """All levels with their shares of the pixels and their numbers of files, in one sentence."""
        total = self.pixels.total()
        levels = sorted(self.pixels)
        shares = [
            f"{self.spelled(level)} ({self.pixels[level] / total:.2%} of the pixels, {self.files[level]:,} masks)"
            for level in levels[:_SHOWN]
        ]
        more = f" and {len(levels) - _SHOWN:,} more" if len(levels) > _SHOWN else ""
        return f"levels of the masks: {', '.join(shares)}{more}"


def read(paths: Sequence[Path], *, in_colours: bool = False) -> MaskLevels | None:
    """Count the levels of all masks; None if there are too many for classes.

    If one mask is in colours, all are read so: a mask of background alone is black, and tells nothing.

    Raises:
        SourceError: a mask cannot be read.
    """
    import numpy as np

    levels = MaskLevels(Counter(), Counter(), {}, len(paths), in_colours)
    with Progress("reading masks", len(paths)) as progress:
        for path in paths:
            try:
                pixels = masks.pixels(path.read_bytes(), str(path), in_colours=in_colours)
            except ColouredMaskError:
                return read(paths, in_colours=True)
            found, sizes = np.unique(pixels, return_counts=True)
            levels.pixels.update(dict(zip(found.tolist(), sizes.tolist(), strict=True)))
            levels.files.update(found.tolist())
            for level in found.tolist():
                levels.first.setdefault(level, path.name)
            progress.advance(1)
            if len(levels.pixels) > MOST_LEVELS:
                return None
    return levels
