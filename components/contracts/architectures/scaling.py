"""The same architecture with fewer or more parameters: narrower or wider, of the same depth."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from pydantic import ValidationError

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.custom import CustomSpec
from components.contracts.architectures.hub import HubEncoderSpec
from components.contracts.architectures.hub_generation import HubSpec
from components.contracts.architectures.text import BertSpec
from components.contracts.architectures.vision import VggSpec

Spec = TypeVar("Spec", bound=ArchitectureSpec)


def scaled(spec: Spec, factor: float) -> Spec | None:
    """The network with `factor` times its widths, rounded to what heads and groups allow.

    The number of parameters grows with the square of the widths of dense and convolutional layers, and in proportion to
    the width of an embedding: whoever wants a number of parameters counts them.

    Returns:
        None if the network cannot be scaled (`obstacle`), or not by this factor: no other width, or out of range.
    """
    if obstacle(spec) is not None:
        return None
    settings = spec.model_dump(exclude_unset=True)
    if isinstance(spec, VggSpec):
        return _validated(spec, settings | {"divide": round(spec.divide / factor)})
    step = math.lcm(*(getattr(spec, name) for name in spec.width_divisors))
    for number, name in enumerate(spec.scaled_fields):
        width = getattr(spec, name)
        if width is None:  # follows from another width, or there is no such layer
            continue
        multiple = step if number == 0 else 1
        settings[name] = (
            [_rounded(part * factor, multiple) for part in width]
            if isinstance(width, list)
            else _rounded(width * factor, multiple)
        )
    return _validated(spec, settings)


def obstacle(spec: ArchitectureSpec) -> str | None:
    """Why a network has one size only; None if it can be scaled."""
    if spec.pretrained is not None:
        return "pretrained weights have one size"
    if isinstance(spec, CustomSpec):
        return "the sizes of a custom network are its own"
    if isinstance(spec, BertSpec | HubEncoderSpec | HubSpec) and spec.config_source is not None:
        return f"{spec.config_source} gives the sizes"
    if not spec.scaled_fields and not isinstance(spec, VggSpec):
        return f"{getattr(spec, 'name', 'the network')} has no width"
    return None


def _rounded(width: float, multiple: int) -> int:
    return max(1, round(width / multiple)) * multiple


def _validated(spec: Spec, settings: dict[str, Any]) -> Spec | None:
    try:
        found = type(spec).model_validate(settings)
    except ValidationError:
        return None
    return None if found == spec else found
