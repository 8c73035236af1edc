"""What readers of annotated images share: a box."""

from __future__ import annotations

import math
from typing import Any, Literal

from components.core.errors import SourceError
from components.ingestion.class_name import class_name


def box(
    label: Any, corners: list[Any], where: str, flag: Literal["difficult", "crowd"] | None = None
) -> dict[str, Any]:
    """A box in pixels. A box without area is kept: validation counts and shows it.

    Args:
        flag: key of a box that is neither learnt nor counted as a miss; other boxes have neither key.

    Raises:
        SourceError: no label, or a corner that is no finite number.
    """
    if not isinstance(label, str) or not class_name(label):
        raise SourceError("a box without a label", where=where, got=label)
    try:
        numbers = [float(corner) for corner in corners]
    except (TypeError, ValueError) as error:
        raise SourceError("a box whose corners are no numbers", where=where, got=error) from error
    if not all(math.isfinite(number) for number in numbers):
        raise SourceError("a box whose corners are not finite", where=where, got=numbers)
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True))
    return {"label": class_name(label), **sides, **({flag: True} if flag is not None else {})}
