"""Datasets of known truth with a mutation, one of each kind; and what such datasets found, by name."""

from __future__ import annotations

import datetime
import io
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter

from benchmarks import mutated_data
from benchmarks.mutations.judge import FAILURES, judge
from components.contracts.dataset import FolderSource
from components.contracts.dataset_layout import Layout
from components.core.errors import SourceError
from components.drafting import columns
from components.drafting.recognise import recognise
from components.ingestion import sources, text_lines
from components.ingestion.labels import Labels
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample
from tests import small_package
from tests.drafting.test_recognise import CONLL, put, table

PNG = small_package.image(0)
_LAYOUT: TypeAdapter[Any] = TypeAdapter(Layout)


@pytest.mark.parametrize("number", range(len(mutated_data.KINDS)))
def test_a_mutated_dataset_is_read_or_said_or_refused(number: int, tmp_path: Path) -> None:
    data, mutations = mutated_data.make(0, number + len(mutated_data.KINDS))
    outcome = judge(data, tmp_path, whole=False)
    assert outcome.kind not in FAILURES, (mutations, outcome.detail)


def read(source: Path) -> tuple[list[Sample], list[str]]:
    """The samples of a folder as it is recognised, and all that is said."""
    found, remarks = recognise(source), Remarks()
    spec = FolderSource(kind="folder", path=str(source), layout=_LAYOUT.validate_python(found.layout))
    with sources.open_source(spec, source, remarks) as samples:
        return list(samples), [found.why, *found.remarks, *remarks.lines()]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding_of_lines(encoding: str, tmp_path: Path) -> None:
    put(tmp_path / "tagged", {"a.conll": CONLL.replace("York", "Köln").encode(encoding)})
    (first, _), _ = read(tmp_path / "tagged")
    assert first.values["tokens"] == ["John", "lives", "in", "New", "Köln"]
    put(tmp_path / "pairs", {"a.en": "one\ntwo\n".encode(encoding), "a.de": "fünf\nzwölf\n".encode(encoding)})
    samples, _ = read(tmp_path / "pairs")
    assert [sample.values["target"] for sample in samples] == ["fünf", "zwölf"]


def test_pairs_in_an_encoding_of_one_byte_a_character(tmp_path: Path) -> None:
    german = "".join(f"Größe und Straße für {number} Äpfel\n" for number in range(40))
    english = "".join(f"size and street for {number} apples\n" for number in range(40))
    files: dict[str, str | bytes] = {"a.en": english, "a.de": german.encode("cp1252")}
    samples, said = read(put(tmp_path / "pairs", files))
    assert samples[1].values["target"] == "Größe und Straße für 1 Äpfel"
    assert any("guess" in line and "cp1252" in line for line in said)
    with pytest.raises(SourceError, match="several encodings"):
        recognise(put(tmp_path / "mixed", {"a.en": german.encode(), "a.de": german.encode("cp1252")}))
    spec = _LAYOUT.validate_python({"kind": "pairs", "source": {"": "a.en"}, "target": {"": "a.de"}})
    assert "encoding" not in spec.model_dump(mode="json")


def test_tagged_tokens_in_an_encoding_of_one_byte_a_character(tmp_path: Path) -> None:
    lines = CONLL.replace("York", "Köln").replace("sleeps", "schläft") + "\nFür O\nStraßen O\n\n"
    put(tmp_path, {"a.conll": (lines * 20).encode("cp1252")})
    samples, said = read(tmp_path)
    assert samples[0].values["tokens"] == ["John", "lives", "in", "New", "Köln"]
    assert any("guess" in line and "cp1252" in line for line in said)
    assert recognise(tmp_path / "a.conll").layout["encoding"] == "cp1252"


def test_an_error_of_an_archive_names_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("pairs.zip", "w") as archive:
        archive.writestr("a.en", "one\ntwo\n")
        archive.writestr("a.de", "eins\n")
    layout = {"kind": "pairs", "source": {"": "a.en"}, "target": {"": "a.de"}}
    spec = FolderSource(kind="folder", path="pairs.zip", layout=_LAYOUT.validate_python(layout))
    with pytest.raises(SourceError) as caught, sources.open_source(spec, tmp_path, Remarks()) as samples:
        list(samples)
    assert caught.value.where == str(tmp_path / "pairs.zip" / "a.de")


def test_a_table_of_images_of_any_suffix(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"images/{i}.jfif": PNG for i in range(20)}
    lines = table(20, lambda i: f"images/{i}.jfif,{'good' if i % 2 else 'bad'}", "file,label")
    assert recognise(put(tmp_path, files | {"a.csv": lines})).layout["image"] == "file"


def test_lines_that_end_with_carriage_returns(tmp_path: Path) -> None:
    put(tmp_path, {"a.txt": b"one\rtwo\r", "b.txt": b"one\rstill one\ntwo\r\n"})
    assert list(text_lines.read(tmp_path / "a.txt")) == [(1, "one\r"), (2, "two\r")]
    assert list(text_lines.read(tmp_path / "b.txt")) == [(1, "one\rstill one\n"), (2, "two\r\n")]


def test_labels_of_tables_have_one_spelling() -> None:
    labels = Labels(_LAYOUT.validate_python({"kind": "csv", "files": {"": "a"}, "text": "t", "label": "l"}))
    assert {labels.of(unicodedata.normalize(form, " très bien\n"), "a", 1) for form in ("NFC", "NFD")} == {"très bien"}


