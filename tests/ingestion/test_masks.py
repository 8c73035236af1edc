"""Images with masks: folders of them, COCO's segments, boxes painted into masks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from components.contracts.dataset_layout import Layout
from components.core.errors import SourceError
from components.ingestion import run_lengths, sources
from components.ingestion.coco_masks import polygons
from components.ingestion.remarks import Remarks
from components.preprocessing import mask

_LAYOUT: TypeAdapter[Any] = TypeAdapter(Layout)
NUMBERS = np.array([[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [255, 0, 0, 0, 2]], np.uint8)
CLASSES = ["ground", "car", "tree"]


def picture(width: int, height: int, orientation: int = 1) -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), (9, 9, 9)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def png(numbers: np.ndarray, mode: str = "L") -> bytes:
    image = Image.fromarray(numbers)
    if mode == "P":
        image = Image.fromarray(numbers, "L").convert("P")
        image.putpalette(mask.palette(256).tobytes())
        image.putdata(numbers.ravel().tolist())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def read(root: Path, **layout: Any) -> tuple[list[Any], list[str]]:
    remarks = Remarks()
    return list(sources._read(_LAYOUT.validate_python(layout), root, remarks)), remarks.lines()


def named(sample: Any) -> list[list[str]]:
    """The names of a sample's pixels."""
    names = {int(number): name for number, name in sample.values["mask_classes"].items()}
    return [[names.get(number, "-") for number in row] for row in mask.decode(sample.values["mask"]).tolist()]


TRUTH = [["-" if number == 255 else CLASSES[number] for number in row] for row in NUMBERS.tolist()]


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("mode", ["L", "P", "grey in three channels", "colours"])
def test_masks_of_every_kind_are_the_same_numbers(mode: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"classes": CLASSES, "ignore": 255}
    if mode == "colours":
        colours = {"ground": [0, 0, 0], "car": [250, 0, 0], "tree": [0, 99, 1]}
        pixels = np.array([*colours.values(), *[[9, 9, 9]] * 252, [255, 255, 255]], np.uint8)[NUMBERS]
        content, keys = png(pixels), {"classes": colours, "ignore": [255, 255, 255]}
    elif mode == "L" or mode == "P":
        content = png(NUMBERS, mode)
    else:
        content = png(np.repeat(NUMBERS[..., None], 3, axis=2))
    files = {"images/a.jpg": picture(5, 3), "images/b.jpg": picture(5, 3), "masks/a_mask.png": content}
    (sample,), said = read(put(tmp_path, files), kind="masks", mask_suffix="_mask", **keys)
    assert sample.id == "a"
    assert named(sample) == TRUTH
    assert said == ["1 images without a mask are left out (b.jpg)"]


def test_masks_in_splits_and_in_one_folder(tmp_path: Path) -> None:
    files = {f"{split}/{i}{s}": c for split in ("train", "val") for i in (1, 2)
             for s, c in ((".jpg", picture(5, 3)), ("_gt.png", png(NUMBERS)))}  # fmt: skip
    each = {"train": "train", "val": "val"}
    keys = {"images": each, "masks": each, "mask_suffix": "_gt", "classes": [*CLASSES, "sky"], "ignore": 255}
    samples, said = read(put(tmp_path, files), kind="masks", **keys)
    assert [(one.id, one.split) for one in samples] == [
        ("train/1", "train"), ("train/2", "train"), ("val/1", "validation"), ("val/2", "validation")
    ]  # fmt: skip
    assert said == ["1 classes have no pixel and are no classes of the data (sky)"]


def test_sizes_that_differ_and_values_of_no_class_are_refused_by_name(tmp_path: Path) -> None:
    files = {"images/a.jpg": picture(5, 3), "masks/a.png": png(NUMBERS), "images/b.jpg": picture(6, 3),
             "masks/b.png": png(NUMBERS)}  # fmt: skip
    put(tmp_path, files)
    with pytest.raises(SourceError, match="1 of 2 masks are not of the size of their images") as caught:
        read(tmp_path, kind="masks", classes=CLASSES, ignore=255)
    assert caught.value.got == "b.png: 5x3, the image is 6x3"
    with pytest.raises(SourceError, match="pixels of 2 values that are no class") as caught:
        read(tmp_path, kind="masks", classes=CLASSES[:2])
    assert caught.value.got.startswith("2: 6 pixels in 2 masks (a.png, …); 255: 2 pixels in 2 masks")
    assert "ignore" in caught.value.next_step
    (tmp_path / "images/b.jpg").unlink()
    with pytest.raises(SourceError, match="1 masks without an image"):
        read(tmp_path, kind="masks", classes=CLASSES, ignore=255)
    (tmp_path / "masks/b.png").unlink()
    (tmp_path / "masks/a.png").write_bytes(png(NUMBERS)[:40])
    with pytest.raises(SourceError, match="the mask cannot be read"):
        read(tmp_path, kind="masks", classes=CLASSES, ignore=255)
    (tmp_path / "masks/a.png").write_bytes(png(np.full((3, 5, 3), [1, 2, 3], np.uint8)))
    with pytest.raises(SourceError, match="a mask in colours"):
        read(tmp_path, kind="masks", classes=CLASSES)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"classes": {"a": [0, 0], "b": [1, 1, 1]}}, "colour"),
        ({"classes": {"a": 1, "b": 1}}, "twice"),
        ({"classes": ["a", "b"], "ignore": 1}, "of a class"),
        ({"classes": ["a", "b"], "ignore": [0, 0, 0]}, "ignore"),
        ({"classes": ["a", "b"], "images": "x", "masks": "x"}, "mask_suffix"),
        ({"classes": ["a", "b"], "images": {"train": "x"}}, "different splits"),
        ({"classes": ["a"]}, "at least 2"),
    ],
)
def test_layouts_that_cannot_be_are_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        _LAYOUT.validate_python({"kind": "masks", **keys})


