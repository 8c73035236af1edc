"""Image files of every usual kind, by their content; large ones, within their limit."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import image as images
from components.preprocessing import image_file
from components.preprocessing.image import Decoding
from tests.preprocessing.test_image import encoded

LEFT_AND_RIGHT = Image.new("RGB", (64, 48), (200, 40, 40))
LEFT_AND_RIGHT.paste((40, 40, 200), (32, 0, 64, 48))


def heif(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "media", "suffix"),
    [
        (encoded(LEFT_AND_RIGHT, "JPEG"), "JPEG", "image/jpeg", ".jpg"),
        (encoded(LEFT_AND_RIGHT.convert("CMYK"), "JPEG"), "JPEG", "image/jpeg", ".jpg"),
        (encoded(LEFT_AND_RIGHT, "MPO", save_all=True, append_images=[LEFT_AND_RIGHT]), "JPEG", "image/jpeg", ".jpg"),
        (encoded(LEFT_AND_RIGHT), "PNG", "image/png", ".png"),
        (encoded(LEFT_AND_RIGHT.convert("P")), "PNG", "image/png", ".png"),
        (encoded(LEFT_AND_RIGHT, "TIFF"), "TIFF", "image/tiff", ".tif"),
        (encoded(LEFT_AND_RIGHT, "WEBP"), "WEBP", "image/webp", ".webp"),
        (encoded(LEFT_AND_RIGHT, "AVIF"), "AVIF", "image/avif", ".avif"),
        (encoded(LEFT_AND_RIGHT, "GIF"), "GIF", "image/gif", ".gif"),
        (encoded(LEFT_AND_RIGHT, "BMP"), "BMP", "image/bmp", ".bmp"),
        (heif(LEFT_AND_RIGHT), "HEIF", "image/heic", ".heic"),
    ],
    ids=["jpeg", "cmyk", "mpo", "png", "palette", "tiff", "webp", "avif", "gif", "bmp", "heic"],
)
def test_every_usual_kind_is_read(content: bytes, kind: str, media: str, suffix: str) -> None:
    assert image_file.kind(content) == kind
    assert image_file.media(content) == (media, suffix)
    assert image_file.size(content) == (64, 48)
    pixels = images.decode(content, 8, 8, 3).astype(int)
    assert np.abs(pixels[:, 0] - [200, 40, 40]).max() < 30
    assert np.abs(pixels[:, 7] - [40, 40, 200]).max() < 30
    assert images.describe(content)["readable"] is True


def test_the_orientation_of_a_heic_photo_is_followed_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    photo = Image.new("RGB", (64, 32), (0, 0, 0))
    photo.paste((255, 255, 255), (0, 0, 32, 32))
    file = pillow_heif.from_pillow(photo)
    file.info["exif"] = exif.tobytes()
    file.save(stream, quality=95)
    assert image_file.size(stream.getvalue()) == (32, 64)
    decoded = images.read(stream.getvalue(), 8, 8, 1, Decoding())
    assert (decoded.width, decoded.height) == (32, 64)
    assert decoded.pixels[:3].min() > 200
    assert decoded.pixels[5:].max() < 50


def test_a_very_large_jpeg_is_decoded_at_a_part_of_its_size() -> None:
    large = LEFT_AND_RIGHT.resize((1600, 1200))
    content = encoded(large, "JPEG", quality=90)
    limit = Decoding(max_pixels=1_000_000)
    decoded = images.read(content, 48, 64, 3, limit)
    assert (decoded.width, decoded.height) == (1600, 1200)
    assert image_file.read(content, max_pixels=1_000_000, target=(64, 48)).image.size == (200, 150)
    whole = images.read(content, 48, 64, 3, Decoding()).pixels
    assert np.abs(decoded.pixels.astype(int) - whole)[:, [*range(28), *range(36, 64)]].max() < 8
    seen = images.describe(content, limit, (64, 48))
    assert (seen["readable"], seen["width"], seen["height"]) == (True, 1600, 1200)


def test_an_image_within_the_limit_is_decoded_as_a_whole() -> None:
    content = encoded(LEFT_AND_RIGHT.resize((640, 480)), "JPEG")
    assert image_file.read(content, target=(8, 8)).image.size == (640, 480)


@pytest.mark.parametrize(
    "content",
    [
        encoded(LEFT_AND_RIGHT.resize((1600, 1200))),
        encoded(LEFT_AND_RIGHT.resize((1600, 1200)), "JPEG", progressive=True),  # libjpeg keeps all of it in memory
        encoded(Image.new("L", (4000, 4000)), "JPEG"),
    ],
    ids=["png", "progressive", "far beyond the limit"],
)
def test_what_cannot_be_reduced_is_refused_and_the_setting_named(content: bytes) -> None:
    with pytest.raises(SampleError, match="too many pixels") as caught:
        images.read(content, 48, 64, 3, Decoding(max_pixels=1_000_000))
    assert caught.value.expected == "at most 1,000,000 pixels (input.max_megapixels of dataset.yaml)"
    seen = images.describe(content, Decoding(max_pixels=1_000_000))
    assert seen["readable"] is False
    assert str(seen["error"]).startswith("too many pixels: ")
    assert (seen["width"], seen["height"]) == image_file.size(content)


def test_arrays_larger_than_a_reduced_image_are_made_of_a_larger_one() -> None:
    content = encoded(LEFT_AND_RIGHT.resize((1600, 1200)), "JPEG")
    found = image_file.read(content, max_pixels=1_000_000, target=(700, 500))
    assert found.image.size == (800, 600)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"II*\x00" + bytes(60), "TIFF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(400), "HEIF"),
        (heif(LEFT_AND_RIGHT)[:-300], "damaged|HEIF"),
        (encoded(LEFT_AND_RIGHT, "AVIF")[:-100], "damaged|AVIF"),
        (encoded(LEFT_AND_RIGHT, "WEBP")[:-50], "damaged|WEBP"),
    ],
    ids=["tiff", "heic", "cut heic", "cut avif", "cut webp"],
)
def test_damaged_files_are_refused_with_their_kind(content: bytes, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        images.decode(content, 8, 8, 3)
    assert images.describe(content)["readable"] is False


def test_a_thumbnail_is_a_small_png_of_any_kind() -> None:
    for content in (encoded(LEFT_AND_RIGHT, "JPEG"), encoded(Image.fromarray(np.eye(40, dtype=np.float32)), "TIFF")):
        small = images.thumbnail(content, 16)
        assert small is not None
        with Image.open(io.BytesIO(small)) as opened:
            assert max(opened.size) == 16
            assert opened.getextrema() != ((0, 0),) * 3
    assert images.thumbnail(b"spam", 16) is None


def test_the_heic_reader_is_imported_where_a_heic_file_is_met() -> None:
    code = (
        "import io, sys\nfrom PIL import Image\nfrom components.preprocessing import image\n"
        "out = io.BytesIO(); Image.new('L', (8, 8)).save(out, 'PNG'); image.decode(out.getvalue(), 8, 8, 1)\n"
        "print(sorted({'pillow_heif', 'soundfile', 'soxr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
