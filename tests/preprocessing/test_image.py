"""Image files become tensors; what is no image is refused."""

import base64
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import image as images


def grey(content: bytes, **limits: int) -> NDArray[np.uint8]:
    return images.decode(content, 8, 8, 1, **limits)


def colour(content: bytes) -> NDArray[np.uint8]:
    return images.decode(content, 8, 8, 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_grey_comes_through_untouched(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    tensor = grey(encoded(Image.fromarray(pixels), kind))
    assert tensor.shape == (8, 8, 1)
    assert tensor.dtype == np.uint8
    assert (tensor[..., 0] == pixels).all()


def test_colour_comes_through_untouched_and_grey_is_its_luma() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    content = encoded(Image.fromarray(pixels))
    assert (colour(content) == pixels).all()
    luma = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(grey(content)[..., 0] - luma).max() <= 1


def test_grey_in_colour_has_three_equal_channels() -> None:
    tensor = colour(encoded(Image.new("L", (8, 8), 77)))
    assert (tensor == 77).all()
    assert tensor.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("image", "level"),
    [
        (Image.new("RGBA", (8, 8), (255, 255, 255, 0)), 0),
        (Image.new("RGBA", (8, 8), (255, 255, 255, 255)), 255),
        (Image.new("LA", (8, 8), (255, 0)), 0),
        (Image.new("1", (8, 8), 1), 255),
        (Image.fromarray(np.full((8, 8), 0x8000, np.uint16)), 128),
        (Image.new("L", (8, 8), 9).convert("P"), 9),
    ],
    ids=["transparent", "opaque", "grey transparent", "one bit", "16 bits", "palette"],
)
def test_every_mode_becomes_eight_bits(image: Image.Image, level: int) -> None:
    content = encoded(image)
    assert (grey(content) == level).all()
    assert (colour(content) == level).all()


def test_other_sizes_are_resized() -> None:
    image = Image.new("L", (64, 32), 0)
    image.paste(255, (32, 0, 64, 32))
    tensor = grey(encoded(image))[..., 0]
    assert (tensor[:, :3] == 0).all()
    assert (tensor[:, 5:] == 255).all()


def test_the_orientation_of_a_photo_is_followed() -> None:
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    tensor = grey(encoded(image, "JPEG", exif=exif, quality=95))[..., 0]
    assert tensor[:3].max() < 60
    assert tensor[5:].min() > 200


def _huge_png() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not an image"),
        (b"%PDF-1.7 no image", "not an image"),
        (encoded(Image.effect_noise((64, 64), 90.0))[:2000], "damaged"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:200], "damaged|not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not an image|damaged"),
    ],
)
def test_what_is_no_image_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        grey(content)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(SampleError, match=r"too many pixels|damaged"):
        grey(_huge_png())
    content = encoded(Image.new("L", (101, 100)))
    with pytest.raises(SampleError, match="too many pixels") as caught:
        grey(content, max_pixels=10_000)
    assert caught.value.got == "101x100"


def test_base64_comes_back_and_what_is_none_is_refused() -> None:
    text = base64.b64encode(b"content").decode()
    assert images.from_base64(text) == images.from_base64(f"data:image/png;base64,{text}") == b"content"
    for wrong, what in ((b"bytes", "base64 text"), (None, "base64 text"), ("!", "no base64")):
        with pytest.raises(SampleError, match=what):
            images.from_base64(wrong)


def test_pixels_become_images() -> None:
    found = images.pixels([[[[1], [2]], [[3], [255]]]])
    assert found.dtype == np.uint8
    assert found.tolist() == [[[[1], [2]], [[3], [255]]]]
    assert images.pixels([[[1, 2], [3, 4]]]).shape == (1, 2, 2, 1)
    assert images.checked(found[0], 2, 2, 1) is not None


@pytest.mark.parametrize(
    ("value", "code"),
    [([[1], [1, 2]], "shape"), ([], "empty"), ([[[1.5]]], "type"), ([[["a"]]], "type"), ([[[256]]], "range"),
     ([[[-1]]], "range"), ([[1]], "shape")],
)  # fmt: skip
def test_what_are_no_pixels_is_refused(value: object, code: str) -> None:
    with pytest.raises(SampleError) as caught:
        images.pixels(value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "array", [np.zeros((8, 8, 1), np.int64), np.zeros((8, 8), np.uint8), np.zeros((1, 8, 8, 1), np.uint8)]
)
def test_pixels_of_another_shape_or_type_are_refused(array: NDArray[np.uint8]) -> None:
    with pytest.raises(SampleError, match="wrong shape"):
        images.checked(array, 8, 8, 1)


def test_a_look_says_what_is_there_and_never_raises() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    seen = images.describe(encoded(Image.fromarray(levels)))
    assert (seen["readable"], seen["error"], seen["width"], seen["height"], seen["channels"]) == (True, None, 7, 5, 3)
    assert seen["mean"] == pytest.approx(levels.mean())
    assert seen["standard_deviation"] == pytest.approx(levels.std())
    for broken, why in (
        (b"spam", "not an image"),
        (encoded(Image.fromarray(levels))[:60], "damaged"),
        (_huge_png(), ""),
    ):
        seen = images.describe(broken)
        assert seen["readable"] is False
        assert why in str(seen["error"])


def test_serving_can_import_it_without_the_heavy_libraries() -> None:
    code = (
        "import sys, components.preprocessing.image\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'great_expectations', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
