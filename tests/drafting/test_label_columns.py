"""Sets of labels in tables and masks beside images are recognised, and what looks like them is not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.core.errors import SourceError
from components.core.project import Project
from components.drafting import columns, draft
from components.drafting.recognise import recognise
from components.tasks import find
from components.tasks.dataset_file import open_dataset
from tests import small_package
from tests.drafting.test_recognise import parquet, put, table

TAGS = ("red", "big", "old")
TEXT, IMAGE = "multi-label-text-classification", "multi-label-image-classification"


def tags(number: int) -> list[str]:
    return [name for place, name in enumerate(TAGS) if number >> place & 1]


def flags(number: int) -> str:
    return ",".join(str(number >> place & 1) for place in range(3))


def lines(number: int) -> str:
    return json.dumps({"id": number, "text": f"a fine text {number}", "labels": tags(number)})


TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "kaggle": ({"a.csv": table(60, lambda i: f'{i:x},"a fine text, {i}",{flags(i)}', "id,comment_text,red,big,old")},
               {"text": "comment_text", "labels": list(TAGS)}),
    "semicolons": ({"a.csv": table(60, lambda i: f"a fine text {i},{';'.join(tags(i))}", "text,genres")},
                   {"text": "text", "labels": "genres", "labels_separator": ";"}),
    "bars": ({"a.tsv": table(60, lambda i: f"a fine text {i}\t{' | '.join(tags(i))}", "text\tkinds")},
             {"text": "text", "labels": "kinds", "labels_separator": "|"}),
    "json": ({"a.tsv": table(60, lambda i: f"a fine text {i}\t{json.dumps(tags(i))}", "text\ttags")},
             {"labels": "tags", "labels_separator": "json"}),
    "python": ({"a.tsv": table(60, lambda i: f"a fine text {i}\t{tags(i)}", "text\ttags")},
               {"labels": "tags", "labels_separator": "python"}),
    "lines": ({"a.jsonl": table(60, lines)}, {"kind": "jsonl", "text": "text", "labels": "labels"}),
    "parquet": ({"a.parquet": parquet({"text": [f"a fine text {i}" for i in range(60)],
                                       "labels": [tags(i) for i in range(60)]})},
                {"text": "text", "labels": "labels"}),
    "pictures": ({"a.csv": table(30, lambda i: f"{i}.png,{' '.join(tags(i))}", "image_name,tags"),
                  **{f"{i}.png": small_package.image(i % 9) for i in range(30)}},
                 {"image": "image_name", "labels": "tags", "labels_separator": " "}),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_sets_of_labels_are_recognised(kind: str, tmp_path: Path) -> None:
    files, expected = TABLES[kind]
    found = recognise(put(tmp_path, files))
    assert found.task == (IMAGE if kind == "pictures" else TEXT)
    assert {key: found.layout.get(key) for key in expected} == expected
    assert "label" not in found.layout
    assert "rows have no label: they are samples of none" in found.why


SINGLE = {
    "commas in one label": table(60, lambda i: f'a fine text {i},"{("Albany, NY", "Paris, FR")[i % 2]}"', "text,label"),
    "a label and a flag": table(
        60, lambda i: f"a fine text {i},{i % 2},{i % 3 % 2},{i % 5 % 2}", "text,label,seen,new"
    ),
    "one flag": table(60, lambda i: f"a fine text {i},{i % 2}", "text,spam"),
    "tags of one each": table(60, lambda i: f"a fine text {i},{TAGS[i % 3]}", "text,tags"),
    "names": table(
        60, lambda i: f'"{i} fine, old texts",{"good" if i % 2 else "bad"},"Name {i}, Other"', "text,label,by"
    ),
}


@pytest.mark.parametrize("kind", SINGLE)
def test_what_has_one_label_a_sample_stays_so(kind: str, tmp_path: Path) -> None:
    found = recognise(put(tmp_path, {"a.csv": SINGLE[kind]}))
    assert found.task == "text-classification"
    assert ("no cell of tags has several labels" in found.why) == (kind == "tags of one each")


def test_lists_of_one_label_each_are_said_to_be(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "a.csv": table(
                60, lambda i: f"text no {i}," + ",".join(str(int(i % 3 == k)) for k in range(3)), "text,a,b,c"
            )
        },
    )
    assert "every row has exactly one label" in columns.recognise(tmp_path / "a.csv", "csv").why
    data = parquet({"text": [f"a fine text {i}" for i in range(60)], "labels": [[TAGS[i % 3]] for i in range(60)]})
    put(tmp_path, {"a.parquet": data})
    assert "every row has exactly one label" in columns.recognise(tmp_path / "a.parquet", "parquet").why


def picture(shade: int, size: tuple[int, int] = (12, 8)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3) + shade).save(
        stream, "PNG"
    )
    return stream.getvalue()


def numbers(*values: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.resize(np.array(values, np.uint8), (8, 12, *np.shape(values[0])))).save(stream, "PNG")
    return stream.getvalue()


MASKS: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "two folders": (
        {f"data/{kind}/{i}.png": picture(i) if kind == "images" else numbers(0, 1, 2, 255)
         for i in range(6) for kind in ("images", "masks")},
        {"images": "data/images", "masks": "data/masks", "classes": ["background", "class 1", "class 2"],
         "ignore": 255},
        "the names of the classes are made up"),
    "names from a file": (
        {f"{kind}/{i}{end}": picture(i) if kind == "imgs" else numbers(0, 1)
         for i in range(6) for kind, end in (("imgs", ".png"), ("gt", "_gt.png"))} | {"classes.txt": "sea\nship\n"},
        {"mask_suffix": "_gt", "classes": ["sea", "ship"]}, "are from classes.txt"),
    "one folder": (
        {f"{i}{end}": picture(i) if end == ".png" else numbers(0, 255)
         for i in range(6) for end in (".png", "_mask.png")},
        {"images": ".", "masks": ".", "mask_suffix": "_mask", "classes": {"background": 0, "foreground": 255}}, ""),
    "colours and splits": (
        {f"{kind}/{split}/{i}.png": picture(i) if kind == "images" else numbers([0, 0, 0], [255 * (i > 0), 0, 0])
         for i in range(3) for split in ("train", "val") for kind in ("images", "labels")},
        {"images": {"train": "images/train", "val": "images/val"},
         "classes": {"background": [0, 0, 0], "#ff0000": [255, 0, 0]}}, "are their colours"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_masks_are_recognised(kind: str, tmp_path: Path) -> None:
    files, expected, note = MASKS[kind]
    found = recognise(put(tmp_path, files))
    assert found.task == "semantic-segmentation"
    assert {key: found.layout.get(key) for key in expected} == expected
    assert any(note in remark for remark in found.remarks)


def mask(*levels: int, stray: int | None = None) -> bytes:
    """A mask of 60 x 40 pixels of these levels in turn, and one pixel of another."""
    found = np.resize(np.array(levels, np.uint8), (40, 60))
    if stray is not None:
        found[3, 5] = stray
    stream = io.BytesIO()
    Image.fromarray(found).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("levels", "listed", "classes", "ignore"),
    [
        ((0, 1, 2), None, {"background": 0, "class 1": 1, "class 2": 2, "class 7": 7}, None),
        ((0, 1, 255), None, {"background": 0, "foreground": 1, "class 7": 7}, 255),
        ((0, 255), None, {"background": 0, "class 7": 7, "foreground": 255}, None),
        ((0, 1, 2), "sea\nship\nshore\n", {"sea": 0, "ship": 1, "shore": 2, "class 7": 7}, None),
    ],
)
def test_a_level_of_a_few_pixels_is_asked_about(
    levels: tuple[int, ...], listed: str | None, classes: dict[str, int], ignore: int | None, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {f"images/{i}.png": picture(i, (60, 40)) for i in range(6)}
    files |= {f"masks/{i}.png": mask(*levels, stray=7 if i == 4 else None) for i in range(6)}
    found = recognise(put(tmp_path, files | ({"classes.txt": listed} if listed else {})))
    assert (found.layout["classes"], found.layout.get("ignore")) == (classes, ignore)
    said = "; ".join(found.remarks)
    assert "is the level 7 a class? 1 pixels in 1 of 6 masks (4.png) have it" in said
    assert ("write `ignore: 7`" in said) == (ignore is None)
    assert f"0 ({(40 * 60 // len(levels)) / 2400:.1%}"[:5] in said
    clean = {name: mask(*levels) if name == "masks/4.png" else content for name, content in files.items()}
    assert "a class?" not in "; ".join(recognise(put(tmp_path / "clean", clean)).remarks)


def test_folders_that_are_only_named_as_of_masks_are_no_masks(tmp_path: Path) -> None:
    faces = {f"{kind}/{kind}{i}.png": picture(i) for i in range(6) for kind in ("with mask", "without")}
    assert recognise(put(tmp_path / "faces", faces)).task == "image-classification"
    alike = {f"{kind}/{i}.png": picture(i) for i in range(6) for kind in ("mask", "clean")}
    assert recognise(put(tmp_path / "alike", alike)).task == "image-classification"
    shaded = {f"{kind}/{i}.png": picture(i) for i in range(6) for kind in ("images", "masks")}
    with pytest.raises(SourceError, match="the pixels of the masks are no classes"):
        recognise(put(tmp_path / "shaded", shaded))


def test_numbers_of_classes_in_lists_have_the_names_of_the_metadata(tmp_path: Path) -> None:
    names = {"names": ["sad", "glad", "mad"], "_type": "ClassLabel"}
    features = {"labels": {"feature": names, "_type": "Sequence"}, "text": {"dtype": "string", "_type": "Value"}}
    rows = pa.table({"text": [f"a fine text {i}" for i in range(60)],
                     "labels": [[k for k in range(3) if i >> k & 1] for i in range(60)]})  # fmt: skip
    rows = rows.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(rows, tmp_path / "a.parquet")
    found = recognise(tmp_path)
    assert found.task == TEXT
    assert (found.layout["labels"], found.layout["classes"]) == ("labels", names["names"])


def test_json_lines_with_one_label_each_are_recognised(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"a fine text {i}", "label": ("good", "bad")[i % 2]}) for i in range(60)]
    found = recognise(put(tmp_path, {"train.jsonl": "\n".join(rows), "test.jsonl": "\n".join(rows)}))
    assert found.task == "text-classification"
    assert found.layout["files"] == {"train": "train.jsonl", "test": "test.jsonl"}


def test_a_column_that_is_nearly_of_0_and_1_is_said(tmp_path: Path) -> None:
    lines = table(60, lambda i: f"a fine text {i},{i % 2},{i % 3 % 2},{-1 if i == 7 else i % 2}", "text,a,b,c")
    found = recognise(put(tmp_path, {"a.csv": lines}))
    assert found.layout["labels"] == ["a", "b"]
    assert "c is nearly a column of 0 and 1 (1 of the first 60 cells are not, such as '-1')" in found.why


def test_segments_of_coco_are_drafted_as_masks_by_the_task_that_is_named(tmp_path: Path) -> None:
    corners = [2, 2, 9, 2, 9, 6, 2, 6]
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 12, "height": 8} for i in range(12)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "segmentation": [corners]} for i in range(12)],
    }
    files: dict[str, str | bytes] = {f"images/{i}.png": picture(i) for i in range(12)}
    source = put(tmp_path / "source", {**files, "annotations.json": json.dumps(document)})
    root = put(tmp_path / "project", {"params.yaml": "datasets:\n  - digits\n", "pipelines/keep": "", "data/keep": ""})
    made = draft.write(Project(root), "cars", source, "semantic-segmentation")
    assert (made.samples, made.labels) == (12, 2)
    spec, task, settings = open_dataset(root / "data/cars")
    assert spec.source.layout.masks == "segments"  # type: ignore[union-attr]
    assert (settings.height, settings.width) == (16, 16)
    assert task is find("semantic-segmentation")