@pytest.mark.parametrize("form", ["%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
def test_compact_times_are_no_epoch(form: str, tmp_path: Path) -> None:
    start, hour = datetime.datetime(2021, 1, 25), datetime.timedelta(hours=1)
    put(tmp_path, {"a.csv": table(60, lambda i: f"{start + i * hour:{form}},{i % 7}.5,{i}", "time,load,heat")})
    found = columns.recognise(tmp_path / "a.csv", "csv")
    assert found.layout["time_format"] == form
    assert "a row every hour" in found.why


def test_epoch_seconds_stay_epoch_seconds(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": table(60, lambda i: f"{1_996_101_000 + 60 * i},{i % 7}.5,{i}", "time,load,heat")})
    assert columns.recognise(tmp_path / "a.csv", "csv").layout["time_format"] == "epoch_seconds"


def test_a_value_far_from_the_rest_is_said_in_series_with_labels(tmp_path: Path) -> None:
    lines = table(60, lambda i: f"{-999 if i == 7 else i % 9},{i % 7}.5,{'up' if i % 2 else 'down'}", "v0,v1,label")
    put(tmp_path, {"a.csv": lines})
    assert "v0 is -999 in 1 rows, far from all other values" in columns.recognise(tmp_path / "a.csv", "csv").why


def test_the_header_of_a_single_column_is_found_below_other_lines(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": "Report\nSource: own\n" + table(40, lambda i: f"a fine text {i}", "text")})
    found = columns.recognise(tmp_path / "a.csv", "csv")
    assert (found.layout["text"], found.layout["skip_lines"]) == ("text", 2)
    assert "what is above it is skipped" in found.why


def test_texts_of_several_lines_in_a_single_column_with_tabs(tmp_path: Path) -> None:
    put(tmp_path, {"a.tsv": table(40, lambda i: f'"a fine ""text"" {i}\nand more"', "text")})
    put(tmp_path, {"b.tsv": table(40, lambda i: f'"a fine text", he said {i}', "text")})
    found = columns.recognise(tmp_path / "a.tsv", "tsv")
    assert (found.layout["kind"], found.layout["delimiter"]) == ("csv", "\t")
    assert "delimiter" not in columns.recognise(tmp_path / "b.tsv", "tsv").layout


@pytest.mark.parametrize(
    ("text", "quoted"), [('"a ""fine"" text {}"', True), ('"a fine" text {}', False), ('"a fine text {}"', False)]
)
def test_quotation_marks_of_cells_with_tabs(text: str, quoted: bool, tmp_path: Path) -> None:
    lines = table(40, lambda i: f"{text.format(i)}\t{'good' if i % 2 else 'bad'}", "text\tlabel")
    found = columns.recognise(put(tmp_path, {"a.tsv": lines}) / "a.tsv", "tsv")
    assert found.layout.get("kind", "tsv") == ("csv" if quoted else "tsv")
    assert ("quotation marks around cells" in found.why) == quoted


def _turned() -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (40, 24)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_yolo_says_in_which_frame_the_boxes_of_turned_images_are(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "images/a.jpg": _turned(),
        "labels/a.txt": "0 .5 .5 .2 .2\n",
        "classes.txt": "car\n",
    }
    _, said = read(put(tmp_path, files))
    assert any("turned by EXIF" in line and "as shown is assumed" in line for line in said)


@pytest.mark.parametrize("number", ["0.7", "inf", "nan"])
def test_the_number_of_a_class_of_yolo_is_whole(number: str, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"classes.txt": "car\n"}
    for name, first in (("a", "0.0"), ("b", number)):
        files |= {f"images/{name}.png": PNG, f"labels/{name}.txt": f"{first} .5 .5 .2 .2\n"}
    with pytest.raises(SourceError, match="a line that is no box"):
        read(put(tmp_path, files))


def test_coco_says_which_images_its_file_does_not_have(tmp_path: Path) -> None:
    document = '{"images": [{"id": 1, "file_name": "a.jfif"}], "annotations": [], "categories": []}'
    put(tmp_path, {"images/a.jfif": _turned(), "images/b.png": PNG, "c.json": document})
    samples, said = read(tmp_path)
    assert [sample.id for sample in samples] == ["all/a.jfif"]
    assert "1 images that are not in the annotations are left out (images/b.png)" in said


def test_a_folder_of_annotations_without_images_is_said(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"Annotations/x.xml": "<annotation/>"}
    for split in ("train", "test"):
        files |= {f"{split}/images/{split}.png": PNG, f"{split}/annotations/{split}.xml": "<annotation/>"}
    assert any("Annotations is left out" in remark for remark in recognise(put(tmp_path, files)).remarks)


def test_an_empty_file_beside_a_table_is_left_out_and_no_reason_to_refuse(tmp_path: Path) -> None:
    lines = table(40, lambda i: f"a fine text {i},{'good' if i % 2 else 'bad'}", "text,label")
    found = recognise(put(tmp_path, {"a.csv": lines, "empty": b""}))
    assert any("empty" in remark for remark in found.remarks)
    with pytest.raises(SourceError, match="the layout of the files is not recognised"):
        recognise(put(tmp_path / "only", {"empty": b""}))
