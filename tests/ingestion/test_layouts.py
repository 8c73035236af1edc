"""Readers of text, annotations, sound and series: small files of every layout, and broken ones."""

import gzip
import io
import json
import math
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from components.contracts.dataset import FolderSource, Source, TableSource
from components.contracts.dataset_layout import Layout, PairsLayout
from components.core.errors import SourceError, UnsafeArchiveError
from components.drafting.recognise import recognise
from components.ingestion import sample_file, sources
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

_LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)


def layout(**said: Any) -> Layout:
    """A layout as a YAML file gives it."""
    return _LAYOUT.validate_json(json.dumps(said))


def read(source: Source, folder: Path) -> list[Sample]:
    with sources.open_source(source, folder, Remarks()) as samples:
        return list(samples)


def read_folder(folder: Path, remarks: Remarks | None = None, **said: Any) -> list[Sample]:
    """The samples of a folder, after a way through the file that keeps them."""
    source = FolderSource(kind="folder", path=".", layout=layout(**said))
    with sources.open_source(source, folder, remarks or Remarks()) as samples:
        sample_file.write(samples, folder / "samples.parquet", "writing", source.fields)
    assert sample_file.fields_of(folder / "samples.parquet") == source.fields
    return [sample for group in sample_file.groups(folder / "samples.parquet") for sample in group]


def table(**said: Any) -> TableSource:
    return TypeAdapter(TableSource).validate_json(json.dumps(said))


def values(samples: list[Sample]) -> list[dict[str, Any]]:
    return [sample.values for sample in samples]


# Tables


def test_a_csv_of_texts_with_quotes_newlines_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufefflabel,text,kind\n1,"one, ""two""\nthree",train\n0,Grüße,dev\n\n0,,test\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    samples = read(table(kind="csv", path="t.csv", text="text", split="kind", classes=["no", "yes"]), tmp_path)
    assert values(samples) == [
        {"label": "yes", "text": 'one, "two"\nthree'},
        {"label": "no", "text": "Grüße"},
        {"label": "no", "text": ""},  # validation counts and shows it
    ]
    assert [sample.split for sample in samples] == ["train", "validation", "test"]
    assert [sample.id for sample in samples] == ["t/000000", "t/000001", "t/000002"]


def test_a_tsv_without_header_knows_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b'ham\tso "they\nspam\t"said\n')
    said = table(kind="tsv", path="t.tsv", text="text", header=False, columns=["label", "text"])
    assert values(read(said, tmp_path)) == [
        {"label": "ham", "text": 'so "they'},
        {"label": "spam", "text": '"said'},
    ]


def test_a_gzip_csv_and_its_truncated_copy(tmp_path: Path) -> None:
    rows = "".join(f"{number % 2},text {number} {number * 7919 % 1000}\n" for number in range(5000))
    content = gzip.compress(("label,text\n" + rows).encode())
    (tmp_path / "t.csv.gz").write_bytes(content)
    said = table(kind="csv", path="t.csv.gz", text="text")
    assert len(read(said, tmp_path)) == 5000
    for broken in (content[:-2000], content[:30], content[:400] + b"spam" + content[404:]):
        (tmp_path / "t.csv.gz").write_bytes(broken)
        with pytest.raises(SourceError, match="truncated or damaged"):
            read(said, tmp_path)


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b"label,words\na,b\n", "columns are missing", "t.csv"),
        (b"label,text,text\na,b,c\n", "stands twice", "t.csv"),
        (b"label,text\na,b\na,b,c\n", "cannot be read", "line 3"),
        (b'label,text\na,b\na,"b\n', "cannot be read", "line 3"),
        (b'label,text\na,"b" c\n', "cannot be read", "line 2"),
        (b"label,text\n,b\n", "no label", "line 2"),
        (b"", "columns are missing", "t.csv"),
    ],
)
def test_a_broken_csv_is_refused_with_its_line(tmp_path: Path, content: bytes, what: str, where: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match=what) as caught:
        read(table(kind="csv", path="t.csv", text="text"), tmp_path)
    assert str(caught.value.where).endswith(where)


