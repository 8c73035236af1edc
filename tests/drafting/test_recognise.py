"""Small files of every kind: which task they are for, and how they lie; what is nothing is said to be nothing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.errors import SourceError
from components.drafting.recognise import recognise
from components.ingestion import visible_files
from tests import small_package

PNG = small_package.image(0)


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    """Files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def table(rows: int, line: Callable[[int], str], head: str = "") -> str:
    return "\n".join([*([head] if head else []), *(line(number) for number in range(rows))]) + "\n"


def parquet(columns: dict[str, list[Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


CONLL = "\n".join(["John B-person", "lives O", "in O", "New B-place", "York I-place", "", "He O", "sleeps O"]) + "\n"
COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []})
WORDS = ("fine film , really", "a bad one indeed")
FOLDERS: dict[str, tuple[dict[str, str | bytes], str, dict[str, Any]]] = {
    "class folders": ({"cat/1.png": PNG, "dog/2.png": PNG}, "image-classification", {"kind": "folder"}),
    "class folders in splits": (
        {"train/cat/1.png": PNG, "train/dog/2.png": PNG, "test/cat/3.png": PNG},
        "image-classification",
        {"kind": "folder", "splits": True},
    ),
    "Pascal VOC": (
        {"B/JPEGImages/a.jpg": PNG, "B/Annotations/a.xml": "<annotation/>", "B/ImageSets/Main/train.txt": "a"},
        "object-detection",
        {"kind": "voc", "root": "B"},
    ),
    "COCO": (
        {"train/a.jpg": PNG, "annotations/instances_train.json": COCO},
        "object-detection",
        {"kind": "coco", "annotations": {"": "annotations/instances_train.json"}, "images": {"": "train"}},
    ),
    "WAV by folder": (
        {"yes/1.wav": b"R", "no/2.wav": b"R", "README.md": "x"},
        "sound-classification",
        {"kind": "wav", "root": ".", "pattern": "{label}/{name}.wav"},
    ),
    "WAV by name": (
        {"recordings/1_ann_0.wav": b"R", "recordings/2_bob_0.wav": b"R", "README.md": "x"},
        "sound-classification",
        {"kind": "wav", "root": "recordings", "pattern": "{label}_{part_2}_{part_3}.wav"},
    ),
    "CoNLL": (
        {"wnut17train.conll": CONLL, "emerging.dev.conll": CONLL, "emerging.test.annotated": CONLL, "README.md": "x"},
        "token-classification",
        {
            "kind": "conll",
            "files": {
                "train": "wnut17train.conll",
                "dev": "emerging.dev.conll",
                "test": "emerging.test.annotated",
            },
        },
    ),
    "pairs": (
        {"train.de": "ein\n", "train.en": "a\n", "val.de": "ein\n", "val.en": "a\n", "README.md": "x"},
        "translation",
        {
            "kind": "pairs",
            "source": {"train": "train.en", "val": "val.en"},
            "target": {"train": "train.de", "val": "val.de"},
        },
    ),
    "tables by split": (
        {f"{split}.tsv": table(40, lambda i: f"{WORDS[i % 2]}\t{i % 2}") for split in ("train", "dev", "test")},
        "text-classification",
        {
            "kind": "tsv",
            "files": {"dev": "dev.tsv", "test": "test.tsv", "train": "train.tsv"},
            "text": "column_0",
            "label": "column_1",
            "header": False,
            "columns": ["column_0", "column_1"],
        },
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_folders(kind: str, tmp_path: Path) -> None:
    files, task, layout = FOLDERS[kind]
    found = recognise(put(tmp_path, files))
    assert (found.task, found.layout) == (task, layout)


TABLES: dict[str, tuple[str, str | bytes, str, dict[str, Any]]] = {
    "texts and labels": (
        "a.csv", table(40, lambda i: f'{i},"{WORDS[i % 2]}",{"good" if i % 2 else "bad"}', "id,review,sentiment"),
        "text-classification", {"text": "review", "label": "sentiment"},
    ),
    "label before text, no header, no suffix": (
        "SMS", table(40, lambda i: f"{'ham' if i % 3 else 'spam'}\t{WORDS[i % 2]}"),
        "text-classification",
        {"text": "column_1", "label": "column_0", "header": False, "columns": ["column_0", "column_1"]},
    ),
    "texts alone": (
        "a.csv", table(40, lambda i: f'{i},"{WORDS[i % 2]} {i}"', "id,text"),
        "text-generation", {"text": "text", "label": None},
    ),
    "a time and values": (
        "a.csv", table(40, lambda i: f"2020-01-{i // 24 + 1:02} {i % 24:02}:00:00,{i / 2},{i}", "date,load,oil"),
        "forecasting", {"time": "date", "values": ["load", "oil"], "label": None},
    ),
    "values and labels": (
        "a.csv", table(40, lambda i: f"{i / 3},{math.sin(i):.3f},{'up' if i % 2 else 'down'}", "v0,v1,label"),
        "series-classification", {"values": ["v0", "v1"], "label": "label"},
    ),
    "pixels and labels": (
        "a.csv", table(40, lambda i: ",".join([str(i % 3), *(str((i * k) % 256) for k in range(16))]),
                       ",".join(["label", *(f"pixel{k}" for k in range(16))])),
        "image-classification", {"pixels": "pixel", "label": "label"},
    ),
    "images in Parquet": (
        "a.parquet", parquet({"image": [PNG] * 20, "label": ["a", "b"] * 10}),
        "image-classification", {"image": "image", "label": "label"},
    ),
    "lists in Parquet": (
        "a.parquet", parquet({"steps": [[1.0, 2.0]] * 20, "label": ["a", "b"] * 10}),
        "series-classification", {"values": "steps", "label": "label"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind: str, tmp_path: Path) -> None:
    name, content, task, layout = TABLES[kind]
    found = recognise(put(tmp_path, {name: content}) / name)
    assert found.task == task
    assert {key: value for key, value in found.layout.items() if key not in ("kind", "files")} == layout


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "the layout of the files is not recognised"),
        ({"a.bin": b"\0\1"}, "the layout of the files is not recognised"),
        ({"1.wav": b"R", "2_b.wav": b"R"}, "do not say their classes alike"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n1,2\n"}, "says no split"),
        ({"a.csv": ""}, "empty"),
    ],
)
def test_what_is_nothing_is_said_so(files: dict[str, str | bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        recognise(put(tmp_path, files))


def test_folders_in_folders_are_looked_through(tmp_path: Path) -> None:
    put(tmp_path, {"a/b/cat/1.png": PNG, "a/b/dog/2.png": PNG, "a/.hidden": "x"})
    assert visible_files.innermost(tmp_path) == tmp_path / "a" / "b"


def test_a_single_tagged_file_is_recognised_as_its_folder_is(tmp_path: Path) -> None:
    put(tmp_path, {"ner.conll": "# id 1 domain=news\n" + CONLL})
    found = recognise(tmp_path / "ner.conll")
    assert (found.task, found.layout) == ("token-classification", {"kind": "conll", "files": {"": "ner.conll"}})
    assert recognise(tmp_path).layout == found.layout


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (
            ("train_1.conll", "train_2.conll", "test.conll"),
            {"test": "test.conll", "train": ["train_1.conll", "train_2.conll"]},
        ),
        (
            ("a.dev.conll", "b.val.conll", "train.conll"),
            {"dev": ["a.dev.conll", "b.val.conll"], "train": "train.conll"},
        ),
    ],
)
def test_several_files_of_a_split_are_all_read(tmp_path: Path, names: tuple[str, ...], files: dict[str, Any]) -> None:
    assert recognise(put(tmp_path, dict.fromkeys(names, CONLL))).layout["files"] == files


def test_two_pairs_of_a_split_are_refused_by_name(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(("train1.de", "train1.en", "train2.de", "train2.en", "test.de", "test.en"), "a\n"))
    with pytest.raises(SourceError, match="several pairs of files of a split") as caught:
        recognise(tmp_path)
    assert caught.value.got == "train1.en, train2.en"


def test_sounds_in_folders_of_splits(tmp_path: Path) -> None:
    files = {f"{split}/{label}/1.flac": b"f" for split in ("train", "valid", "test") for label in ("yes", "no")}
    found = recognise(put(tmp_path, files))
    assert found.layout == {
        "kind": "wav",
        "root": ".",
        "pattern": "{folder}/{label}/{name}.flac",
        "test": {"folder": ["test"]},
        "validation": {"folder": ["valid"]},
    }


def test_a_folder_of_noise_is_asked_about(tmp_path: Path) -> None:
    put(tmp_path, {"_background_noise_/1.wav": b"R", "yes/1.wav": b"R", "no/1.wav": b"R"})
    assert recognise(tmp_path).remarks == ("the folder _background_noise_ is read as a class: remove it if it is none",)


def test_other_files_are_named(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": table(40, lambda i: f'"{WORDS[i % 2]}",{i % 2}', "text,label"), "b.doc": "x"})
    assert recognise(tmp_path).remarks == ("1 other files are left out (b.doc)",)


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    put(tmp_path, {"cat/1.png": PNG, "cat/more/2.png": PNG, "dog/3.png": PNG})
    found = recognise(tmp_path)
    assert found.layout == {"kind": "folder"}
    assert found.remarks == ("1 images in folders below a class are of the class",)
    put(tmp_path, {"train/cat/4.png": PNG})
    with pytest.raises(SourceError, match="images, but no class folders"):
        recognise(tmp_path)
