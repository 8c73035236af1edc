"""A champion of older data reads the new data's test split with its own tokenizer, scaler, size of images."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from components import tasks
from components.core.errors import NotFoundError, SampleError
from components.core.project import Project
from components.evaluation import scorer
from components.evaluation import stage as evaluation
from components.evaluation.test_split import FrozenSplit
from components.gates.reencoding import reencode
from components.gates.scoring import ScoringFailure, score
from components.identity import manifest
from components.identity.package import Package
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.preparation import stage
from components.preprocessing import spans
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training import prepared_task
from tests.training.small_cases import CASES, request

WORDS = {"tokenizer": {"kind": "words", "min_frequency": 1}, "max_length": 24}
SEEDS = {"old": 1, "new": 2}
LAYOUTS: dict[str, dict[str, Any]] = {  # which are never read: the raw samples are there
    "text-classification": {"kind": "csv", "files": {"": "x"}, "text": "text", "label": "label"},
    "text-generation": {"kind": "csv", "files": {"": "x"}, "text": "text", "label": None},
    "token-classification": {"kind": "conll", "files": {"": "x"}},
    "translation": {"kind": "pairs", "source": {"": "x"}, "target": {"": "x"}},
    "forecasting": {"kind": "csv", "files": {"": "x"}, "time": "time", "values": ["a", "b"], "label": None},
    "image-classification": {"kind": "folder", "root": "x"},
    "object-detection": {"kind": "voc", "root": "x"},
}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def dataset(name: str, task: str, settings: dict[str, Any], samples: Sequence[Sample], **split: Any) -> FrozenSplit:
    """Prepared by the stage itself, beside its raw samples."""
    folder = Path("data") / name
    (folder / "raw").mkdir(parents=True)
    file = {"name": "x", "sha256": "0" * 64, "url": "https://example.org/x"}
    source = {"kind": "url", "files": [file], "layout": LAYOUTS[task]}
    document = {"name": name, "task": task, "source": source, "input": settings}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(document | {"split": split}))
    written = sample_file.write(samples, folder / "raw/samples.parquet", "writing", tasks.find(task).fields)
    raw = manifest.seal(folder / "raw", "raw", {"samples": written.samples})
    (folder / "validated").mkdir()
    manifest.seal(folder / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    stage.main([str(folder)])
    shutil.copytree(Project(Path()).state / "staging" / name / "prepared", folder / "prepared")
    return FrozenSplit.open(folder / "prepared", manifest.load(folder / "prepared", "prepared").facts)


def drawn(task: str, name: str, more: Sequence[dict[str, Any]] = ()) -> list[Sample]:
    """Train and validation of its own, with words that the other has not; the same test samples."""
    rng = np.random.default_rng(SEEDS[name])
    own = [*prepared_task.MAKERS[task](60, rng), *more]
    for values in own[:40]:
        for field in ("text", "source"):
            if field in values:
                values[field] += f" {name} {name}ish"
        if "tokens" in values:
            values["tokens"], values["tags"] = [*values["tokens"], name], [*values["tags"], "O"]
    shared = prepared_task.MAKERS[task](30, np.random.default_rng(0))
    parts = (("train", own[20:]), ("validation", own[:20]), ("test", shared))
    return [Sample(f"{part}/{row}", part, values) for part, rows in parts for row, values in enumerate(rows)]


def same(one: FrozenSplit, other: FrozenSplit, name: str) -> bool:
    """Whether both hold equal arrays of that name."""
    index = np.arange(len(one))
    return all(
        np.array_equal(values, other.split.batch(index, [name])[key])
        for key, values in one.split.batch(index, [name]).items()
    )


def test_texts_have_the_packages_tokens_and_the_datas_labels(scratch: Path) -> None:
    old = dataset("old", "text-classification", WORDS, drawn("text-classification", "old"))
    another = [{"text": f"odd {number}", "label": "a new class"} for number in range(3)]
    new = dataset("new", "text-classification", WORDS, drawn("text-classification", "new", another))
    assert (old.classes, new.classes) == (["bad", "good"], ["a new class", "bad", "good"])
    assert not same(old, new, "tokens")
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, old, "tokens")
    assert same(reencoded, new, "labels")
    assert not same(reencoded, old, "labels")  # numbered as the data numbers them
    assert (reencoded.classes, reencoded.processor) == (new.classes, new.processor)


def test_tags_stand_beside_the_packages_tokens(scratch: Path) -> None:
    bpe = {"tokenizer": {"kind": "bpe", "vocabulary": 300}, "max_length": 64}
    old = dataset("old", "token-classification", bpe, drawn("token-classification", "old"))
    another = [{"tokens": ["Ada", "there"], "tags": ["B-a", "O"]} for _ in range(3)]
    new = dataset("new", "token-classification", WORDS, drawn("token-classification", "new", another))
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, old, "tokens")
    tags = [[], []]
    for place, frozen in enumerate((reencoded, new)):
        batch = frozen.split.batch(np.arange(len(frozen)))
        tags[place] = [[new.classes[tag] for tag in row[row != spans.IGNORED]] for row in batch["tags"]]
    assert tags[0] == tags[1]
    assert any("B-name" in row for row in tags[0])


def test_a_shorter_package_keeps_the_tags_of_all_words(scratch: Path) -> None:
    old = dataset("old", "token-classification", WORDS | {"max_length": 2}, drawn("token-classification", "old"))
    new = dataset("new", "token-classification", WORDS, drawn("token-classification", "new"))
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, new, "word_tags")
    cut, whole = (int((frozen.split.all("word_tokens") >= 0).sum()) for frozen in (reencoded, new))
    assert cut < whole == len(new.split.all("word_tags"))


def test_translations_are_held_against_the_datas_references(scratch: Path) -> None:
    old = dataset("old", "translation", WORDS, drawn("translation", "old"))
    new = dataset("new", "translation", WORDS, drawn("translation", "new"))
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, old, "source")
    batch: Any = reencoded.split.batch(np.arange(len(reencoded)), ["target_text"])
    processor: Any = reencoded.processor
    shared = prepared_task.translation(30, np.random.default_rng(0))
    assert processor.references(batch) == [values["target"] for values in shared]


def test_images_are_of_the_packages_size(scratch: Path) -> None:
    def photos(name: str) -> list[Sample]:
        rows = [(part, row) for part, count in (("train", 8), ("validation", 4), ("test", 4)) for row in range(count)]
        return [
            Sample(f"{part}/{row}", part, {"image": photo(row + len(part)), "label": "ab"[row % 2]})
            for part, row in rows
        ]

    old = dataset("old", "image-classification", {"height": 4, "width": 6, "channels": 3}, photos("old"))
    new = dataset("new", "image-classification", {"height": 8, "width": 8, "channels": 1}, photos("new"))
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, old, "images")
    assert same(reencoded, new, "labels")


def test_boxes_are_where_the_package_has_its_pixels(scratch: Path) -> None:
    def photos(name: str) -> list[Sample]:
        box = {"label": "a", "xmin": 3, "ymin": 2, "xmax": 15, "ymax": 12}
        counts = (("train", 8), ("validation", 4), ("test", 4))
        rows = [(part, row) for part, count in counts for row in range(count)]
        return [
            Sample(f"{part}/{row}", part, {"image": photo(row + len(part)), "boxes": [{**box, "label": "ab"[row % 2]}]})
            for part, row in rows
        ]

    size = {"height": 16, "width": 16, "channels": 1}
    old = dataset("old", "object-detection", {**size, "resize": "pad"}, photos("old"))
    new = dataset("new", "object-detection", size, photos("new"))
    assert not same(old, new, "boxes")
    reencoded = reencode(new, old.processor, scratch)
    assert same(reencoded, old, "images")
    assert same(reencoded, old, "boxes")
    assert same(reencoded, new, "box_classes")


def photo(level: int) -> bytes:
    """A JPEG with a gradient."""
    out = io.BytesIO()
    pixels = np.add.outer(np.arange(20), np.arange(30)) * 3 + level
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(out, "JPEG")
    return out.getvalue()


ROWS = {"by": "time", "rows": {"train": 60, "validation": 20, "test": 20}}


def hours(factor: float = 1.0) -> list[Sample]:
    """Two waves, the first 40 hours of them so many times as high."""
    made = prepared_task.forecasting(100, np.random.default_rng(0))
    for values in made[:40]:
        values["values"] = values["values"] * factor
    return [Sample(f"t/{row}", None, values) for row, values in enumerate(made)]


def test_forecasts_look_back_as_far_as_the_package_does_on_its_own_scale(scratch: Path) -> None:
    old = dataset("old", "forecasting", {"look_back": 6, "horizon": 3}, hours(2.0), **ROWS)
    new = dataset("new", "forecasting", {"look_back": 4, "horizon": 3}, hours(), **ROWS)
    reencoded = reencode(new, old.processor, scratch)
    assert len(reencoded) == len(new) == len(old)
    assert same(reencoded, old, "past")
    assert same(reencoded, old, "future")
    other: Any = dataset("other", "forecasting", {"look_back": 4, "horizon": 2}, hours(), **ROWS).processor
    with pytest.raises(SampleError, match="another question"):
        reencode(new, other, scratch)


def test_language_models_of_other_tokens_do_not_compare(scratch: Path) -> None:
    old = dataset("old", "text-generation", WORDS, drawn("text-generation", "old"))
    new = dataset("new", "text-generation", WORDS, drawn("text-generation", "new"))
    with pytest.raises(SampleError, match="do not compare"):
        reencode(new, old.processor, scratch)


def test_a_scorer_from_outside_that_does_not_say_its_truth_is_not_compared(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (dataset(name, "text-classification", WORDS, drawn("text-classification", name)) for name in SEEDS)
    assert old.processor is not None
    monkeypatch.setattr(scorer, "load_scorer", lambda task: object())
    with pytest.raises(SampleError, match="read in two ways do not compare"):
        reencode(new, old.processor, scratch)


def test_other_raw_samples_or_none_are_said(scratch: Path) -> None:
    old = dataset("old", "text-classification", WORDS, drawn("text-classification", "old"))
    new = dataset("new", "text-classification", WORDS, drawn("text-classification", "new"))
    shutil.rmtree("data/new/raw")
    with pytest.raises(NotFoundError, match="raw samples"):
        reencode(new, old.processor, scratch)
    shutil.copytree("data/old/raw", "data/new/raw")
    with pytest.raises(NotFoundError, match="raw samples"):
        reencode(new, old.processor, scratch)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["lstm", "encoder", "seq2seq-gru", "forecast"])
def test_a_package_is_worth_on_the_new_data_what_it_was_on_its_own(case: str) -> None:
    """The test samples are the same; tokenizer and scaler are not."""
    task, settings, *_ = CASES[case]
    if task == "forecasting":
        settings = settings | {"look_back": 8, "horizon": 2}
        old, new = (dataset(name, task, settings, hours(factor), **ROWS) for name, factor in (("old", 2), ("new", 1)))
    else:
        old, new = (dataset(name, task, settings, drawn(task, name)) for name in SEEDS)
    asked = request(old.folder, Path("run"), case, epochs=1)
    training.train(asked, EventStream(io.StringIO()))
    Path("request.json").write_text(asked.model_dump_json())
    evaluation.main(["request.json"])
    package = Package.open(Path("run/package"))
    refused = score(package, new, "it")
    assert isinstance(refused, ScoringFailure)
    scored = score(package, new, "it", allow_reencoding=True)
    assert not isinstance(scored, ScoringFailure), scored.reason
    own = json.loads((package.folder / "metrics.json").read_bytes())["overall"]
    if task == "forecasting":  # in other units: each channel's own
        stds: list[Any] = [frozen.processor.std for frozen in (old, new)]  # type: ignore[attr-defined]
        errors = [part.figures["mse"] for part in scored.slices()]
        theirs = [row["mse"] for row in json.loads((package.folder / "metrics.json").read_bytes())["per_channel"]]
        expected = np.array(theirs) * (np.array(stds[0]) / np.array(stds[1])) ** 2
        assert errors == pytest.approx(expected.tolist(), rel=1e-5)
    else:
        assert scored.figures() == pytest.approx({name: own[name] for name in scored.figures()}, abs=1e-5)