def test_another_encoding_is_read_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("label,text\na,Grüße\n".encode("latin-1"))
    said = table(kind="csv", path="t.csv", text="text", encoding="latin-1")
    assert values(read(said, tmp_path)) == [{"label": "a", "text": "Grüße"}]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({}, "one of image:, pixels:, text:, values:"),
        ({"text": "a", "image": "b"}, "one of image:, pixels:, text:, values:"),
        ({"text": "a", "header": False}, "header: false"),
        ({"text": "a", "columns": ["a"]}, "header: false"),
    ],
)
def test_a_table_that_cannot_be_is_refused(said: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        table(kind="csv", path="t.csv", **said)


def test_numbers_by_name_by_prefix_and_as_lists(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("when,v1,v0,label\n2020-01-01,2,1,a\n2020-01-02,,-3e2,b\n")
    named = read(table(kind="csv", path="t.csv", values=["v0", "v1"], time="when", label=None), tmp_path)
    assert [sample.values["time"] for sample in named] == ["2020-01-01", "2020-01-02"]
    assert named[0].values["values"].tolist() == [1.0, 2.0]
    assert named[1].values["values"][0] == -300.0
    assert math.isnan(named[1].values["values"][1])  # validation counts and shows it
    assert "label" not in named[0].values
    prefixed = read(table(kind="csv", path="t.csv", values="v"), tmp_path)
    assert prefixed[0].values["values"].tolist() == [1.0, 2.0]
    assert prefixed[0].values["label"] == "a"
    pq.write_table(pa.table({"label": ["a", "b"], "v": [[1.5, 2.0], [3.0]]}), tmp_path / "t.parquet")
    lists = read(table(kind="parquet", path="t.parquet", values="v"), tmp_path)
    assert [sample.values["values"].tolist() for sample in lists] == [[1.5, 2.0], [3.0]]
    (tmp_path / "t.csv").write_text("label,v0\na,1,\n".replace(",\n", "\n") + "a,one\n")
    with pytest.raises(SourceError, match="no number") as caught:
        read(table(kind="csv", path="t.csv", values="v"), tmp_path)
    assert str(caught.value.where).endswith("line 3")


# Windows

_WINDOWS = {
    "kind": "windows", "file": "t.csv", "values": ["a", "b"], "rising": "b", "look_back": 3, "horizon": 2,
    "rows": {"train": 9, "validation": 5, "test": 6},
}  # fmt: skip


def test_windows_reach_over_no_border_and_are_labelled_by_what_follows(tmp_path: Path) -> None:
    rise = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2, 3]
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row},{value}\n" for row, value in enumerate(rise)))
    samples = read_folder(tmp_path, **_WINDOWS)
    assert [(sample.id, sample.split, sample.values["label"]) for sample in samples] == [
        ("train/000000", "train", "rise"),
        ("train/000001", "train", "fall"),  # 3 then 3: does not rise
        ("train/000002", "train", "fall"),
        ("train/000003", "train", "fall"),
        ("train/000004", "train", "fall"),
        ("validation/000009", "validation", "rise"),
        ("test/000014", "test", "fall"),
        ("test/000015", "test", "fall"),
    ]
    assert samples[1].values["values"].tolist() == [1, 1, 2, 2, 3, 3]
    every = read_folder(tmp_path, **{**_WINDOWS, "stride": 2})
    assert [sample.id[-2:] for sample in every] == ["00", "02", "04", "09", "14"]


def test_windows_of_a_table_that_is_too_short_or_empty_where_it_counts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 19)
    with pytest.raises(SourceError, match="fewer rows"):
        read_folder(tmp_path, **_WINDOWS)
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 5 + "1,\n" + "1,2\n" * 16)
    with pytest.raises(SourceError, match="empty where it decides"):
        read_folder(tmp_path, **_WINDOWS)


# CoNLL


