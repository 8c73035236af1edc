"""An array as a PNG file whose bytes depend on the pixels only; and class numbers with the colours of a palette.

The pixels are stored, not compressed: the bytes do not depend on the version of zlib, storing takes microseconds, and
the Parquet file compresses them better than single small files can be. PNG specification: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_STORED_LIMIT = 65_535


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode one image: (H, W) grey or (H, W, 3) colour."""
    height, width = pixels.shape[:2]
    colour = _GREY if pixels.ndim == 2 else _RGB
    rows = np.zeros((height, 1 + pixels.size // height), np.uint8)  # each row begins with its filter, 0: none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored_blocks(rows.tobytes())) + _chunk(b"IEND", b"")


def encode_indexed(numbers: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Encode numbers (H, W) with a palette (n, 3) of colours, compressed: equal numbers are a few bytes.

    The bytes depend on the version of zlib too.
    """
    height, width = numbers.shape
    rows = np.zeros((height, 1 + width), np.uint8)
    rows[:, 1:] = numbers
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")
    return _SIGNATURE + b"".join(_chunk(*part) for part in parts)


def _stored_blocks(content: bytes) -> bytes:
    """A zlib stream of stored blocks (RFC 1950, RFC 1951 section 3.2.4)."""
    blocks = [b"\x78\x01"]
    for start in range(0, len(content), _STORED_LIMIT):
        block = content[start : start + _STORED_LIMIT]
        last = start + _STORED_LIMIT >= len(content)
        blocks += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    blocks.append(struct.pack(">I", zlib.adler32(content)))
    return b"".join(blocks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
