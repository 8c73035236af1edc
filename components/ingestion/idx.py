"""The idx format of MNIST (http://yann.lecun.com/exdb/mnist/): a header, then bytes; gzip or plain."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from components.contracts.dataset_layout import IdxLayout
from components.core.errors import SourceError
from components.ingestion import png
from components.ingestion.sample import Sample, split_name

_UBYTE = 0x08
_BATCH = 1024
_GZIP = b"\x1f\x8b"
_LARGEST_SIDE = 65_535


def samples(layout: IdxLayout, folder: Path) -> Iterator[Sample]:
    """The images and labels of each split, in the file's order.

    Raises:
        SourceError: a file is missing, truncated, too long, of another type, or images and labels do not match.
    """
    for split in layout.images:
        images, labels = folder / layout.images[split], folder / layout.labels[split]
        name = split_name(split, "layout.images")
        for row, (image, label) in enumerate(_pairs(images, labels, len(layout.classes))):
            yield Sample(f"{split}/{row:06d}", name, {"image": image, "label": layout.classes[label]})


def _pairs(images: Path, labels: Path, classes: int) -> Iterator[tuple[bytes, int]]:
    with _open(images, 3) as (image_stream, shape), _open(labels, 1) as (label_stream, (label_count,)):
        count, height, width = shape
        if count != label_count:
            got = f"{count} images, {label_count} labels in {labels.name}"
            raise SourceError("images and labels do not match", where=str(images), got=got)
        if not 0 < height <= _LARGEST_SIDE or not 0 < width <= _LARGEST_SIDE:
            raise SourceError("not the size of an image", where=str(images), got=f"{height}x{width}")
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            pixels = np.frombuffer(_read_exactly(image_stream, size * height * width, images), np.uint8)
            numbers = np.frombuffer(_read_exactly(label_stream, size, labels), np.uint8)
            if numbers.max() >= classes:
                got = f"{numbers.max()} near row {start}"
                raise SourceError("a label without a class", where=str(labels), got=got, expected=f"0 to {classes - 1}")
            for image, number in zip(pixels.reshape(size, height, width), numbers, strict=True):
                yield png.encode(image), int(number)
        for stream, path in ((image_stream, images), (label_stream, labels)):
            if _read(stream, 1, path):
                raise SourceError("the file goes on after its last item", where=str(path), expected=f"{count} items")


@contextmanager
def _open(path: Path, dimensions: int) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """A stream positioned after the header of the file, and the sizes from the header."""
    try:
        with path.open("rb") as head:
            is_gzip = head.read(2) == _GZIP
    except FileNotFoundError as error:
        raise SourceError("no such file in the source", where=str(path)) from error
    with cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip else path.open("rb") as stream:
        magic = _read_exactly(stream, 4, path)
        if magic != bytes([0, 0, _UBYTE, dimensions]):
            expected = f"0000{_UBYTE:02x}{dimensions:02x}: bytes in {dimensions} dimensions"
            raise SourceError("not the idx file that is expected", where=str(path), got=magic.hex(), expected=expected)
        sizes = struct.unpack(f">{dimensions}I", _read_exactly(stream, 4 * dimensions, path))
        yield stream, sizes


def _read_exactly(stream: IO[bytes], count: int, path: Path) -> bytes:
    content = _read(stream, count, path)
    if len(content) < count:
        raise SourceError("the file is truncated", where=str(path), got=f"{len(content)} bytes", expected=str(count))
    return content


def _read(stream: IO[bytes], count: int, path: Path) -> bytes:
    try:
        return stream.read(count)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError("the file is truncated or damaged", where=str(path), got=error) from error