def test_conll_with_tabs_blanks_and_documents(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nNew York\tB-LOC\n\t\nend\tO"
    (tmp_path / "a.txt").write_text(text)
    samples = read_folder(tmp_path, kind="conll", files={"dev": "a.txt"})
    assert [(sample.id, sample.split) for sample in samples] == [
        (f"dev/00000{number}", "validation") for number in range(3)
    ]
    assert values(samples) == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
        {"tokens": ["New York"], "tags": ["B-LOC"]},
        {"tokens": ["end"], "tags": ["O"]},
    ]


@pytest.mark.parametrize(
    ("content", "what", "where"),
    [
        (b"a\tO\nb\n", "no tagged token", "line 2"),
        (b"a\tO\nb\t\n", "no tagged token", "line 2"),
        (b"\n\n", "no sentence", "a.txt"),
    ],
)
def test_broken_conll_is_refused(tmp_path: Path, content: bytes, what: str, where: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SourceError, match=what) as caught:
        read_folder(tmp_path, kind="conll", files={"train": "a.txt"})
    assert str(caught.value.where).endswith(where)


# Pairs


def test_pairs_of_lines_plain_and_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_bytes("One\u2028line.\r\nTwo.\n".encode())  # no line ends but the usual ones
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"Eine Zeile.\nZwei.\n"))
    samples = read_folder(tmp_path, kind="pairs", source={"val": "a.en"}, target={"val": "a.de.gz"})
    assert [(sample.id, sample.split) for sample in samples] == [
        ("val/000000", "validation"),
        ("val/000001", "validation"),
    ]
    assert values(samples) == [
        {"source": "One\u2028line.", "target": "Eine Zeile."},
        {"source": "Two.", "target": "Zwei."},
    ]


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [(b"a\nb\n", b"a\n", "not the same lines"), (b"a\n", b"a\nb\n", "not the same lines"),
     (b"a\n", None, "no such file")],
)  # fmt: skip
def test_pairs_that_do_not_fit_are_refused(tmp_path: Path, source: bytes, target: bytes | None, what: str) -> None:
    (tmp_path / "a.en").write_bytes(source)
    if target is not None:
        (tmp_path / "a.de").write_bytes(target)
    with pytest.raises(SourceError, match=what):
        read_folder(tmp_path, kind="pairs", source={"train": "a.en"}, target={"train": "a.de"})


def test_pairs_of_a_document_stay_together(tmp_path: Path) -> None:
    for suffix, line in (("en", "A line"), ("de", "Eine Zeile"), ("docid", "talk")):
        (tmp_path / f"a.{suffix}").write_text("".join(f"{line} {row // 2}\n" for row in range(6)))
    found = recognise(tmp_path)
    assert (found.task, found.layout["group"]) == ("translation", {"": "a.docid"})
    assert "are kept in one split" in found.remarks[-1]
    samples = read_folder(tmp_path, **found.layout)
    assert values(samples)[5] == {"source": "A line 2", "target": "Eine Zeile 2", "group": "talk 2"}
    assert "group" not in PairsLayout(kind="pairs", source={"": "a"}, target={"": "b"}).model_dump()
    (tmp_path / "a.docid").write_text("talk 0\n")
    with pytest.raises(SourceError, match="the files have not the same lines"):
        read_folder(tmp_path, **found.layout)


# Boxes

_XML = (
    "<annotation><object><name>{label}</name><bndbox><ymin>2</ymin><xmin>{xmin}</xmin><xmax>5.5</xmax>"
    "<ymax>7</ymax></bndbox></object></annotation>"
)


def voc(folder: Path, **sets: str) -> None:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("a", "b", "c"):
        (folder / f"JPEGImages/{name}.jpg").write_bytes(name.encode())
        (folder / f"Annotations/{name}.xml").write_text(_XML.format(label="cell", xmin=1))
    (folder / "Annotations/c.xml").write_text("<annotation/>")
    for name, text in sets.items():
        (folder / f"ImageSets/Main/{name}.txt").write_text(text)


