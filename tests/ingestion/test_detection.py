"""Annotated images as tools write them: frames, names, encodings, formats; what does not fit is refused by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from components.contracts.dataset import FolderSource
from components.contracts.dataset_layout import Layout
from components.core.errors import SourceError
from components.drafting.recognise import recognise
from components.ingestion import sources
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample
from components.preprocessing import image

_ORIENTATION = 0x0112
_LAYOUT: TypeAdapter[Any] = TypeAdapter(Layout)


def read(folder: Path, layout: dict[str, Any], remarks: Remarks | None = None) -> list[Sample]:
    source = FolderSource(kind="folder", path=str(folder), layout=_LAYOUT.validate_python(layout))
    with sources.open_source(source, folder, remarks or Remarks()) as samples:
        return list(samples)


def photo(orientation: int, *, square: tuple[int, int, int, int] = (8, 4, 20, 12)) -> bytes:
    """A grey picture of 40x24 as stored, with a red square, and an orientation in EXIF."""
    pixels = np.full((24, 40, 3), 128, np.uint8)
    left, top, right, bottom = square
    pixels[top:bottom, left:right] = (255, 0, 0)
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def is_red(content: bytes, box: dict[str, Any]) -> bool:
    """Whether the box of the picture as preprocessing decodes it holds the red square, and nothing else."""
    with Image.open(io.BytesIO(content)) as opened:
        turned = opened.getexif().get(_ORIENTATION, 1) > 4
    height, width = (40, 24) if turned else (24, 40)
    pixels = image.decode(content, height, width, 3).astype(int)
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90)
    inside = np.zeros_like(red)
    inside[int(box["ymin"]) : int(box["ymax"]), int(box["xmin"]) : int(box["xmax"])] = True
    return bool(red[inside].mean() > 0.8 and not red[~inside].mean() > 0.05)


def coco(folder: Path, images: list[tuple[str, bytes]], size: tuple[int, int] | None = (40, 24)) -> Path:
    for name, content in images:
        path = folder / "images" / name.replace("\\", "/").rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    declared = {"width": size[0], "height": size[1]} if size else {}
    document = {
        "images": [{"id": number, "file_name": name, **declared} for number, (name, _) in enumerate(images)],
        "categories": [{"id": 1, "name": " square\n"}, {"id": 2, "name": "circle"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [8, 4, 12, 8]} for number in range(len(images))
        ],
    }
    (folder / "result.json").write_text(json.dumps(document))
    return folder


def test_boxes_of_pictures_as_stored_lie_on_their_objects(tmp_path: Path) -> None:
    coco(tmp_path, [(f"{orientation}.jpg", photo(orientation)) for orientation in range(1, 9)])
    found = recognise(tmp_path)
    assert found.layout == {"kind": "coco", "annotations": {"": "result.json"}, "images": {"": "images"}}
    samples = read(tmp_path, found.layout)
    assert len(samples) == 8
    for sample in samples:
        (box,) = sample.values["boxes"]
        assert box["label"] == "square"
        assert is_red(sample.values["image"], box), sample.id


def test_boxes_of_pictures_as_shown_stay(tmp_path: Path) -> None:
    coco(tmp_path, [("6.jpg", photo(6))], size=(24, 40))
    (sample,) = read(tmp_path, recognise(tmp_path).layout)
    assert [sample.values["boxes"][0][corner] for corner in ("xmin", "ymin", "xmax", "ymax")] == [8, 4, 20, 12]


def test_frames_that_differ_or_say_nothing(tmp_path: Path) -> None:
    coco(tmp_path, [("6.jpg", photo(6)), ("8.jpg", photo(8))])
    document = json.loads((tmp_path / "result.json").read_text())
    document["images"][1] |= {"width": 24, "height": 40}
    (tmp_path / "result.json").write_text(json.dumps(document))
    layout = recognise(tmp_path).layout
    with pytest.raises(SourceError, match="some boxes are of images as stored"):
        read(tmp_path, layout)
    coco(tmp_path, [("6.jpg", photo(6)), ("8.jpg", photo(8))], size=None)
    remarks = Remarks()
    assert len(read(tmp_path, layout, remarks)) == 2
    assert any("as shown is assumed" in line for line in remarks.lines())


def test_another_size_than_the_pictures_is_refused_unless_it_is_to_be_ignored(tmp_path: Path) -> None:
    coco(tmp_path, [("1.jpg", photo(1))], size=(80, 48))
    layout = recognise(tmp_path).layout
    with pytest.raises(SourceError, match="1 of 1 annotations are of an image of another size") as caught:
        read(tmp_path, layout)
    assert "1.jpg: 80x48, the image is 40x24" in str(caught.value.got)
    assert len(read(tmp_path, {**layout, "sizes": "ignore"})) == 1


@pytest.mark.parametrize(
    "name", ["images\\a.jpg", "images/a.jpg", "../../media/upload/a.jpg", "C:\\work\\images\\a.jpg", "a.jpg"]
)
def test_names_of_other_machines_are_found(tmp_path: Path, name: str) -> None:
    coco(tmp_path, [(name, photo(1))])
    (sample,) = read(tmp_path, recognise(tmp_path).layout)
    assert is_red(sample.values["image"], sample.values["boxes"][0])


def test_keypoints_and_captions_do_not_take_the_place_of_boxes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path / split, [(f"{split}.jpg", photo(1))])
        document = json.loads((tmp_path / split / "result.json").read_text())
        (tmp_path / split / "result.json").unlink()
        (tmp_path / f"instances_{split}.json").write_text(json.dumps(document))
        document["annotations"][0]["keypoints"] = [1, 2, 2]
        (tmp_path / f"person_keypoints_{split}.json").write_text(json.dumps(document))
    found = recognise(tmp_path)
    assert found.layout["annotations"] == {"train": "instances_train.json", "val": "instances_val.json"}
    assert [remark.partition(" is left out")[0] for remark in found.remarks] == [
        "person_keypoints_train.json",
        "person_keypoints_val.json",
    ]


def test_several_files_of_a_split_are_all_read_unless_they_share_pictures(tmp_path: Path) -> None:
    for part in "ab":
        coco(tmp_path / part, [(f"{part}.jpg", photo(1))])
        (tmp_path / part / "result.json").rename(tmp_path / f"train_{part}.json")
    coco(tmp_path / "t", [("t.jpg", photo(1))])
    (tmp_path / "t" / "result.json").rename(tmp_path / "test.json")
    found = recognise(tmp_path)
    assert found.layout["annotations"]["train"] == ["train_a.json", "train_b.json"]
    assert [sample.id for sample in read(tmp_path, found.layout)] == ["test/t.jpg", "train/a.jpg", "train/b.jpg"]
    (tmp_path / "train_c.json").write_bytes((tmp_path / "train_a.json").read_bytes())
    with pytest.raises(SourceError, match="two files of annotations of the same images"):
        recognise(tmp_path)


def test_files_whose_names_say_no_split_are_asked_for_by_name(tmp_path: Path) -> None:
    for part in ("spring", "autumn"):
        coco(tmp_path / part, [(f"{part}.jpg", photo(1))])
        (tmp_path / part / "result.json").rename(tmp_path / f"{part}.json")
    with pytest.raises(SourceError, match="which split is each of these 2 files") as caught:
        recognise(tmp_path)
    assert caught.value.got == "autumn.json (1 images); spring.json (1 images)"
    assert "annotations: {train: autumn.json, test: spring.json}" in str(caught.value.next_step)


def test_polygons_crowds_and_unused_categories(tmp_path: Path) -> None:
    coco(tmp_path, [("1.jpg", photo(1))])
    document = json.loads((tmp_path / "result.json").read_text())
    document["annotations"] = [
        {"id": 1, "image_id": "0", "category_id": "1", "segmentation": [[8, 4, 20, 4, 20, 12]]},
        {"id": 2, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ]
    (tmp_path / "result.json").write_text(json.dumps(document))
    layout = {"kind": "coco", "annotations": {"": "result.json"}, "images": {"": "images"}}
    remarks = Remarks()
    (sample,) = read(tmp_path, layout, remarks)
    assert is_red(sample.values["image"], sample.values["boxes"][0])
    assert [box.get("crowd", False) for box in sample.values["boxes"]] == [False, True]
    assert any(line.startswith("1 boxes of crowds are not learnt") for line in remarks.lines())
    document["annotations"][1] |= {"bbox": None, "segmentation": {"counts": [3], "size": [24, 40]}}
    (tmp_path / "result.json").write_text(json.dumps(document))
    remarks = Remarks()
    (sample,) = read(tmp_path, layout, remarks)
    assert len(sample.values["boxes"]) == 1
    assert any(line.startswith("1 crowds without a box") for line in remarks.lines())
    assert remarks.document()["categories have no box and are no classes"]["first"] == ["circle"]


def voc_xml(name: str, *, declaration: str = "", size: str = "") -> str:
    corners = "<xmin>8</xmin><ymin>4</ymin><xmax>20</xmax><ymax>12</ymax>"
    return f"{declaration}<annotation>{size}<object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("images", "annotations", "layout"),
    [
        ("JPEGImages", "Annotations", {"kind": "voc", "root": "."}),
        ("images", "annotations", {"kind": "voc", "root": ".", "images": "images", "annotations": "annotations"}),
        ("pics", "pics", {"kind": "voc", "root": "pics", "images": ".", "annotations": "."}),
    ],
)
def test_voc_is_known_by_its_content(tmp_path: Path, images: str, annotations: str, layout: dict[str, Any]) -> None:
    for folder in (images, annotations):
        (tmp_path / folder).mkdir(exist_ok=True)
    for number in range(3):
        (tmp_path / images / f"DSC_{number}.JPG").write_bytes(photo(1))
        if number:
            (tmp_path / annotations / f"dsc_{number}.xml").write_text(voc_xml("\n  car "))
    found = recognise(tmp_path)
    assert found.layout == layout
    remarks = Remarks()
    samples = read(tmp_path, found.layout, remarks)
    assert [(sample.id, sample.values["boxes"][0]["label"]) for sample in samples] == [
        ("DSC_1", "car"),
        ("DSC_2", "car"),
    ]
    (line,) = remarks.lines()
    assert line.startswith("1 images without an annotation are left out")
    background = read(tmp_path, {**layout, "unannotated": "background"})
    assert [len(sample.values["boxes"]) for sample in background] == [0, 1, 1]


def test_difficult_boxes_of_voc_carry_a_flag(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(6))  # a turned picture: the flag stays
    objects = voc_xml("car", size="<size><width>40</width><height>24</height></size>")
    odd = (
        objects.partition("<object>")[2]
        .partition("</annotation>")[0]
        .replace("<name>", "<difficult> 1</difficult><name>")
    )
    plain = odd.replace(" 1<", "0<")
    (tmp_path / "a.xml").write_text(objects.replace("</annotation>", f"<object>{odd}<object>{plain}</annotation>"))
    remarks = Remarks()
    (sample,) = read(tmp_path, {"kind": "voc", "images": ".", "annotations": "."}, remarks)
    assert [box.get("difficult") for box in sample.values["boxes"]] == [None, True, None]
    assert all(is_red(sample.values["image"], box) for box in sample.values["boxes"])
    (line,) = remarks.lines()
    assert line.startswith("1 boxes are difficult")
    (masks,) = read(tmp_path, {"kind": "voc", "images": ".", "annotations": ".", "masks": "rectangles"})
    assert sorted(masks.values["mask_classes"]) == ["background", "car"] or masks.values["mask_classes"]


def test_voc_in_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.jpg").write_bytes(photo(1))
        (tmp_path / split / "a.xml").write_text(voc_xml("car"))
    samples = read(tmp_path, recognise(tmp_path).layout)
    assert sorted((sample.id, sample.split) for sample in samples) == [
        ("test/a", "test"), ("train/a", "train"), ("valid/a", "validation"),
    ]  # fmt: skip


def test_an_annotation_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    declaration = '<?xml version="1.0" encoding="gb2312"?>'
    (tmp_path / "1.xml").write_bytes(voc_xml("猫", declaration=declaration).encode("gb2312"))
    layout = {"kind": "voc", "images": ".", "annotations": "."}
    (sample,) = read(tmp_path, layout)
    assert sample.values["boxes"][0]["label"] == "猫"
    (tmp_path / "1.xml").write_bytes(voc_xml("猫", declaration=declaration).encode("utf-16"))
    with pytest.raises(SourceError, match="the annotation is no XML"):
        read(tmp_path, layout)
    (tmp_path / "1.xml").write_text(voc_xml("cat", declaration='<?xml version="1.0" encoding="klingon"?>'))
    with pytest.raises(SourceError, match="the annotation is no XML"):
        read(tmp_path, layout)


def yolo(folder: Path, line: str, *, names: str = "names: [square, circle]\n") -> Path:
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        (folder / "images" / split / "a.jpg").write_bytes(photo(1))
        (folder / "images" / split / "b.jpg").write_bytes(photo(1))
        (folder / "labels" / split / "a.txt").write_text(line)
    if names:
        (folder / "data.yaml").write_text(names)
    return folder


@pytest.mark.parametrize("line", ["0 0.35 0.3333 0.3 0.3333\n", "0 0.2 0.1667 0.5 0.1667 0.5 0.5 0.2 0.5\n"])
def test_yolo(tmp_path: Path, line: str) -> None:
    found = recognise(yolo(tmp_path, line))
    assert found.task == "object-detection"
    remarks = Remarks()
    samples = read(tmp_path, found.layout, remarks)
    assert [sample.id for sample in samples] == ["train/a.jpg", "train/b.jpg", "val/a.jpg", "val/b.jpg"]
    assert [sample.split for sample in samples] == ["train", "train", "validation", "validation"]
    (box,) = samples[0].values["boxes"]
    assert box["label"] == "square"
    assert is_red(samples[0].values["image"], {key: round(box[key]) for key in ("xmin", "ymin", "xmax", "ymax")})
    (line,) = remarks.lines()
    assert line.startswith("2 images have no file of boxes")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("7 0.5 0.5 0.1 0.1", "a number without a class"),
        ("0 0.5 0.5 0.1", "a line that is no box"),
        ("0 300 200 50 40", "a box beyond its image"),
        ("zero 0.5 0.5 0.1 0.1", "a line that is no box"),
    ],
)
def test_lines_that_are_no_boxes_are_refused_with_their_place(tmp_path: Path, line: str, what: str) -> None:
    yolo(tmp_path, line)
    layout = {
        "kind": "yolo",
        "images": {"train": "images/train"},
        "labels": {"train": "labels/train"},
        "classes": ["square", "circle"],
    }
    with pytest.raises(SourceError, match=what) as caught:
        read(tmp_path, layout)
    assert str(caught.value.where).endswith("a.txt line 1")


def test_yolo_without_names_is_asked_for_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing names their classes"):
        recognise(yolo(tmp_path, "0 0.35 0.3333 0.3 0.3333\n", names=""))
