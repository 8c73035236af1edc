"""What readers of annotated images share: a box, and a file beside the annotations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from components.core.errors import SourceError


def box(label: Any, corners: list[Any], where: str) -> dict[str, Any]:
    """A box in pixels. A box without area is kept: validation counts and shows it.

    Raises:
        SourceError: no label, or a corner that is no finite number.
    """
    if not isinstance(label, str) or not label:
        raise SourceError("a box without a label", where=where, got=label)
    try:
        numbers = [float(corner) for corner in corners]
    except (TypeError, ValueError) as error:
        raise SourceError("a box whose corners are no numbers", where=where, got=error) from error
    if not all(math.isfinite(number) for number in numbers):
        raise SourceError("a box whose corners are not finite", where=where, got=numbers)
    return {"label": label, **dict(zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True))}


def inside(folder: Path, name: str, where: str) -> Path:
    """A file named by an annotation.

    Raises:
        SourceError: the path is outside the folder, or there is no such file.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SourceError("a name that leads outside its folder", where=where, got=name)
    if not path.is_file():
        raise SourceError("no such image", where=where, got=name)
    return path
