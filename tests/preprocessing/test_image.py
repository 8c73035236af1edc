"""Image files become tensors; what is no image is refused."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from components.contracts.errors import SampleError
from components.preprocessing.image import ImageProcessor

GREY = ImageProcessor(height=8, width=8, channels=1, mean=[0.5], std=[0.25])
COLOUR = ImageProcessor(height=8, width=8, channels=3, mean=[0.5] * 3, std=[0.25] * 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_grey_comes_through_untouched(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    tensor = GREY.decode(encoded(Image.fromarray(pixels), kind))
    assert tensor.shape == (8, 8, 1)
    assert tensor.dtype == np.uint8
    assert (tensor[..., 0] == pixels).all()


def test_colour_comes_through_untouched_and_grey_is_its_luma() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    content = encoded(Image.fromarray(pixels))
    assert (COLOUR.decode(content) == pixels).all()
    luma = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(GREY.decode(content)[..., 0] - luma).max() <= 1


def test_grey_in_colour_has_three_equal_channels() -> None:
    tensor = COLOUR.decode(encoded(Image.new("L", (8, 8), 77)))
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
    assert (GREY.decode(content) == level).all()
    assert (COLOUR.decode(content) == level).all()


def test_other_sizes_are_resized() -> None:
    image = Image.new("L", (64, 32), 0)
    image.paste(255, (32, 0, 64, 32))
    tensor = GREY.decode(encoded(image))[..., 0]
    assert (tensor[:, :3] == 0).all()
    assert (tensor[:, 5:] == 255).all()


def test_the_orientation_of_a_photo_is_followed() -> None:
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    tensor = GREY.decode(encoded(image, "JPEG", exif=exif, quality=95))[..., 0]
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
        GREY.decode(content)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(SampleError, match=r"too many pixels|damaged"):
        GREY.decode(_huge_png())
    content = encoded(Image.new("L", (101, 100)))
    with pytest.raises(SampleError, match="too many pixels") as caught:
        GREY.decode(content, max_pixels=10_000)
    assert caught.value.got == "101x100"


def test_a_batch_is_its_samples_and_names_the_one_that_fails() -> None:
    contents = [encoded(Image.new("L", (8, 8), level)) for level in (1, 2, 3)]
    assert (GREY.batch(contents)[:, 0, 0, 0] == [1, 2, 3]).all()
    assert GREY.batch([]).shape == (0, 8, 8, 1)
    with pytest.raises(SampleError) as caught:
        GREY.batch([contents[0], b"spam"])
    assert caught.value.where == "image 1"


def test_the_processor_survives_json() -> None:
    assert ImageProcessor.model_validate_json(COLOUR.model_dump_json()) == COLOUR


@pytest.mark.parametrize("change", [{"mean": []}, {"std": [0.0]}, {"channels": 2}, {"spam": 1}])
def test_a_processor_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ImageProcessor.model_validate({**GREY.model_dump(), **change})


def test_serving_can_import_it_without_the_heavy_libraries() -> None:
    code = (
        "import sys, components.preprocessing.image\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'great_expectations', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
