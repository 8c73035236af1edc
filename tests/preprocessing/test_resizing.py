"""How images, and boxes with them, are fitted into another height and width."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from components.preprocessing import image as images
from components.preprocessing import resizing
from components.preprocessing.image import Decoding
from components.preprocessing.resizing import Resize
from tests.preprocessing.test_image import encoded

WIDE = Image.new("L", (80, 40), 100)
WIDE.paste(200, (20, 10, 40, 30))  # a square


def decoded(how: Resize, height: int, width: int) -> np.ndarray:
    return images.read(encoded(WIDE), height, width, 1, Decoding(resize=how)).pixels[..., 0]


def test_padding_keeps_the_aspect_and_everything() -> None:
    found = decoded("pad", 40, 40)
    assert (found[:10] == 0).all()
    assert (found[30:] == 0).all()
    assert found[10:30].min() >= 100
    assert (found[16:24, 11:19] == 200).all()
    turned = decoded("pad", 80, 160)
    assert (turned > 0).all()  # of the same aspect: nothing is padded


def test_cropping_keeps_the_aspect_and_the_middle() -> None:
    found = decoded("crop", 20, 20)
    expected = np.asarray(WIDE.crop((20, 0, 60, 40)).resize((20, 20), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected)[:, 1:-1].max() <= 1  # the resampling looks a pixel beyond the edge


def test_stretching_is_what_it_was() -> None:
    assert (decoded("stretch", 20, 20) == np.asarray(WIDE.resize((20, 20), Image.Resampling.BILINEAR))).all()
    assert (decoded("stretch", 40, 80) == np.asarray(WIDE)).all()


@pytest.mark.parametrize("size", [(80, 40), (40, 80), (7, 5), (1000, 1), (33, 33)])
@pytest.mark.parametrize("how", ["stretch", "pad"])
def test_boxes_go_where_their_pixels_go_and_back(how: Resize, size: tuple[int, int]) -> None:
    place = resizing.frame(*size, (48, 32), how)
    boxes = np.array([[0.5, 0.5, 1, 1], [0.25, 0.5, 0.25, 0.5]], np.float32)
    inside = place.into(boxes)
    assert inside.dtype == np.float32
    assert place.out_of(inside) == pytest.approx(boxes, abs=1e-5)
    assert inside[0] == pytest.approx(
        [place.left + place.width / 2, place.top + place.height / 2, place.width, place.height]
    )


def test_a_padded_box_is_where_the_picture_shows_it() -> None:
    found = decoded("pad", 40, 40)
    place = resizing.frame(80, 40, (40, 40), "pad")
    centre_x, centre_y, width, height = place.into(np.array([[30 / 80, 0.5, 20 / 80, 0.5]], np.float32))[0] * 40
    rows, columns = np.nonzero(found > 150)
    assert (columns.min(), columns.max() + 1) == pytest.approx((centre_x - width / 2, centre_x + width / 2), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((centre_y - height / 2, centre_y + height / 2), abs=1)