def test_voc_by_its_sets_and_without_any(tmp_path: Path) -> None:
    voc(tmp_path / "d", train="b\na 1\n", test="c\n")
    samples = read_folder(tmp_path, kind="voc", root="d")
    cell = {"label": "cell", "xmin": 1.0, "ymin": 2.0, "xmax": 5.5, "ymax": 7.0}
    assert samples == [
        Sample("b", "train", {"image": b"b", "boxes": [cell]}),
        Sample("a", "train", {"image": b"a", "boxes": [cell]}),
        Sample("c", "test", {"image": b"c", "boxes": []}),
    ]
    (tmp_path / "d/ImageSets/Main/train.txt").unlink()
    (tmp_path / "d/ImageSets/Main/test.txt").unlink()
    assert [(sample.id, sample.split) for sample in read_folder(tmp_path, kind="voc", root="d")] == [
        ("a", None), ("b", None), ("c", None),
    ]  # fmt: skip


def _spoil(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (_spoil("ImageSets/Main/test.txt", "a\n"), "two sets"),
        (_spoil("ImageSets/Main/test.txt", "../../../etc/passwd\n"), "outside|no such image"),
        (_spoil("ImageSets/Main/test.txt", "gone\n"), "no such image"),
        (_spoil("Annotations/a.xml", "<annotation><object>"), "no XML"),
        (_spoil("Annotations/a.xml", '<!DOCTYPE x [<!ENTITY y "z">]><annotation/>'), "declares entities"),
        (_spoil("Annotations/a.xml", _XML.format(label="", xmin=1)), "without a label"),
        (_spoil("Annotations/a.xml", _XML.format(label="cell", xmin="one")), "no numbers"),
        (_spoil("Annotations/a.xml", _XML.format(label="cell", xmin="nan")), "not finite"),
        (_spoil("Annotations/a.xml", "<annotation><object><name>cell</name></object></annotation>"), "no numbers"),
    ],
)
def test_broken_voc_is_refused(tmp_path: Path, spoil: Callable[[Path], object], what: str) -> None:
    voc(tmp_path / "d", train="a\nb\n", test="c\n")
    spoil(tmp_path / "d")
    with pytest.raises(SourceError, match=what):
        read_folder(tmp_path, kind="voc", root="d")


def coco(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "photos").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folder / "photos" / name).write_bytes(name.encode())
    document = {
        "categories": [{"id": 7, "name": "cat"}],
        "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 7, "bbox": [1, 2, 3.5, 0], "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        **changes,
    }
    (folder / "train.json").write_text(json.dumps(document))
    return {"kind": "coco", "annotations": {"train": "train.json"}, "images": {"train": "photos"}}


