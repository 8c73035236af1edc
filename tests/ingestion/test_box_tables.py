"""CSV of boxes, as tools and tutorials write them: recognised, read, and refused by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.core.errors import SourceError
from components.drafting.draft_options import DraftOptions
from components.drafting.recognise import recognise
from components.ingestion.remarks import Remarks
from tests.ingestion.test_detection import is_red, photo, read

HEADERS = {  # and the red square of photo(1), (8, 4) to (20, 12) of 40x24
    "filename,width,height,class,xmin,ymin,xmax,ymax": "{}.jpg,40,24,square,8,4,20,12",
    "image,x,y,width,height,img_width,img_height,label": "{}.jpg,8,4,12,8,40,24,square",
    "ImageID,LabelName,XMin,XMax,YMin,YMax": "{},square,0.2,0.5,0.16666,0.5",
    "image_path;cx;cy;w;h;category": "{}.jpg;14;8;12;8;square",
    "path\tx1\ty1\tx2\ty2\tclass\tscore": "{}.jpg\t8\t4\t20\t12\tsquare\t0.5",
}


def write(folder: Path, header: str, lines: list[str], images: str = "images", name: str = "boxes.csv") -> Path:
    for letter in "abcd":
        (folder / images).mkdir(parents=True, exist_ok=True)
        (folder / images / f"{letter}.jpg").write_bytes(photo(1))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return folder


@pytest.mark.parametrize("header", HEADERS)
def test_tables_of_boxes_are_recognised_and_read(header: str, tmp_path: Path) -> None:
    line = HEADERS[header]
    write(tmp_path, header, [*(line.format(letter) for letter in "aabc")])
    found = recognise(tmp_path)
    assert (found.layout["kind"], found.task) == ("boxes", "object-detection")
    remarks = Remarks()
    samples = read(tmp_path, found.layout, remarks)
    assert [sample.id for sample in samples] == ["all/a.jpg", "all/b.jpg", "all/c.jpg"]
    assert [len(sample.values["boxes"]) for sample in samples] == [2, 1, 1]
    for sample in samples:
        corners = {key: value if key == "label" else round(value) for key, value in sample.values["boxes"][0].items()}
        assert (corners["label"], is_red(sample.values["image"], corners)) == ("square", True)
    assert remarks.lines() == ["1 images that are in no row of the table are left out (d.jpg)"]
    assert ("fractions" in " ".join(found.remarks)) == ("XMin" in header)
    assert any("score is left out" in remark for remark in found.remarks) == ("score" in header)
    single = recognise(tmp_path / "boxes.csv")
    assert single.layout == found.layout


def test_without_a_header_and_with_images_without_boxes(tmp_path: Path) -> None:
    """As keras-retinanet reads it; the file of classes beside it is no table of boxes."""
    lines = ["images/a.jpg,,,,,", "images/b.jpg,8,4,20,12,square", "images/b.jpg,8,4,20,12,round", "images/c.jpg,,,,,"]
    write(tmp_path, "", lines)
    (tmp_path / "classes.csv").write_text("square,0\nround,1\n")
    found = recognise(tmp_path)
    assert any("classes.csv" in remark for remark in found.remarks)
    samples = read(tmp_path, found.layout)
    assert [[box["label"] for box in sample.values["boxes"]] for sample in samples] == [[], ["square", "round"], []]


def test_tables_of_splits_have_their_own_folders_of_images(tmp_path: Path) -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    line = HEADERS[header]
    write(tmp_path, header, [line.format(letter) for letter in "abcd"], "images/train", "train_labels.csv")
    write(tmp_path, header, [line.format("a")], "images/test", "test_labels.csv")
    found = recognise(tmp_path)
    assert found.layout["image_folder"] == {"train": "images/train", "test": "images/test"}
    samples = read(tmp_path, found.layout)
    assert [(sample.id, sample.split) for sample in samples][:2] == [("test/a.jpg", "test"), ("train/a.jpg", "train")]
    beside = write(tmp_path / "roboflow", header, [line.format("a")], "train", "train/_annotations.csv")
    write(beside, header, [line.format("b")], "valid", "valid/_annotations.csv")
    samples = read(beside, recognise(beside).layout)
    assert [(sample.id, sample.split) for sample in samples] == [
        ("train/a.jpg", "train"), ("valid/b.jpg", "validation"),
    ]  # fmt: skip


def test_x_and_y_are_the_centre_where_corners_would_leave_the_image(tmp_path: Path) -> None:
    write(tmp_path, "image,x,y,w,h,class", ["a.jpg,0.35,0.3333,0.3,0.3333,square", "b.jpg,0.9,0.9,0.2,0.2,square"])
    found = recognise(tmp_path)
    assert (found.layout["form"], found.layout["unit"]) == ("centre_size", "fractions")
    assert any("are the centre" in remark for remark in found.remarks)
    box = {key: value if key == "label" else round(value)
           for key, value in read(tmp_path, found.layout)[0].values["boxes"][0].items()}  # fmt: skip
    assert is_red(photo(1), box)
    write(tmp_path / "unclear", "image,x,y,w,h,class", ["a.jpg,8,4,12,8,square"])
    assert any("taken as the upper left corner" in remark for remark in recognise(tmp_path / "unclear").remarks)


@pytest.mark.parametrize(
    ("line", "what", "keys"),
    [
        ("b.jpg,8,4,twenty,12,square", "a cell that is no number", {}),
        ("b.jpg,8,4,,12,square", "a cell that is no number", {}),
        ("b.jpg,8,4,20,12,", "a box without a label", {}),
        ("ghost.jpg,8,4,20,12,square", "no such image", {}),
        (",8,4,20,12,square", "no image", {}),
        ("../b.jpg,8,4,20,12,square", "no such image", {}),
        ("b.jpg,8,4,nan,12,square", "corners are not finite", {}),
        ("b.jpg,8,4,20,12,square", "a box beyond its image", {"unit": "fractions"}),
    ],
)
def test_what_is_no_box_is_refused_by_its_line(line: str, what: str, keys: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "image,x1,y1,x2,y2,class", ["a.jpg,8,4,20,12,square"])
    layout = {**recognise(tmp_path).layout, **keys}
    with (tmp_path / "boxes.csv").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(SourceError, match=what) as caught:
        read(tmp_path, layout)
    assert "line " in str(caught.value.where)
    with pytest.raises(SourceError, match="columns are missing"):
        read(tmp_path, {**layout, "label": "kind"})


def test_sizes_in_the_table_tell_the_frame_and_are_checked(tmp_path: Path) -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    write(tmp_path, header, [HEADERS[header].format("a")])
    (tmp_path / "images" / "a.jpg").write_bytes(photo(6))  # stored lying, as the table says
    layout = recognise(tmp_path).layout
    (sample,) = read(tmp_path, layout)
    assert is_red(sample.values["image"], sample.values["boxes"][0])
    write(tmp_path, header, [HEADERS[header].format("a").replace("40,24", "80,48")])
    with pytest.raises(SourceError, match="another size"):
        read(tmp_path, layout)


def test_a_named_task_reads_the_table_in_its_own_way(tmp_path: Path) -> None:
    write(tmp_path, "image,x1,y1,x2,y2,class", [f"{letter}.jpg,8,4,20,12,square" for letter in "abcd"])
    options = DraftOptions(None, frozenset(("row", "label")))
    assert recognise(tmp_path, options).layout["kind"] == "csv"
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(SourceError, match="its images are not there"):
        recognise(tmp_path)
