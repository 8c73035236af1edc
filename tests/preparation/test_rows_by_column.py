"""Rows of features by column, from the draft to the prepared arrays: everything as sample by sample."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.dataset import DatasetSpec
from components.core import located_yaml
from components.core.ahead import ahead, mapped
from components.core.errors import SampleError
from components.drafting import profile
from components.drafting.contents import Contents
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion import stage as ingestion
from components.ingestion.sample_batch import OtherRowsError, SampleBatch
from components.ingestion.sample_file import FilePart
from components.preparation import stage
from components.preprocessing.stored import digest_of, digests_of
from components.tasks import rows_by_column
from components.tasks.dataset_file import open_dataset
from components.tasks.tabular_classification import TASK
from components.validation import raw_table, row_table

SOURCE = "path: table.csv, numbers: [x, n], categories: [c], kind: csv"
CLASSES = f"""name: rows
task: tabular-classification
source: {{{SOURCE}, label: l, split: s, group: g}}
split: {{group: group}}
input: {{may_be_missing: [x]}}
"""
TARGETS = f"""name: rows
task: tabular-regression
source: {{{SOURCE}, target: t}}
input: {{scaling: standard, min_frequency: 20}}
"""


def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, rows: int = 1500) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "rows"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(text)
    rng = np.random.default_rng(0)
    lines = ["x,n,c,l,s,g,t"]
    for row in range(rows):
        x = "" if rng.random() < 0.05 else f"{rng.normal():.2f}"
        name = rng.choice(["a", "True", "é", f"name {row % 60}"])
        lines.append(
            f"{x},{row % 7},{name},{'uv'[row % 3 > 1]},{rng.choice(['train', 'test', ''])},g{row // 5},{row / 8}"
        )
    lines += lines[5:40]  # copies
    (folder / "table.csv").write_text("\n".join(lines))
    ingestion.main(["data/rows"])
    raw = manifest.load(folder / "raw", "raw")
    (folder / "validated").mkdir()
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("text", [CLASSES, TARGETS])
def test_rows_are_described_and_prepared_by_column_as_one_by_one(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(tmp_path, monkeypatch, text)
    spec, task, settings = open_dataset(folder)
    found: list[list[Any]] = []
    for by_column in (True, False):
        if not by_column:
            monkeypatch.setattr(rows_by_column, "has", lambda _: False)
        about = profile.describe(task, located_yaml.read(folder / "dataset.yaml", DatasetSpec), folder, "there")
        columns = {name: list(values) for name, values in about.columns.items()}
        shares = [about.share(about.content_splits), about.share(about.content_labels), sorted(about.copies.values())]
        counts = [about.samples, about.splits, list(about.labels.items()), about.texts]
        raw = folder / "raw/samples.parquet"
        kinds = spec.columns_by_kind()
        raw_table.build(task, raw, tmp_path / "t.parquet", "rows", about.samples, settings, spec.row_columns(), kinds)
        stage.main(["data/rows"])
        prepared = contents(tmp_path / ".modelyard/staging/rows/prepared")
        found.append([columns, shares, counts, (tmp_path / "t.parquet").read_bytes(), prepared])
        if by_column:
            row_table.columns(task, raw, "rows", about.samples, kinds)  # not given up on the way
            assert all(isinstance(batch, SampleBatch) for batch in sample_file.batches(raw, *kinds))
    for by_column_part, one_by_one_part in zip(*found, strict=True):
        assert by_column_part == one_by_one_part
    assert any(name.endswith("numbers.npy") for name in found[0][-1])
    groups = [name for name in found[0][-1] if name.endswith("clusters.npy")]
    assert len(groups) == (2 if "group:" in text else 0)  # of the test split, and of train


def test_a_row_that_does_not_fit_the_fitted_columns_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset(tmp_path, monkeypatch, CLASSES.replace("input: {may_be_missing: [x]}\n", ""), rows=300)
    text = (folder / "table.csv").read_text().replace("\n,", "\n7,")
    (folder / "table.csv").write_text(f"{text}\n,1,a,u,test,other,1\n")
    ingestion.main(["data/rows"])
    raw = manifest.load(folder / "raw", "raw")
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    with pytest.raises(SampleError, match="no value in the column x") as caught:
        stage.main(["data/rows"])
    assert caught.value.where == "table/000335"
    assert not (tmp_path / ".modelyard/staging/rows/prepared").exists()


def test_samples_of_other_columns_are_not_read_by_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset(tmp_path, monkeypatch, TARGETS, rows=30)
    with pytest.raises(OtherRowsError):
        list(sample_file.batches(folder / "raw/samples.parquet", ["x"], ["c"]))


def test_a_class_that_inherits_is_read_sample_by_sample() -> None:
    class Other(type(TASK)):  # type: ignore[misc]
        pass

    assert rows_by_column.has(TASK)
    assert not rows_by_column.has(Other())


def test_shares_of_contents_with_several_labels() -> None:
    contents = Contents()
    for content, split, label in (
        (b"a", "", "u"),
        (b"b", "", "u"),
        (b"a", "test", "v"),
        (b"c", "", "u"),
        (b"b", "", "u"),
    ):
        contents.add(content, split, label)
    assert sorted(contents.values()) == [1, 2, 2]
    assert contents.share(contents.labels) == contents.share(contents.splits) == 2 / 5
    assert Contents().share([]) == 0


def test_digests_of_a_batch_are_those_of_its_samples() -> None:
    batch = {"n": np.arange(6, dtype=np.float32).reshape(3, 2), "c": np.arange(3), "label": np.arange(3)}
    for inputs in (("n",), ("n", "c"), ("c",), ("nothing",)):
        each = [digest_of({name: values[row] for name, values in batch.items()}, inputs) for row in range(3)]
        assert digests_of(batch, inputs) == each


def test_reading_ahead_keeps_the_order_and_raises_in_turn() -> None:
    def items() -> Any:
        yield from (1, None, 3)
        raise ValueError("four")

    read = ahead(items())
    assert [next(read) for _ in range(3)] == [1, None, 3]
    with pytest.raises(ValueError, match="four"):
        next(read)


def test_parts_of_a_file_read_its_footer_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dataset(tmp_path, monkeypatch, TARGETS, rows=2500) / "raw" / sample_file.FILE_NAME
    parts = [FilePart(range(1), skipped, 900) for skipped in (0, 900, 1800)]
    sample_file._footer.cache_clear()

    def ids() -> list[str]:
        tables = [table for part in parts for table in sample_file.batch_tables(path, ["id"], part)]
        return [str(name) for table in tables for name in table["id"].to_pylist()]

    before = ids()
    assert before == sample_file.ids(path)
    assert sample_file._footer.cache_info().misses == 1
    (tmp_path / "other").mkdir()
    other = dataset(tmp_path / "other", monkeypatch, TARGETS, rows=2600) / "raw" / sample_file.FILE_NAME
    path.write_bytes(other.read_bytes())
    assert len(ids()) == len(before) + 100


def test_threads_keep_the_order_and_raise_in_turn() -> None:
    given: list[int] = []
    second_begins = threading.Event()

    def inverse(number: int) -> float:
        given.append(number)
        if number == 4:
            assert second_begins.wait(10)  # while the first is not done
        second_begins.set() if number == 2 else None
        return 1 / number

    read = mapped(inverse, (4, 2, 0, 1), 2)
    assert [next(read), next(read)] == [0.25, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(read)
    assert sorted(given) == [0, 1, 2, 4]
    assert list(mapped(inverse, (), 2)) == []
