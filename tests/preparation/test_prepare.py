"""From raw/ to prepared/, on real digits and on small data made for the occasion."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.contracts.array_spec import ArraySpec
from components.core.errors import CorruptArtifactError, NotFoundError, SampleError, SpecError
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion import stage as ingestion
from components.ingestion.sample import Sample
from components.preparation import stage
from components.preprocessing.pixel_statistics import PixelStatistics
from components.tasks.image_classification import TASK

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own with the digits brought in and said to be valid."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/digits")
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text((ROOT / "data/digits/dataset.yaml").read_text())
    ingestion.main([str(folder)])
    declare_valid(folder)
    return folder


def declare_valid(folder: Path) -> None:
    raw = manifest.load(folder / "raw", "raw")
    (folder / "validated").mkdir(exist_ok=True)
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})


def staged(folder: Path) -> Path:
    return Path(".modelyard/staging") / folder.name / "prepared"


def judge(folder: Path, *, success: bool = True, digest: str | None = None) -> None:
    found = manifest.load(staged(folder), "prepared").digest
    verdict = {"subject_digest": digest or found, "success": success}
    (staged(folder).parent / "verdict.json").write_text(json.dumps(verdict))


@pytest.mark.slow
def test_the_arrays_hold_every_sample_once(digits: Path) -> None:
    stage.main([str(digits)])
    judge(digits)
    stage.main([str(digits), "--accept"])
    prepared = digits / "prepared"
    sealed = manifest.verify(prepared, "prepared")
    facts = sealed.facts
    assert sum(facts["counts"].values()) == 1797
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert set(facts) >= {"dataset", "task", "raw_digest", "validated_digest", "verdict_digest", "arrays"}
    processor = TASK.load(prepared)
    assert [ArraySpec.model_validate_json(json.dumps(spec)) for spec in facts["arrays"]] == [*processor.arrays()]
    raw = {row["id"]: row for row in pq.read_table(digits / "raw/samples.parquet").to_pylist()}
    seen = set()
    arrays = {}
    for split, count in facts["counts"].items():
        images = np.load(prepared / split / "images.npy", mmap_mode="r")
        labels = np.load(prepared / split / "labels.npy", mmap_mode="r")
        assert images.shape == (count, 8, 8, 1)
        assert images.dtype == np.uint8
        assert labels.shape == (count,)
        assert labels.dtype == np.int64
        arrays[split] = (images, labels)
    for row in pq.read_table(prepared / "samples.parquet").to_pylist():
        images, labels = arrays[row["split"]]
        assert (processor.read(raw[row["id"]]["image"], max_pixels=64)["images"] == images[row["row"]]).all()
        assert facts["classes"][labels[row["row"]]] == row["label"] == raw[row["id"]]["label"]
        seen.add(row["id"])
    assert seen == set(raw)
    train = np.asarray(arrays["train"][0], np.float64) / 255
    assert processor.mean == pytest.approx([train.mean()])
    assert processor.std == pytest.approx([train.std()])
    index = json.loads((prepared / "golden/index.json").read_text())
    assert len(index) == 16
    assert {entry["truth"] for entry in index} == set(facts["classes"])
    for entry in index:
        assert (prepared / "golden" / entry["file"]).read_bytes() == raw[entry["id"]]["image"]


@pytest.mark.slow
def test_the_digest_is_the_same_in_another_folder(
    digits: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.main([str(digits)])
    first = manifest.load(staged(digits), "prepared").digest
    other = tmp_path_factory.mktemp("elsewhere") / "data" / "digits"
    other.parent.mkdir()
    digits.resolve().rename(other)
    monkeypatch.chdir(other.parents[1])
    stage.main(["data/digits"])
    assert manifest.load(staged(Path("data/digits")), "prepared").digest == first


def test_a_flipped_byte_in_raw_is_refused_though_its_time_is_old(digits: Path) -> None:
    import os

    path = digits / "raw/samples.parquet"
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(CorruptArtifactError) as caught:
        stage.main([str(digits)])
    assert caught.value.where == "data/digits/raw/samples.parquet"


def test_a_verdict_on_other_raw_data_is_refused(digits: Path) -> None:
    manifest.seal(digits / "validated", "validated", {"raw_digest": "0" * 64, "success": True})
    with pytest.raises(CorruptArtifactError, match="other raw data"):
        stage.main([str(digits)])


@pytest.mark.slow
def test_nothing_is_accepted_without_a_good_verdict_on_these_bytes(digits: Path) -> None:
    with pytest.raises(NotFoundError, match="no prepared"):
        stage.main([str(digits), "--accept"])
    stage.main([str(digits)])
    with pytest.raises(NotFoundError, match="no verdict"):
        stage.main([str(digits), "--accept"])
    for wrong in ({"success": False}, {"digest": "0" * 64}):
        judge(digits, **wrong)
        with pytest.raises(CorruptArtifactError, match="verdict"):
            stage.main([str(digits), "--accept"])
    judge(digits)
    labels = staged(digits) / "test/labels.npy"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptArtifactError, match="not the one"):
        stage.main([str(digits), "--accept"])
    assert not (digits / "prepared").exists()


def photos(folder: Path, contents: list[tuple[str, bytes]]) -> Path:
    """A raw dataset of a few photos."""
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        f"name: {folder.name}\ntask: image-classification\nsource: {{kind: folder, path: x}}\n"
        "split: {test: 0.3, validation: 0.3}\ninput: {height: 4, width: 6, channels: 3}\n"
    )
    (folder / "raw").mkdir()
    samples = [
        Sample(f"{row}.x", None, {"image": content, "label": label}) for row, (label, content) in enumerate(contents)
    ]
    written = sample_file.write(
        samples, folder / "raw/samples.parquet", "writing", {"image": "binary", "label": "text"}
    )
    manifest.seal(folder / "raw", "raw", {"samples": written.samples, "labels": written.labels})
    declare_valid(folder)
    return folder


def jpeg(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), (level, 0, 255 - level)).save(out, "JPEG")
    return out.getvalue()


def test_equal_photos_stay_in_one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = [("ab"[number % 2], jpeg(number // 2 * 10)) for number in range(40)]  # each photo twice, with two labels
    folder = photos(Path("data/photos"), contents)
    stage.main([str(folder)])
    by_digest: dict[str, set[str]] = {}
    for row in pq.read_table(staged(folder) / "samples.parquet").to_pylist():
        by_digest.setdefault(row["digest"], set()).add(row["split"])
    assert len(by_digest) == 20
    assert all(len(found) == 1 for found in by_digest.values())
    assert set().union(*by_digest.values()) == {"train", "validation", "test"}


def test_a_photo_that_cannot_be_decoded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = photos(Path("data/photos"), [("a", jpeg(1)), ("b", jpeg(2)[:300]), ("a", jpeg(3))])
    with pytest.raises(SampleError) as caught:
        stage.main([str(folder)])
    assert caught.value.where == "1.x"
    assert not staged(folder).exists()


def test_a_single_class_is_nothing_to_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = photos(Path("data/photos"), [("cat", jpeg(level)) for level in range(0, 200, 10)])
    with pytest.raises(SpecError, match="single class") as caught:
        stage.main([str(folder)])
    assert caught.value.problems[0].got == "cat"
    assert not staged(folder).exists()


def test_statistics_are_numpys() -> None:
    tensors = np.random.default_rng(0).integers(0, 256, (50, 5, 4, 3), np.uint8)
    statistics = PixelStatistics(3)
    statistics.add(tensors[:20])
    statistics.add(tensors[20:])
    mean, std = statistics.result()
    assert mean == pytest.approx((tensors / 255).mean(axis=(0, 1, 2)), rel=1e-12)
    assert std == pytest.approx((tensors / 255).std(axis=(0, 1, 2)), rel=1e-12)
