"""The difference between an expected and an actual answer of any task, as one number; all gates use it.

Floats differ by their distance (relative to the larger one above 1); images by the mean distance of their pixels; all
other values (structure, text, integers, lengths) are equal or infinitely far apart.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

FAR = math.inf
_FROM_PROBABILITIES = ("label", "set", "rejected")

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3


def difference(expected: Any, answered: Any) -> float:
    """The largest difference between two JSON answers; inf where they differ in kind.

    A `label` beside `probabilities` is ignored: within a tolerance, the order of two nearly equal classes may change.
    So are the `set` of a conformal prediction and `rejected`, and `labels` beside `scores`: a score that is nearly its
    threshold may be on either side.
    An `image` is a base64 PNG, compared by its pixels in units of 0..1; a `mask` is one of class numbers, compared by
    the share of differing pixels.
    """
    if isinstance(expected, Mapping) and isinstance(answered, Mapping):
        return _of_mappings(expected, answered)
    if _is_list(expected) and _is_list(answered):
        if len(expected) != len(answered):
            return FAR
        return max((difference(one, other) for one, other in zip(expected, answered, strict=True)), default=0.0)
    if _is_number(expected) and _is_number(answered) and (isinstance(expected, float) or isinstance(answered, float)):
        one, other = float(expected), float(answered)
        distance = abs(one - other) / max(1.0, abs(one), abs(other))
        return distance if math.isfinite(distance) else FAR
    return 0.0 if type(expected) is type(answered) and expected == answered else FAR


def _of_mappings(expected: Mapping[str, Any], answered: Mapping[str, Any]) -> float:
    if expected.keys() != answered.keys():
        return FAR
    differences = [0.0]
    for key, value in expected.items():
        if (key in _FROM_PROBABILITIES and "probabilities" in expected) or (key == "labels" and "scores" in expected):
            continue
        picture = key in ("image", "mask") and isinstance(value, str) and isinstance(answered[key], str)
        if picture:
            differences.append(_of_pictures(value, answered[key], is_mask=key == "mask"))
        else:
            differences.append(difference(value, answered[key]))
    return max(differences)


def _of_pictures(expected: str, answered: str, *, is_mask: bool) -> float:
    if expected == answered:
        return 0.0
    one, other = _levels(expected), _levels(answered)
    if one is None or other is None or one[0] != other[0] or len(one[1]) != len(other[1]):
        return FAR
    if is_mask:
        return sum(first != second for first, second in zip(one[1], other[1], strict=True)) / len(one[1])
    return sum(abs(first - second) for first, second in zip(one[1], other[1], strict=True)) / 255 / len(one[1])


def _levels(text: str) -> tuple[bytes, bytes] | None:
    """Header and bytes of a PNG without row filters, as Modelyard writes them; a bundle may not include Pillow.

    Each row begins with the number of its filter, 0, which counts as one more pixel.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    header, packed, place = b"", b"", len(_PNG)
    while content.startswith(_PNG) and place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        header, packed = (body, packed) if kind == b"IHDR" else (header, packed + body * (kind == b"IDAT"))
        place += length + 12
    try:
        levels = zlib.decompress(packed)
        width, height, bits, colour, *_ = struct.unpack(">IIBBBBB", header)
    except (zlib.error, struct.error):
        return None
    row = 1 + width * {_GREY: 1, _RGB: 3, _PALETTE: 1}.get(colour, 0)
    plain = bits == 8 and len(levels) == row * height and not any(levels[::row])
    return (header, levels) if plain and levels else None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