def test_the_mask_of_a_stored_image_is_turned_with_it(tmp_path: Path) -> None:
    put(tmp_path, {"images/a.jpg": picture(5, 3, 6), "masks/a.png": png(NUMBERS)})
    (sample,), said = read(tmp_path, kind="masks", classes=CLASSES, ignore=255)
    assert named(sample) == [list(row) for row in zip(*TRUTH[::-1], strict=True)]  # clockwise
    assert any("turned with them" in line for line in said)


def test_run_lengths_are_those_of_the_published_format() -> None:
    flags = np.random.default_rng(0).random((7, 5)) < 0.4
    flat = flags.T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    runs = np.diff([0, *changes, flat.size]).tolist()
    assert (run_lengths.decode({"size": [7, 5], "counts": runs}) == flags).all()
    assert (run_lengths.decode({"size": [7, 5], "counts": run_lengths.compress(runs)}) == flags).all()
    # A mask of 9x10, worked out by hand from the format: differences to the number before the last from the fourth on.
    assert run_lengths.expand("61X13mN000`0") == [6, 1, 40, 4, 5, 4, 5, 4, 21]
    assert run_lengths.expand(run_lengths.compress([0, 100_000, 3, 70, 2])) == [0, 100_000, 3, 70, 2]
    for wrong in ({"size": [7, 5], "counts": [1]}, {"counts": [1]}, {"size": [1, 1], "counts": "\x01"}, 3):
        with pytest.raises(ValueError, match=r"runs|run lengths|character"):
            run_lengths.decode(wrong)
    with pytest.raises(ValueError, match="inside a number"):
        run_lengths.expand("6X")


def test_a_polygon_has_the_pixels_whose_centres_are_in_it() -> None:
    square = polygons([[2, 1, 6, 1, 6, 4, 2, 4]], 8, 6)
    assert square.sum() == 12
    assert square[1:4, 2:6].all()
    triangle = polygons([[0, 0, 8, 0, 0, 8]], 8, 8)
    assert triangle.sum() in (28, 36)  # centres on the border belong to one side
    with pytest.raises(ValueError, match="a polygon of 4 numbers"):
        polygons([[0, 0, 1, 1]], 8, 8)


def test_segments_of_coco_are_painted_small_ones_above(tmp_path: Path) -> None:
    crowd = {"size": [6, 8], "counts": [0, 6, 42]}
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}],
        "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "tree"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 4, "segmentation": [[4, 2, 6, 2, 6, 4, 4, 4]]},
            {"id": 2, "image_id": 1, "category_id": 3, "segmentation": [[2, 1, 7, 1, 7, 5, 2, 5]]},
            {"id": 3, "image_id": 1, "category_id": 4, "iscrowd": 1, "segmentation": crowd},
        ],
    }
    put(tmp_path, {"a.jpg": picture(8, 6), "c.json": json.dumps(document).encode()})
    keys = {"kind": "coco", "annotations": {"": "c.json"}, "images": {"": "."}, "masks": "segments"}
    (sample,), said = read(tmp_path, **keys)
    rows = named(sample)
    assert [row[0] for row in rows] == ["tree"] * 6
    assert (rows[2][4], rows[1][2], rows[0][7]) == ("tree", "car", "background")
    assert sum(name == "car" for row in rows for name in row) == 16
    assert any("partly above larger ones" in line for line in said)
    document["annotations"][0]["segmentation"] = {"size": [6, 8], "counts": [3]}
    put(tmp_path, {"c.json": json.dumps(document).encode()})
    with pytest.raises(SourceError, match="cannot be painted") as caught:
        read(tmp_path, **keys)
    assert caught.value.where.endswith("annotation 1")


def test_boxes_of_voc_are_painted_as_ellipses(tmp_path: Path) -> None:
    corners = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>18</xmax><ymax>10</ymax></bndbox>"
    xml = f"<annotation><object><name>cell</name>{corners}</object></annotation>"
    put(tmp_path, {"JPEGImages/a.jpg": picture(20, 12), "Annotations/a.xml": xml.encode()})
    for shape, area in (("ellipses", np.pi * 8 * 4), ("rectangles", 128)):
        (sample,), _ = read(tmp_path, kind="voc", masks=shape)
        assert sample.values["mask_classes"] == {"0": "background", "1": "cell"}
        assert abs((mask.decode(sample.values["mask"]) == 1).sum() - area) <= 4
    assert "masks" not in _LAYOUT.validate_python({"kind": "voc"}).model_dump(mode="json")
    assert "masks" not in _LAYOUT.validate_python({"kind": "coco", "annotations": {}, "images": {}}).model_dump()