def test_coco_keeps_images_without_boxes_and_boxes_without_area_and_crowds(tmp_path: Path) -> None:
    flat = {"label": "cat", "xmin": 1.0, "ymin": 2.0, "xmax": 4.5, "ymax": 2.0}
    crowd = {"label": "cat", "xmin": 0.0, "ymin": 0.0, "xmax": 9.0, "ymax": 9.0, "crowd": True}
    assert read_folder(tmp_path, **coco(tmp_path)) == [
        Sample("train/1.jpg", "train", {"image": b"1.jpg", "boxes": []}),
        Sample("train/2.jpg", "train", {"image": b"2.jpg", "boxes": [flat, crowd]}),
    ]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"categories": []}, "unknown image or category"),
        ({"images": [{"id": 1, "file_name": "1.jpg"}]}, "unknown image or category"),
        ({"images": [{"id": 2, "file_name": "../train.json"}]}, "outside"),
        ({"images": [{"id": 2, "file_name": "3.jpg"}]}, "no such image"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [1, 2]}]}, "not COCO's"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, "x"]}]}, "not COCO's"),
        ({"annotations": [{"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, math.nan]}]}, "not finite"),
        ({"annotations": None}, "not COCO's"),
    ],
)
def test_broken_coco_is_refused(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    said = coco(tmp_path, **changes)
    with pytest.raises(SourceError, match=what):
        read_folder(tmp_path, **said)


# Sound


def wav(seconds: float = 0.01) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(seconds * 8000) * 2))
    return out.getvalue()


def test_wav_files_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    for name in ("3_anna_0.wav", "3_anna_10.wav", "4_bert_x_1.wav", ".hidden.wav", "read.me"):
        (tmp_path / "r" / name).write_bytes(wav())
    said = {"kind": "wav", "root": "r", "pattern": "{label}_{speaker}_{index}.wav"}
    samples = read_folder(tmp_path, **said, test={"index": ["0", "1"], "label": ["3"]})
    assert [(sample.id, sample.split) for sample in samples] == [
        ("3_anna_0.wav", "test"), ("3_anna_10.wav", "train"), ("4_bert_x_1.wav", "train"),
    ]  # fmt: skip
    assert samples[0].values == {"sound": wav(), "label": "3", "speaker": "anna", "index": "0"}
    assert [sample.split for sample in read_folder(tmp_path, **said)] == [None, None, None]
    (tmp_path / "r" / "odd.wav").write_bytes(b"")
    with pytest.raises(SourceError, match="does not fit") as caught:
        read_folder(tmp_path, **said)
    assert caught.value.got == "odd.wav"


def test_sounds_of_other_kinds_by_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("1.wav", "2.WAV", "3.flac", "4.mp3", "read.me"):
        (tmp_path / "a" / name).write_bytes(wav())
    remarks = Remarks()
    ids = [sample.id for sample in read_folder(tmp_path, remarks, kind="wav", pattern="{label}/{name}.wav")]
    assert ids == ["a/1.wav", "a/2.WAV"]
    assert remarks.lines()[0] == "1 files .flac are left out (a/3.flac)"
    ids = [sample.id for sample in read_folder(tmp_path, kind="wav", pattern="{label}/{name}")]
    assert ids == ["a/1.wav", "a/2.WAV", "a/3.flac", "a/4.mp3"]
    with pytest.raises(SourceError, match="no sound"):
        read_folder(tmp_path, kind="wav", pattern="{label}/{name}.ogg")


@pytest.mark.parametrize("pattern", ["{speaker}.wav", "{label}_{label}.wav", "{label}_{id}.wav"])
def test_a_pattern_that_cannot_be_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        layout(kind="wav", pattern=pattern)
    with pytest.raises(ValidationError, match="has no spam"):
        layout(kind="wav", pattern="{label}.wav", test={"spam": ["1"]})


# Folders and the binary CIFAR


def test_folders_whose_names_say_something_else(tmp_path: Path) -> None:
    for name in ("a/val/cats/1.png", "a/train/cats/2.png", "a/extra/cats/3.png", "a/train/frogs/4.png", "a/5.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    said = {"kind": "folder", "root": "a", "splits": {"train": "train", "val": "test"}}
    samples = read_folder(tmp_path, **said, classes={"cats": "cat"})
    assert [(sample.id, sample.split, sample.values["label"]) for sample in samples] == [
        ("train/cats/2.png", "train", "cat"), ("val/cats/1.png", "test", "cat"),
    ]  # fmt: skip
    assert len(read_folder(tmp_path, **said)) == 3


def test_folders_of_texts(tmp_path: Path) -> None:
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos/1_10.txt").write_text("Good.\nVery.", encoding="utf-8")
    assert values(read_folder(tmp_path, kind="folder", text=True)) == [{"text": "Good.\nVery.", "label": "pos"}]


REPLACED = "gr\ufffdn"  # what cannot be decoded; validation counts the sample


def test_what_is_not_utf_8_is_read_all_the_same_where_it_is_a_samples_content(tmp_path: Path) -> None:
    green = "grün".encode("latin-1")
    (tmp_path / "t.csv").write_bytes(b"label,text\na,fine\nb," + green + b"\n")
    assert values(read(table(kind="csv", path="t.csv", text="text"), tmp_path))[1] == {"text": REPLACED, "label": "b"}
    (tmp_path / "a.txt").write_bytes(b"a\tO\n" + green + b"\tO\n")
    (sentence,) = values(read_folder(tmp_path, kind="conll", files={"train": "a.txt"}))
    assert sentence["tokens"] == ["a", REPLACED]
    (tmp_path / "texts/pos").mkdir(parents=True)
    (tmp_path / "texts/pos/2.txt").write_bytes(green)
    (text,) = values(read_folder(tmp_path, kind="folder", text=True, root="texts"))
    assert text["text"] == REPLACED


def test_names_are_read_strictly(tmp_path: Path) -> None:
    voc(tmp_path / "d", train="a\n")
    (tmp_path / "d/ImageSets/Main/test.txt").write_bytes(b"\xe4\n")
    with pytest.raises(SourceError, match="not utf-8 text") as caught:
        read_folder(tmp_path, kind="voc", root="d")
    assert str(caught.value.where).endswith("line 1")


def test_cifar_as_it_was_published(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    records = [bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in enumerate(pixels)]
    (tmp_path / "one.bin").write_bytes(records[0] + records[1])
    (tmp_path / "two.bin").write_bytes(records[2])
    said = {"kind": "cifar", "files": {"train": ["one.bin", "two.bin"]}, "classes": ["a", "b", "c"]}
    samples = read_folder(tmp_path, **said)
    assert [(sample.id[-1], sample.values["label"]) for sample in samples] == [("0", "a"), ("1", "b"), ("2", "c")]
    for sample, image in zip(samples, pixels, strict=True):
        with Image.open(io.BytesIO(sample.values["image"])) as opened:
            assert (np.asarray(opened) == image).all()
    with pytest.raises(SourceError, match="without a class"):
        read_folder(tmp_path, **{**said, "classes": ["a", "b"]})
    (tmp_path / "two.bin").write_bytes(records[2][:-1])
    with pytest.raises(SourceError, match="truncated"):
        read_folder(tmp_path, **said)


# From an archive


def test_a_local_archive_is_read_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a\tO\n")
    with tarfile.open(tmp_path / "pack.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "a.txt", "in/a.txt")
    source = FolderSource(kind="folder", path="pack.tar.gz", layout=layout(kind="conll", files={"train": "in/a.txt"}))
    assert values(read(source, tmp_path)) == [{"tokens": ["a"], "tags": ["O"]}]
    with tarfile.open(tmp_path / "pack.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "a.txt", "../a.txt")
    with pytest.raises(UnsafeArchiveError):
        read(source, tmp_path)


# The file that keeps them


def test_every_kind_of_field_comes_back_as_it_was(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    samples = [
        Sample(
            str(row),
            None if row % 3 else "train",
            {
                "text": "ü" * (row % 5),
                "content": bytes([row % 256]) * (row % 7),
                "numbers": random.random(row % 4),
                "facts": {"row": [row, None, "é"]},
            },
        )
        for row in range(3000)
    ]
    path = tmp_path / "s.parquet"
    written = sample_file.write(
        samples, path, "writing", {"text": "text", "content": "binary", "numbers": "numbers", "facts": "json"}
    )
    assert tuple(written) == (3000, {"null": 2000, "train": 1000}, {}, 0)
    found = [sample for group in sample_file.groups(path) for sample in group]
    picked = dict(sample_file.pick(path, {2999, 5, 1024}))
    assert sorted(picked) == [5, 1024, 2999]
    for given, kept in [*zip(samples, found, strict=True), *((samples[row], kept) for row, kept in picked.items())]:
        assert (given.id, given.split) == (kept.id, kept.split)
        assert (given.values["numbers"] == kept.values["numbers"]).all()
        assert {**given.values, "numbers": 0} == {**kept.values, "numbers": 0}
    assert sample_file.ids(path) == [str(row) for row in range(3000)]
    assert set(next(sample_file.groups(path, leave_out=["text", "facts"]))[0].values) == {"content", "numbers"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", "\ud800"), ("text", 5), ("json", math.nan), ("json", {1, 2}), ("numbers", ["a"])],
)
def test_a_value_of_another_kind_is_refused_by_its_samples_name(tmp_path: Path, kind: Any, value: Any) -> None:
    with pytest.raises(SourceError, match=f"is no {kind}") as caught:
        sample_file.write([Sample("the one", None, {"x": value})], tmp_path / "s.parquet", "writing", {"x": kind})
    assert caught.value.where == "the one"
