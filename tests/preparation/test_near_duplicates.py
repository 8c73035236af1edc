"""Near-duplicates: what is found, what is not, and what follows for the splits."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.contracts.dataset import SplitSpec
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.preparation import candidates, near_table, picture_hash, shingles, signal_shape, splits, stage
from components.preparation.near_duplicates import METHODS, NearDuplicates, SignatureFile
from components.preparation.splits import OPEN, TEST, TRAIN, UNUSED, VALIDATION, Draw
from tests.preparation.test_prepare import declare_valid, staged


def scene(number: int) -> Image.Image:
    """A picture of its own."""
    small = np.random.default_rng(number).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC)


def jpeg(number: int, quality: int = 90) -> bytes:
    out = io.BytesIO()
    scene(number).save(out, "JPEG", quality=quality)
    return out.getvalue()


def find(kind: str, values: list[object], path: Path, keys: list[int] | None = None) -> NearDuplicates:
    with SignatureFile(path) as file:
        for start in range(0, len(values), 32):
            file.append(METHODS[kind].signatures(values[start : start + 32]))  # type: ignore[index]
        return file.find(kind, np.array(keys or range(1, len(values) + 1), np.uint64))  # type: ignore[arg-type]


def pairs(found: NearDuplicates) -> set[tuple[int, int]]:
    return set(map(tuple, found.pairs.tolist()))


def test_pictures_that_were_stored_again_are_found_and_others_are_not(tmp_path: Path) -> None:
    originals = [np.asarray(scene(number)) for number in range(200)]
    copies = [
        np.asarray(scene(0).resize((40, 40)).resize((48, 48))),
        np.clip(originals[1] * 0.85 + 12, 0, 255).astype(np.uint8),
        np.asarray(Image.open(io.BytesIO(jpeg(2, 40)))),
    ]
    found = find("picture", originals + copies, tmp_path / "x")
    assert pairs(found) == {(0, 200), (1, 201), (2, 202)}
    assert found.complete
    keys = found.keys.tolist()
    assert [keys[row] for row in (200, 201, 202)] == [1, 2, 3]  # the least key of each group
    assert len(set(keys)) == 200
    assert not (tmp_path / "x").exists()


def test_pictures_of_one_level_are_no_near_duplicates(tmp_path: Path) -> None:
    plain = [np.full((20, 20, 1), level, np.uint8) for level in range(40)]
    assert pairs(find("picture", plain, tmp_path / "x")) == set()


def test_edited_texts_are_found_and_others_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(300)]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(300)]
    edited = texts[0].upper() + "!", texts[1].replace(" ", "  ") + " today", "x" + texts[2][1:]
    found = find("text", [*texts, *edited, "", "ok", "ok."], tmp_path / "x")
    assert pairs(found) == {(0, 300), (1, 301), (2, 302)}
    one, other = (shingles.signatures([text]) for text in (texts[3], texts[3][:120] + texts[4][120:]))
    sets = [
        {text[place : place + shingles.LENGTH] for place in range(len(text) - shingles.LENGTH + 1)}
        for text in (texts[3], texts[3][:120] + texts[4][120:])
    ]
    exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert float(shingles.similarity(one, other)[0]) == pytest.approx(exact, abs=0.12)


def test_series_are_compared_by_their_course(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((120, 2)).cumsum(axis=0) for _ in range(200)]
    copies = [series[0] * 3 + 5, series[1] + 0.01 * rng.standard_normal((120, 2)), series[2][:100]]
    found = find("series", [*series, *copies], tmp_path / "x")
    assert pairs(found) == {(0, 200), (1, 201)}
    short = [rng.standard_normal((signal_shape.MIN_STEPS - 1, 1)) for _ in range(3)]
    assert (
        pairs(find("series", [*short, short[0] * 1.001, np.ones((50, 1)), np.ones((50, 1))], tmp_path / "y")) == set()
    )


def test_many_samples_that_are_alike_take_no_squared_time() -> None:
    """6,000 equal hashes would be 18 million pairs."""
    found = candidates.of_hashes(np.zeros(6_000, np.uint64), picture_hash.MAX_DISTANCE)
    assert len(found.pairs) <= (candidates.MOST + 8) * 6_000
    band = candidates.of_bands(np.zeros((1_000, 21), np.uint32))
    assert len(band.pairs) <= (candidates.MOST + 8) * 1_000


def test_copies_groups_and_near_duplicates_are_drawn_as_one() -> None:
    count = 400
    keys = np.random.default_rng(0).integers(0, 2**62, count).astype(np.uint64)
    keys[10] = keys[11]
    near = keys.copy()
    near[20] = near[21] = min(near[20], near[21])
    near[[10, 11, 12]] = near[[10, 11, 12]].min()
    groups = np.arange(count, dtype=np.uint64)
    groups[21] = groups[22] = 21
    classes = [(row % 2,) for row in range(count)]
    opened = np.full(count, OPEN, np.uint8)
    spec = SplitSpec(test=0.2, validation=0.1, near_duplicates="together")
    for number, draw in enumerate((Draw(keys, classes, opened, None, near), Draw(keys, classes, opened, groups, near))):
        assigned = splits.assign(draw, spec)
        assert len(set(assigned[[10, 11, 12]])) == 1
        assert len(set(assigned[[20, 21]])) == 1
        assert not number or len(set(assigned[[20, 21, 22]])) == 1
        assert abs((assigned == TEST).mean() - 0.2) < 0.01
    plain = Draw(keys, classes, opened)
    alone = splits.assign(plain, SplitSpec(test=0.2, validation=0.1))
    assert (splits.assign(plain._replace(near=keys), spec) == alone).all()  # nothing is near: as without the key


@pytest.mark.parametrize(("setting", "left_out"), [("together", False), ("leave_out", True)])
def test_near_duplicates_of_a_given_test_split(setting: str, left_out: bool) -> None:
    keys = np.arange(100, dtype=np.uint64)
    near = keys.copy()
    near[60] = near[5]  # of test
    near[85] = near[6]  # validation, of test
    given = np.array([TEST] * 20 + [TRAIN] * 60 + [VALIDATION] * 20, np.uint8)
    spec = SplitSpec(near_duplicates=setting)  # type: ignore[arg-type]
    assigned = splits.assign(Draw(keys, [(0,)] * 100, given, None, near), spec)
    assert (assigned[[60, 85]] == UNUSED).all() == left_out
    assert (assigned == UNUSED).sum() == 2 * left_out


def dataset(folder: Path, split: str, contents: list[tuple[str, bytes, str | None]]) -> Path:
    (folder / "raw").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(
        f"name: {folder.name}\ntask: image-classification\nsource: {{kind: folder, path: x}}\n"
        f"split: {split}\ninput: {{height: 24, width: 24, channels: 3}}\n"
    )
    samples = [
        Sample(f"{row}.x", given, {"image": content, "label": label})
        for row, (label, content, given) in enumerate(contents)
    ]
    fields = {"image": "binary", "label": "text"}
    written = sample_file.write(samples, folder / "raw/samples.parquet", "writing", fields)  # type: ignore[arg-type]
    manifest.seal(folder / "raw", "raw", {"samples": written.samples, "labels": written.labels})
    declare_valid(folder)
    return folder


def prepared(name: str, split: str, contents: list[tuple[str, bytes, str | None]]) -> tuple[dict[str, str], list[dict]]:
    """The split of each sample, and the table of near-duplicates; [] without one."""
    folder = dataset(Path("data") / name, split, contents)
    stage.main([str(folder)])
    table = staged(folder) / near_table.FILE_NAME
    rows = pq.read_table(staged(folder) / "samples.parquet").to_pylist()
    return {row["id"]: row["split"] for row in rows}, pq.read_table(table).to_pylist() if table.exists() else []


def test_from_raw_samples_to_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = [("ab"[number % 2], jpeg(number), None) for number in range(60)]
    contents += [("ab"[number % 2], jpeg(number, 70), None) for number in range(20)]
    contents += [("a", jpeg(1), None)]  # a copy, and near-duplicate of 61, with another label
    shares = "test: 0.3, validation: 0.3"
    before, listed = prepared("reported", f"{{{shares}}}", contents)
    ignored, not_listed = prepared("ignored", f"{{{shares}, near_duplicates: ignore}}", contents)
    assert before == ignored  # without the key, the splits are as ever
    assert not_listed == []
    assert sum(row["first_split"] != row["second_split"] for row in listed) > 3
    text = capfd.readouterr().err
    assert "reported: 41 samples are near-duplicates, in 20 groups (correlation of the pictures" in text
    assert "samples of train have a near-duplicate in validation or test" in text
    together, listed = prepared("kept", f"{{{shares}, near_duplicates: together}}", contents)
    assert len(listed) == 20
    assert all(row["first_split"] == row["second_split"] for row in listed)
    assert {(row["first"], row["second"]) for row in listed} == {(f"{n}.x", f"{n + 60}.x") for n in range(20)}
    assert set(together.values()) == {"train", "validation", "test"}
    facts = manifest.load(staged(Path("kept")), "prepared").facts["near_duplicates"]
    assert (facts["pairs"], facts["samples"], facts["groups"], facts["setting"]) == (20, 41, 20, "together")
    given = [(label, content, "test" if row < 20 else "train") for row, (label, content, _) in enumerate(contents)]
    capfd.readouterr()
    left_out, listed = prepared("given", "{validation: 0.3, near_duplicates: leave_out}", given)
    assert len(left_out) == 60
    assert {row["second_split"] for row in listed} == {""}
    assert "20 samples that are nearly equal to one of the source's test or validation split are left out" in (
        error := capfd.readouterr().err
    )
    assert "given: 1 samples that are in the source's test or validation split too are left out" in error


def test_a_dataset_without_the_new_keys_has_the_digest_of_before() -> None:
    assert list(json.loads(SplitSpec().model_dump_json())) == ["by", "rows", "test", "validation", "seed", "group"]
