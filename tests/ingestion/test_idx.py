"""idx files, good and broken."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts.dataset_layout import IdxLayout
from components.core.errors import SourceError
from components.ingestion import idx

LAYOUT = IdxLayout(kind="idx", images={"train": "i"}, labels={"train": "l"}, classes=["a", "b", "c"])


def images(count: int = 3, height: int = 2, width: int = 4) -> bytes:
    pixels = np.arange(count * height * width, dtype=np.uint8)
    return struct.pack(">IIII", 0x803, count, height, width) + pixels.tobytes()


def labels(numbers: bytes = b"\x02\x00\x01") -> bytes:
    return struct.pack(">II", 0x801, len(numbers)) + numbers


def write(folder: Path, image_file: bytes, label_file: bytes) -> Path:
    (folder / "i").write_bytes(image_file)
    (folder / "l").write_bytes(label_file)
    return folder


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_images_labels_and_ids(tmp_path: Path, pack: type[bytes]) -> None:
    samples = list(idx.samples(LAYOUT, write(tmp_path, pack(images()), pack(labels()))))
    assert [(sample.id, sample.split, sample.values["label"]) for sample in samples] == [
        ("train/000000", "train", "c"),
        ("train/000001", "train", "a"),
        ("train/000002", "train", "b"),
    ]
    with Image.open(io.BytesIO(samples[1].values["image"])) as image:
        assert (np.asarray(image) == np.arange(8, 16).reshape(2, 4)).all()


@pytest.mark.parametrize(
    ("image_file", "label_file", "what"),
    [
        (images()[:-1], labels(), "truncated"),
        (images()[:10], labels(), "truncated"),
        (images() + b"x", labels(), "goes on"),
        (images(), labels()[:-1], "truncated"),
        (images(), labels(b"\x00\x01"), "do not match"),
        (images(), labels(b"\x00\x01\x03"), "label without a class"),
        (labels(), labels(), "not the idx file"),
        (b"", labels(), "truncated"),
        (struct.pack(">IIII", 0x803, 3, 0, 4), labels(), "size of an image"),
        (gzip.compress(images(), mtime=0)[:-12], labels(), "truncated or damaged"),
        (gzip.compress(images(), mtime=0)[:8] + b"\xff" * 30, labels(), "truncated or damaged"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, image_file: bytes, label_file: bytes, what: str) -> None:
    folder = write(tmp_path, image_file, label_file)
    with pytest.raises(SourceError, match=what) as caught:
        list(idx.samples(LAYOUT, folder))
    assert caught.value.where is not None
    assert str(tmp_path) in caught.value.where


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        list(idx.samples(LAYOUT, tmp_path))
