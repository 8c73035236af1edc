"""How arrays of every layout are written, and read again."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset_layout import SplitRows
from components.core.errors import SampleError, SpecError, UsageError
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.preparation import splits, stage
from components.preparation.scratch import Scratch
from components.preparation.split_files import SplitFiles
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit, digest_of

RAGGED = ArraySpec(name="tokens", type="int64", shape=(), layout="ragged", pad=9)
FIXED = ArraySpec(name="labels", type="int64", shape=())


def test_the_scratch_file_gives_back_what_was_put_in_as_often_as_asked(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    samples: list[Arrays] = [
        {"a": random.random((size, 3)), "b": np.array(size, np.int16)} if size % 3 else {} for size in range(50)
    ]
    with Scratch(tmp_path / "scratch") as scratch:
        for sample in samples:
            scratch.append(sample)
        for _ in range(2):
            found = list(scratch.read())
            assert len(found) == 50
            for given, kept in zip(samples, found, strict=True):
                assert given.keys() == kept.keys()
                assert all((given[name] == kept[name]).all() for name in given)
                assert all(given[name].dtype == kept[name].dtype for name in given)
    assert list(tmp_path.iterdir()) == []


def write(folder: Path, samples: list[Arrays], assigned: list[int]) -> None:
    with SplitFiles(folder, [RAGGED, FIXED]) as files:
        for start in range(0, len(samples), 7):
            for split in range(3):
                chosen = [row for row in range(start, min(start + 7, len(samples))) if assigned[row] == split]
                files.append(split, [str(row) for row in chosen], [samples[row] for row in chosen])


def test_ragged_arrays_of_any_length_even_none(tmp_path: Path) -> None:
    lengths = [0, 3, 1, 0, 5, 2, 7, 1, 1, 0, 4, 300, 2]
    samples: list[Arrays] = [
        {"tokens": np.arange(length, dtype=np.int64), "labels": np.array(row, np.int64)}
        for row, length in enumerate(lengths)
    ]
    assigned = [0, 0, 1, 2, 0, 1, 0, 2, 0, 0, 0, 1, 0]
    write(tmp_path, samples, assigned)
    stored = {name: StoredSplit(tmp_path / name, [RAGGED, FIXED]) for name in splits.SPLITS}
    assert [len(split) for split in stored.values()] == [8, 3, 2]
    for number, split in enumerate(stored.values()):
        for place, row in enumerate(row for row, split in enumerate(assigned) if split == number):
            kept = split.sample(place)
            assert (kept["tokens"] == samples[row]["tokens"]).all()
            assert kept["labels"] == row
            batch = split.batch(np.array([place]))
            assert batch["tokens_lengths"].tolist() == [lengths[row]]
            assert batch["labels"].tolist() == [row]
    whole = stored["train"].batch(np.arange(8))
    assert whole["tokens"].shape == (8, 7)
    assert (whole["tokens"][0] == 9).all()


def test_an_array_that_is_not_as_declared_is_refused_by_the_samples_name(tmp_path: Path) -> None:
    sample: Arrays = {"tokens": np.zeros(3, np.int32), "labels": np.array(1, np.int64)}
    with pytest.raises(SampleError, match="tokens") as caught:
        write(tmp_path, [sample], [0])
    assert caught.value.where == "0"


def test_rows_by_time() -> None:
    assert splits.by_time(7, SplitRows(train=3, validation=1, test=2)).tolist() == [0, 0, 0, 1, 2, 2, splits.UNUSED]
    with pytest.raises(UsageError, match="fewer rows"):
        splits.by_time(5, SplitRows(train=3, validation=1, test=2))


def table(folder: Path, split: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        f"name: {folder.name}\ntask: tests.preparation.window_task:TASK\n"
        "source: {kind: csv, path: x, values: v, label: null}\n"
        f"split: {split}\ninput: {{}}\n"
    )
    (folder / "raw").mkdir()
    samples = [Sample(f"t/{row}", None, {"values": np.array([float(row)])}) for row in range(20)]
    written = sample_file.write(samples, folder / "raw/samples.parquet", "writing", {"values": "numbers"})
    assert tuple(written) == (20, {"null": 20}, {}, 0)
    raw = manifest.seal(folder / "raw", "raw", {"samples": 20})
    (folder / "validated").mkdir()
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    return folder


def test_windows_begin_a_look_back_earlier_and_reach_into_no_later_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = table(Path("data/hours"), "{by: time, rows: {train: 10, validation: 4, test: 5}}")
    stage.main([str(folder)])
    prepared = Path(".modelyard/staging/hours/prepared")
    facts = manifest.verify(prepared, "prepared").facts
    assert facts["counts"] == {"train": 8, "validation": 4, "test": 5}
    assert facts["classes"] == []
    specs = [ArraySpec.model_validate_json(json.dumps(spec)) for spec in facts["arrays"]]
    for name, ahead in {"train": range(2, 10), "validation": range(10, 14), "test": range(14, 19)}.items():
        stored = StoredSplit(prepared / name, specs)
        assert len(stored) == facts["counts"][name]
        batch = stored.batch(np.arange(len(stored)))
        assert batch["ahead"][:, 0, 0].tolist() == list(ahead)
        assert batch["seen"][:, :, 0].tolist() == [[row - 2, row - 1] for row in ahead]
    assert json.loads((prepared / "processor.json").read_text()) == {"rows": 10, "largest": 9.0}  # of train alone
    listed = pq.read_table(prepared / "samples.parquet").to_pylist()
    assert [row["id"] for row in listed] == [f"t/{row}" for row in range(2, 19)]  # each predicted once; the last unused
    assert [row["row"] for row in listed if row["split"] == "test"] == [0, 1, 2, 3, 4]
    assert len({row["digest"] for row in listed}) == 17
    index = json.loads((prepared / "golden/index.json").read_text())
    assert [(entry["id"], entry["truth"]) for entry in index] == [(f"t/{row}", f"[{row}.0]") for row in range(14, 19)]
    assert json.loads((prepared / "golden/000.json").read_text()) == [[12.0], [13.0]]


@pytest.mark.parametrize(
    ("split", "what"),
    [("{}", "by: time"), ("{by: time, rows: {train: 2, validation: 4, test: 5}}", "shorter than a window")],
)
def test_windows_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = table(Path("data/hours"), split)
    with pytest.raises(SpecError, match="1 problem") as caught:
        stage.main([str(folder)])
    assert what in str(caught.value)
    assert not Path(".modelyard/staging/hours/prepared").exists()


def test_digests_are_of_what_the_network_gets() -> None:
    a, b = np.array([1, 2]), np.array([3])
    assert digest_of({"x": a, "y": b}, ("x",)) == digest_of({"x": a, "y": a}, ("x", "x_lengths"))
    assert digest_of({"x": a, "y": b}, ("x", "y")) != digest_of({"x": a[:1], "y": np.array([2, 3])}, ("x", "y"))
    assert digest_of({"x": a}, ("noise",)) != digest_of({"x": b}, ("noise",))
