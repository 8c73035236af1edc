"""Folders and tables as sources, and the stage around them."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.contracts.dataset import DatasetSpec, FolderSource, Source, TableSource
from components.contracts.dataset_layout import Fields
from components.core.errors import SourceError, SpecError
from components.identity import manifest
from components.ingestion import sources, stage
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

IMAGES: Fields = {"image": "binary", "label": "text"}


def picture(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4), level).save(out, "PNG")
    return out.getvalue()


def labelled(identity: str, split: str | None, label: str, image: bytes) -> Sample:
    return Sample(identity, split, {"image": image, "label": label})


def read(source: Source, folder: Path) -> list[Sample]:
    with sources.open_source(source, folder, Remarks()) as samples:
        return list(samples)


def test_a_folder_of_classes_with_a_broken_picture(tmp_path: Path) -> None:
    for name, content in {
        "b/2.png": picture(2),
        "a/1.jpg": b"no picture",
        "a/.hidden.png": b"",
        "a/x.txt": b"",
    }.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    samples = read(FolderSource(kind="folder", path="photos"), tmp_path)
    assert samples == [labelled("a/1.jpg", None, "a", b"no picture"), labelled("b/2.png", None, "b", picture(2))]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "val/b/2.png", "test/a/deep/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(1))
    samples = read(FolderSource(kind="folder", path=".", splits=True), tmp_path)
    assert [(sample.id, sample.split, sample.values["label"]) for sample in samples] == [
        ("test/a/deep/3.png", "test", "a"),
        ("train/a/1.png", "train", "a"),
        ("val/b/2.png", "validation", "b"),
    ]


@pytest.mark.parametrize(
    ("name", "splits", "what"),
    [("1.png", False, "outside a class"), ("a/1.png", True, "outside a class"), ("spam/a/1.png", True, "split"),
     ("a/1.txt", False, "no image")],
)  # fmt: skip
def test_a_folder_of_another_shape_is_refused(tmp_path: Path, name: str, splits: bool, what: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"text" if name.endswith(".txt") else picture(1))
    with pytest.raises(SourceError, match=what):
        read(FolderSource(kind="folder", path=".", splits=splits), tmp_path)


def test_a_csv_of_pixels(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("pixel1,label,pixel0,pixel3,pixel2,kind\n20,1,10,40,30,train\n255,0,0,7,9,test\n")
    source = TableSource(kind="csv", path="t.csv", pixels="pixel", split="kind", classes=["no", "yes"])
    samples = read(source, tmp_path)
    assert [(sample.id, sample.split, sample.values["label"]) for sample in samples] == [
        ("t/000000", "train", "yes"),
        ("t/000001", "test", "no"),
    ]
    with Image.open(io.BytesIO(samples[0].values["image"])) as image:
        assert np.asarray(image).tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("label,image\n,a.png\n", "no label"),
        ("label,image\na,gone.png\n", "no such image"),
        ("label,image\na,../../etc/passwd\n", "outside"),
        ("label\na\n", "columns are missing"),
        ("label,image\na,b,c\n", "cannot be read"),
    ],
)
def test_a_broken_csv_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SourceError, match=what):
        read(TableSource(kind="csv", path="t.csv", image="image"), tmp_path)


@pytest.mark.parametrize(("cell", "what"), [("256", "cannot be read"), ("x", "cannot be read"), ("", "cannot be read")])
def test_a_pixel_that_is_none_is_refused(tmp_path: Path, cell: str, what: str) -> None:
    (tmp_path / "t.csv").write_text(f"label,p0\na,{cell}\n")
    with pytest.raises(SourceError, match=what):
        read(TableSource(kind="csv", path="t.csv", pixels="p"), tmp_path)


@pytest.mark.parametrize("struct", [False, True])
def test_a_parquet_file_of_images(tmp_path: Path, struct: bool) -> None:
    images = [picture(1), picture(2)]
    column = [{"bytes": image, "path": "x"} for image in images] if struct else images
    pq.write_table(pa.table({"label": [1, 0], "image": column}), tmp_path / "t.parquet")
    source = TableSource(kind="parquet", path="t.parquet", image="image", classes=["zero", "one"])
    assert read(source, tmp_path) == [
        labelled("t/000000", None, "one", images[0]),
        labelled("t/000001", None, "zero", images[1]),
    ]


def spec(name: str) -> str:
    return (
        f"name: {name}\ntask: image-classification\nsource: {{kind: folder, path: photos}}\n"
        "split: {test: 0.2}\ninput: {height: 4, width: 4, channels: 1}\n"
    )


def test_the_stage_is_deterministic_and_keeps_the_last_good_data(tmp_path: Path) -> None:
    digests = []
    for place in ("here", "there"):
        folder = tmp_path / place / "photos"
        for number in range(6):
            path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number))
        (folder / "dataset.yaml").write_text(spec("photos"))
        stage.main([str(folder)])
        digests.append(manifest.verify(folder / "raw", "raw").digest)
    assert digests[0] == digests[1]
    (folder / "photos").rename(folder / "elsewhere")
    with pytest.raises(SourceError, match="no such folder"):
        stage.main([str(folder)])
    assert manifest.verify(folder / "raw", "raw").digest == digests[1]
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.yaml", "elsewhere", "raw"]


def test_a_dataset_under_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dataset.yaml").write_text(spec("others"))
    with pytest.raises(SpecError, match="1 problem"):
        stage.main([str(tmp_path / "photos")])


def test_row_groups_have_many_small_rows_or_few_large_ones(tmp_path: Path) -> None:
    from components.ingestion import sample_file

    def written(count: int, image: bytes) -> tuple[list[int], pa.Table]:
        samples = (labelled(str(row), None if row % 2 else "train", "a", image) for row in range(count))
        found = sample_file.write(samples, tmp_path / "s.parquet", "writing", IMAGES)
        assert found == (count, {"null": count // 2, "train": count // 2}, {"a": count}, 0)
        with pq.ParquetFile(tmp_path / "s.parquet") as parquet:
            sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            return sizes, parquet.read()

    sizes, table = written(70_000, b"x")
    assert sizes == [65_536, 4_464]
    assert table.column("id").to_pylist() == [str(row) for row in range(70_000)]
    assert table.column("split").to_pylist() == [None if row % 2 else "train" for row in range(70_000)]
    sizes, table = written(10, bytes(3 << 20))  # a group ends with the row that reaches 16 MiB
    assert sizes == [6, 4]
    assert [len(image) for image in table.column("image").to_pylist()] == [3 << 20] * 10
    found = list(sample_file.groups(tmp_path / "s.parquet"))
    assert [sample.id for group in found for sample in group] == [str(row) for row in range(10)]


def test_the_specs_of_the_repository_read() -> None:
    from components.core import located_yaml

    for path in Path("data").glob("*/dataset.yaml"):
        found = located_yaml.read(path, DatasetSpec)
        assert found.model_fields_set >= {"source", "split", "input"}
