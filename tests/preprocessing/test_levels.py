"""Levels of more than eight bits: by a stated range, and never clipped without a word."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import image as images
from components.preprocessing import levels
from components.preprocessing.image import Decoding
from tests.preprocessing.test_image import encoded

RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def deep(values: NDArray[np.generic], kind: str = "TIFF") -> bytes:
    return encoded(Image.fromarray(values), kind)


def decoded(content: bytes, stated: tuple[float, float] | None) -> NDArray[np.uint8]:
    return images.read(content, 16, 16, 1, Decoding(levels=stated)).pixels[..., 0]


@pytest.mark.parametrize(
    ("content", "stated"),
    [
        (deep(RAMP.astype(np.float32)), (0, 1)),
        (deep((RAMP * 4095).round().astype(np.uint16), "PNG"), (0, 4095)),
        (deep((RAMP * 4095).round().astype(np.uint16)), (0, 4095)),
        (deep((RAMP * 65535).round().astype(np.uint16), "PNG"), None),
        (deep((RAMP * 3000 - 1000).round().astype(np.int16)), (-1000, 2000)),
        (deep((RAMP * 10**9).round().astype(np.int32)), (0, 10**9)),
        (deep((RAMP * 100 - 50).astype(np.float32)), (-50, 50)),
    ],
    ids=["float", "12 bits png", "12 bits tiff", "16 bits", "signed", "32 bits", "signed float"],
)
def test_the_stated_range_becomes_0_to_255(content: bytes, stated: tuple[float, float] | None) -> None:
    assert np.abs(decoded(content, stated).ravel().astype(int) - np.arange(256)).max() <= 1


def test_what_is_beyond_the_range_is_clipped() -> None:
    found = decoded(deep(RAMP.astype(np.float32)), (0.25, 0.75)).ravel()
    assert (found[0], found[255], int(found[127])) == (0, 255, pytest.approx(127, abs=2))


@pytest.mark.parametrize(
    "values", [RAMP.astype(np.float32), (RAMP * 255).astype(np.int32), (RAMP * 255 - 100).astype(np.int16)]
)
def test_levels_without_a_usual_range_are_refused_and_the_setting_named(values: NDArray[np.generic]) -> None:
    with pytest.raises(SampleError, match="need a range") as caught:
        decoded(deep(values), None)
    assert "input.levels" in str(caught.value.expected)
    assert f"{values.max():g}" in str(caught.value.got)
    seen = images.describe(deep(values), Decoding())
    assert seen["readable"] is False
    assert "input.levels" in str(seen["error"])


def test_levels_that_are_no_numbers_are_refused() -> None:
    values = RAMP.astype(np.float32).copy()
    values[3, :5] = np.nan
    with pytest.raises(SampleError, match="not finite") as caught:
        decoded(deep(values), (0, 1))
    assert caught.value.got == "5 of 256 pixels are NaN or infinite"


def test_a_range_is_for_levels_of_more_than_eight_bits() -> None:
    content = encoded(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    assert (decoded(content, (0, 4095)) == decoded(content, None)).all()


def test_sixteen_bits_in_several_channels_have_no_range() -> None:
    """Pillow has no such mode: the upper eight bits are used, and a range is refused."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = (np.repeat(RAMP[..., None], 3, axis=2) * 65535).round().astype(">u2")
    body = b"".join(b"\x00" + row.tobytes() for row in rows)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    assert np.abs(images.decode(content, 16, 16, 3)[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
    with pytest.raises(SampleError, match="several channels"):
        decoded(content, (0, 4095))


@pytest.mark.parametrize(
    ("values", "how", "expected"),
    [
        (RAMP.astype(np.float32), Decoding(levels=(0, 1)), (0, 1, 255, False)),
        (RAMP.astype(np.float32), Decoding(levels=(0, 1000)), (0, 1, 0, True)),
        (RAMP.astype(np.float32), None, (0, 1, 255, False)),
        (np.full((4, 4), 7, np.float32), None, (7, 7, 0, True)),
        ((RAMP * 4095).astype(np.uint16), Decoding(), (0, 4095, 15, False)),
        ((RAMP * 4095).astype(np.uint16), Decoding(levels=(0, 4095)), (0, 4095, 255, False)),
        ((RAMP * 100).astype(np.uint8), Decoding(), (None, None, 100, False)),
        (np.zeros((4, 4), np.uint8), Decoding(), (None, None, 0, True)),
    ],
)
def test_a_description_is_of_what_is_there_after_decoding(
    values: NDArray[np.generic], how: Decoding | None, expected: tuple[object, ...]
) -> None:
    seen = images.describe(deep(values), how)
    assert seen["readable"] is True
    assert tuple(seen[name] for name in ("lowest", "highest", "level_span", "constant")) == expected
    assert tuple(seen) == images.DESCRIBED


def test_a_black_drawing_on_nothing_is_seen_to_be_black() -> None:
    drawing = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    drawing.paste((0, 0, 0, 255), (4, 4, 12, 12))
    assert images.describe(encoded(drawing))["constant"] is True
    assert images.describe(encoded(Image.new("RGB", (8, 8), (200, 100, 0))))["constant"] is False  # a colour
    assert images.describe(b"spam")["constant"] is True


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0.98, [0, 1]), (0.01, 1, [0, 1]), (3, 4056, [0, 4095]), (0, 65518, [0, 65535]), (0, 1, [0, 1]),
        (-1000, 3071, [-1024, 4095]), (30_000, 32_000, [30_000, 32_000]), (30_001, 31_999, [30_000, 32_000]),
        (-0.31, 0.72, [-0.5, 1]), (0.2, 254.7, [0, 300]), (5, 5, None),
    ],
)  # fmt: skip
def test_ranges_are_rounded_outwards(low: float, high: float, expected: list[float] | None) -> None:
    found = levels.outer_range(low, high)
    assert found == (None if expected is None else pytest.approx(expected))
