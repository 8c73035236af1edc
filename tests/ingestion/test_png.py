"""PNG files are read back by Pillow as the pixels that went in."""

import io

import numpy as np
import pytest
from PIL import Image

from components.ingestion import png


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (28, 17), (300, 400), (5, 7, 3), (200, 300, 3)])
def test_pillow_reads_the_pixels_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        image.verify()
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        assert image.mode == ("L" if len(shape) == 2 else "RGB")
        assert (np.asarray(image) == pixels).all()


def test_the_bytes_are_known() -> None:
    content = png.encode(np.array([[0, 255]], np.uint8))
    assert content.hex() == (
        "89504e470d0a1a0a0000000d4948445200000002000000010800000000d1492056"
        "0000000e494441547801010300fcff0000ff01020100b7012ef70000000049454e44ae426082"
    )
