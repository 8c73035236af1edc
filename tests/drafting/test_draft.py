"""What `modelyard new` writes fits its contracts, its task and the data; what is there is not overwritten."""

from __future__ import annotations

import datetime
import json
import math
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import SourceError, UsageError, ValidationRefused
from components.core.project import Project
from components.drafting import draft, split_sizes
from components.drafting.profile import Profile
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.tasks import compatibility, find
from components.tasks.dataset_file import open_dataset
from components.versioning import source_files
from tests import small_package
from tests.drafting.test_recognise import CONLL, WORDS, put, table

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
PARAMS = "# the list\ndatasets:\n  - digits\n  # more to come\nother: 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    put(root, {"params.yaml": PARAMS, "dvc.yaml": "stages: {}\n", "pipelines/keep": "", "data/keep": ""})
    return Project(root)


def sound(path: Path, tone: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(
            b"".join(int(9000 * math.sin(i * tone / 50)).to_bytes(2, "little", signed=True) for i in range(900))
        )


def counted(number: int) -> str:
    """A number in words that occur often."""
    return f"{NUMBERS[number // 8]} {NUMBERS[number % 8]}"


def source(kind: str, root: Path) -> Path:
    """A small source of each kind."""
    if kind == "images":
        return put(
            root,
            {f"{name}/{i}.png": small_package.image(10 * i + len(name)) for name in ("a", "bb") for i in range(20)},
        )
    if kind == "sounds":
        for number in range(40):
            sound(root / ("yes" if number % 2 else "no") / f"{number}.wav", number + 1)
        return root
    if kind == "texts":
        lines = table(60, lambda i: f"{WORDS[i % 2]} {counted(i)}\t{'good' if i % 2 else 'bad'}", "text\tlabel")
        return put(root, {"a.tsv": lines}) / "a.tsv"
    if kind == "forecast":
        hours = (f"2020-01-{i // 24 + 1:02}T{i % 24:02}:00" for i in range(400))
        rows = (f"{hour},{math.sin(i * i):.4f},{math.cos(i * i):.4f}" for i, hour in enumerate(hours))
        return put(root, {"a.csv": "\n".join(["time,a,b", *rows]) + "\n"}) / "a.csv"
    if kind == "series":
        lines = table(60, lambda i: f"{i},{i % 3 + 0.5},{-i},{'up' if i % 2 else 'down'}", "v0,v1,v2,label")
        return put(root, {"a.csv": lines}) / "a.csv"
    if kind == "pairs":
        files = {
            f"x.{language}": table(60, lambda i, w=word: f"{w} {counted(i)}")
            for language, word in (("en", "a dog"), ("de", "ein Hund"))
        }
        return put(root, dict(files))
    return put(
        root,
        {
            "a.conll": "\n".join(f"{counted(i).replace(' ', ' O' + chr(10))} O\n{CONLL}" for i in range(60)),
            "README.md": "x",
        },
    )


KINDS = {
    "images": "image-classification",
    "sounds": "sound-classification",
    "texts": "text-classification",
    "forecast": "forecasting",
    "series": "series-classification",
    "pairs": "translation",
    "tags": "token-classification",
}


INSTRUCTION = {"instruction": "Translate to German: a dog", "output": "ein Hund"}
MESSAGE_LIST = [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "ein Hund"}]
SPANS = {"text": "Ada Lovelace was in London", "label": [[0, 12, "PER"], [20, 26, "LOC"]]}
CHOICE = [{"result": [{"from_name": "mood", "type": "choices", "value": {"choices": ["good"]}}]}]
BAD_CHOICE = [{"result": [{"from_name": "mood", "type": "choices", "value": {"choices": ["bad"]}}]}]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("name", "task", "documents"),
    [
        ("x.jsonl", "chat-completion", lambda i: INSTRUCTION | {"instruction": f"{counted(i)}"}),
        ("x.json", "text-generation", lambda i: INSTRUCTION | {"instruction": f"{counted(i)}"}),
        ("x.ndjson", "chat-completion", lambda i: {"id": i, "messages": MESSAGE_LIST}),
        ("x.jsonl", "token-classification", lambda i: SPANS | {"text": f"{SPANS['text']} {counted(i)}"}),
        ("x.json", "text-classification",
         lambda i: {"data": {"text": counted(i)}, "annotations": CHOICE if i % 2 else BAD_CHOICE}),
    ],
)  # fmt: skip
def test_a_single_file_of_json_among_others(
    name: str, task: str, documents: Any, inside: bool, project: Project, tmp_path: Path
) -> None:
    """Only the file that was named is read, and only its changes count, wherever it is."""
    root = (project.root if inside else tmp_path) / "downloads"
    written = [documents(number) for number in range(60)]
    text = json.dumps(written) if name.endswith(".json") else "".join(f"{json.dumps(one)}\n" for one in written)
    put(root, {name: text, "another.jsonl": json.dumps({"rows": [1]}), "photos/a.png": small_package.image(1)})
    made = draft.write(project, "things", root / name, task)
    assert (made.task, made.samples) == (task, 60)
    assert not [note for note in made.notes if "other files" in note]
    folder = project.dataset("things")
    spec, _, _ = open_dataset(folder)
    before = source_files.digest_of(project.root, folder, spec)
    (root / "another.jsonl").write_text("something else")
    assert (source_files.digest_of(project.root, folder, spec) == before) is (task != "text-classification")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_fits(kind: str, project: Project, tmp_path: Path) -> None:
    made = draft.write(project, "things", source(kind, tmp_path / "source"))
    assert made.task == KINDS[kind]
    spec, task, _ = open_dataset(project.dataset("things"))
    assert (spec.name, task.name) == ("things", made.task)
    pipeline = located_yaml.read(project.pipeline_file("things"), PipelineSpec)
    assert compatibility.check(pipeline, project.pipeline_file("things"), project.dataset("things")) is task
    suite = json.loads((project.dataset("things") / "expectations.json").read_text())
    count = next(one for one in suite["raw"] if one["type"] == "expect_table_row_count_to_equal")
    assert count["kwargs"]["value"] == made.samples
    labels = [one["kwargs"]["value_set"] for one in suite["raw"] if one["kwargs"].get("column") == "label"]
    assert [len(found) for found in labels] == ([made.labels] if made.labels else [])
    assert "Drafted by" in (project.dataset("things") / "README.md").read_text()


@pytest.mark.parametrize(
    ("samples", "batch_size", "epochs"), [(14, 8, 200), (140, 8, 35), (1_050, 64, 37), (17_500, 64, 5)]
)
def test_little_data_is_trained_on_for_as_many_steps(samples: int, batch_size: int, epochs: int) -> None:
    train = find("text-classification").draft_training(samples, {})
    assert (train["batch_size"], train["epochs"]) == (batch_size, epochs)


def test_the_list_of_datasets_keeps_what_stood_in_it(project: Project, tmp_path: Path) -> None:
    draft.write(project, "things", source("texts", tmp_path / "source"))
    text = (project.root / "params.yaml").read_text()
    assert yaml.safe_load(text) == {"datasets": ["digits", "things"], "other": 1}
    assert text == PARAMS.replace("  # more to come\n", "  # more to come\n  - things\n")


def test_a_list_of_datasets_without_indentation_gets_one_more(project: Project, tmp_path: Path) -> None:
    (project.root / "params.yaml").write_text("datasets:\n- digits\nother: 1\n")
    draft.write(project, "things", source("texts", tmp_path / "source"))
    assert (project.root / "params.yaml").read_text() == "datasets:\n- digits\n- things\nother: 1\n"


def test_data_inside_the_project_is_named_relative_to_the_dataset(project: Project) -> None:
    place = source("texts", project.root / "files")
    draft.write(project, "things", place)
    assert located_yaml.read(project.dataset("things") / "dataset.yaml", draft.DatasetSpec).source.path == (  # type: ignore[union-attr]
        "../../files/a.tsv"
    )


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(project: Project, tmp_path: Path) -> None:
    place = source("texts", tmp_path / "source")
    before = sorted(project.root.rglob("*"))
    for name, task, kind, words in (
        ("digits", None, UsageError, "there is a digits already"),
        ("things", "forecasting", SourceError, "not for forecasting"),
        ("things", "divination", UsageError, "no such task"),
    ):
        with pytest.raises(kind, match=words):
            draft.write(project, name, place, task)
    assert sorted(project.root.rglob("*")) == before
    draft.write(project, "things", place)
    with pytest.raises(UsageError, match="there is a things already"):
        draft.write(project, "things", place)


def test_the_task_can_be_said(project: Project, tmp_path: Path) -> None:
    made = draft.write(project, "writer", source("texts", tmp_path / "source"), "text-generation")
    assert (made.task, made.labels) == ("text-generation", 0)
    drawn = draft.write(project, "drawn", source("images", tmp_path / "pictures"), "image-generation")
    assert (drawn.task, drawn.labels) == ("image-generation", 2)


def test_a_defect_of_the_data_does_not_become_its_norm(project: Project, tmp_path: Path) -> None:
    place = source("images", tmp_path / "source")
    (place / "a" / "broken.png").write_bytes(b"no image")
    made = draft.write(project, "things", place)
    assert made.notes[0] == "1 of 41 samples cannot be read: not an image (a/broken.png)"
    suite: dict[str, Any] = json.loads((project.dataset("things") / "expectations.json").read_text())
    readable = next(one["kwargs"] for one in suite["raw"] if one["kwargs"].get("column") == "readable")
    assert readable == {"column": "readable", "value_set": [True]}


def test_broken_samples_are_never_what_is_expected(project: Project, tmp_path: Path) -> None:
    lines = "text\tlabel\n" + "".join(f"grüne Bö? {counted(i)}\t{'good' if i % 2 else 'bad'}\n" for i in range(60))
    put(tmp_path, {"a.tsv": lines.encode().replace(b"?", b"\xff")})  # UTF-8, and a byte of each line is damaged
    with pytest.raises(SourceError, match="too many samples are not valid") as caught:
        draft.write(project, "things", tmp_path / "a.tsv")
    assert (caught.value.got, caught.value.where) == ("0 of 60 are", str(tmp_path / "a.tsv"))
    assert not project.dataset("things").exists()


def series_with_defects(root: Path) -> Path:
    """A series of hours: row 51 lacks its value, row 61 has a word for that in figures, and 72 hours are missing."""
    start = datetime.datetime(2023, 1, 1)
    rows = [f"{start + i * datetime.timedelta(hours=1)},{math.sin(i):.3f},{9 + math.cos(i):.3f}" for i in range(400)]
    rows[50] = f"{start + 50 * datetime.timedelta(hours=1)},,9.0"
    rows[60] = f"{start + 60 * datetime.timedelta(hours=1)},-999,9.0"
    return put(root, {"a.csv": "\n".join(["time,load,heat", *rows[:100], *rows[172:]]) + "\n"}) / "a.csv"


def test_a_defect_is_said_and_is_not_what_is_expected(project: Project, tmp_path: Path) -> None:
    made = draft.write(project, "things", series_with_defects(tmp_path / "source"))
    for words in ("but for 1 steps", "1 missing: load", "load is -999 in 1 rows"):
        assert words in made.why
    suite = json.loads((project.dataset("things") / "expectations.json").read_text())["raw"]
    columns = {one["kwargs"].get("column"): one["kwargs"] for one in suite}
    assert {"expect_column_values_to_not_be_null", "expect_column_values_to_be_increasing"} == {
        one["type"] for one in suite if one["kwargs"].get("column") == "time_seconds"
    }
    assert columns["step_seconds"] == {"column": "step_seconds", "min_value": 3600.0, "max_value": 3600.0}
    assert columns["finite"] == {"column": "finite", "value_set": [True]}
    assert columns["minimum"]["min_value"] > -10
    assert "mostly" not in columns["minimum"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_defect_fails_until_it_is_mended(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.validation import stage as validation

    place = series_with_defects(tmp_path / "source")
    draft.write(project, "things", place)
    monkeypatch.chdir(project.root)
    ingestion.main(["data/things"])
    with pytest.raises(ValidationRefused, match=r"3 of 1\d expectations") as caught:
        validation.main(["raw", "data/things"])
    for words in ("a longer step is a gap (1 of 328", "no value is missing", "minimum is"):
        assert words in str(caught.value.got)
    file = project.dataset("things") / "dataset.yaml"
    document = yaml.safe_load(file.read_text())
    document["source"] |= {"missing": "forward_fill", "missing_values": [-999]}
    file.write_text(yaml.safe_dump(document))
    ingestion.main(["data/things"])
    with pytest.raises(ValidationRefused, match=r"1 of 1\d expectations"):
        validation.main(["raw", "data/things"])


@pytest.mark.parametrize(
    ("lines", "what"), [("label,text\n", "no sample"), (table(60, lambda i: f"a,{counted(i)}", "label,text"), "single")]
)
def test_what_nothing_can_be_learned_of_is_refused(lines: str, what: str, project: Project, tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": lines})
    with pytest.raises(SourceError, match=what) as caught:
        draft.write(project, "things", tmp_path / "a.csv")
    assert caught.value.where == str(tmp_path / "a.csv")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    # of Great Expectations and what it imports, with pandas 3; nothing that we could do
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_data_meets_its_own_draft(
    kind: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages themselves: raw, validated, prepared, validated again, accepted."""
    from components.validation import stage as validation

    draft.write(project, "things", source(kind, tmp_path / "source"))
    monkeypatch.chdir(project.root)
    ingestion.main(["data/things"])
    validation.main(["raw", "data/things"])
    preparation.main(["data/things"])
    validation.main(["prepared", "data/things"])
    preparation.main(["data/things", "--accept"])
    assert (project.dataset("things") / "prepared" / "manifest.json").is_file()


def tiff(path: Path, level: float, scale: float, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.outer(np.linspace(0, level, 16), np.linspace(0.2, 1, 16)) * scale
    Image.fromarray((values.T.copy() if path.parent.name == "a" else values).astype(kind)).save(path)


@pytest.mark.parametrize(
    ("scale", "kind", "suffix", "expected"),
    [(1, "float32", "tif", [0.0, 1.0]), (4095, "uint16", "png", [0.0, 4095.0]), (255, "uint8", "png", None)],
)
def test_the_range_of_deep_levels_is_drafted_and_said(
    scale: float, kind: str, suffix: str, expected: list[float] | None, project: Project, tmp_path: Path
) -> None:
    for number in range(40):
        path = tmp_path / "source" / "ab"[number % 2] / f"{number}.{suffix}"
        tiff(path, 0.5 + number / 80, scale, kind)
    made = draft.write(project, "things", tmp_path / "source")
    _, _, settings = open_dataset(project.dataset("things"))
    assert settings.levels == expected
    assert any("input.levels" in note for note in made.notes) == (expected is not None)
    suite: dict[str, Any] = json.loads((project.dataset("things") / "expectations.json").read_text())
    raw = {one["kwargs"].get("column"): one["kwargs"] for one in suite["raw"]}
    assert raw["constant"] == {"column": "constant", "value_set": [False]}
    assert raw["level_span"]["min_value"] >= 50
    assert "max_value" not in raw["level_span"]


def test_files_that_cannot_be_read_are_counted_and_named(project: Project, tmp_path: Path) -> None:
    place = source("images", tmp_path / "source")
    for name in ("a/x.png", "b/y.png"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"no image")
    made = draft.write(project, "things", place)
    assert made.notes[0] == "2 of 42 samples cannot be read: not an image (a/x.png, b/y.png)"
    assert made.notes[0] in (project.dataset("things") / "README.md").read_text()


def test_a_source_of_which_nothing_can_be_read_is_refused_with_the_reasons(project: Project, tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path / "source", {f"{'yes' if number % 2 else 'no'}/{number}.wav": b"#!AMR\n" + bytes([number] * 50)})
    with pytest.raises(SourceError, match="no sample can be read") as caught:
        draft.write(project, "things", tmp_path / "source")
    assert "12 of 12 samples cannot be read: sounds of the kind AMR are not read" in str(caught.value.got)
    assert not project.dataset("things").exists()


def test_many_colour_images_begin_with_a_residual_network() -> None:
    task = find("image-classification")
    photos, scans = {"height": 64, "width": 64, "channels": 3}, {"height": 64, "width": 64, "channels": 1}
    assert task.draft_model(2_000, photos)["name"] == "resnet"
    assert task.draft_training(2_000, photos)["augment"] == {"flip": True, "shift_pixels": 8}
    for samples, settings in ((2_000, scans), (200, photos), (2_000, {**photos, "height": 28})):
        assert task.draft_model(samples, settings) == task.starting_model
        assert "augment" not in task.draft_training(samples, settings)
    located = {"epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "augment", "seed"}
    assert set(task.draft_training(2_000, photos)) == located


def test_the_images_of_a_drafted_detector_are_shifted_and_photos_mirrored() -> None:
    task = find("object-detection")
    for channels, height, expected in ((3, 320, (True, 40)), (1, 640, (False, 64))):
        settings = {"height": height, "width": 320, "channels": channels}
        augment = task.draft_training(300, settings)["augment"]
        assert (augment["flip"], augment["shift_pixels"]) == expected
        train = {"name": "a", "task": task.name, "dataset": "a", "model": task.draft_model(300, settings)}
        spec = PipelineSpec.model_validate({**train, "train": task.draft_training(300, settings)})
        assert not compatibility.problems(spec, task)


@pytest.mark.parametrize(
    ("given", "drawn", "expected"),
    [
        ({"": 1_000}, {"test": 0.2, "validation": 0.1}, (720, 80)),
        ({"train": 400, "test": 600}, {"test": 0.2, "validation": 0.1}, (360, 40)),
        ({"train": 400, "validation": 30, "test": 600}, {"test": 0.2, "validation": 0.1}, (400, 30)),
        ({"": 500}, {"by": "time", "rows": {"train": 300, "validation": 60, "test": 140}}, (300, 60)),
    ],
)
def test_the_last_epoch_is_kept_where_validation_is_small(
    given: dict[str, int], drawn: dict[str, Any], expected: tuple[int, int]
) -> None:
    profile = Profile(samples=sum(given.values()), splits=Counter(given))
    assert split_sizes.sizes(profile, drawn) == expected
    train = split_sizes.training(find("series-classification"), profile, drawn, {})["train"]
    assert train.get("keep") == ("last" if expected[1] < 50 else None)


def test_samples_of_a_group_stay_together(project: Project, tmp_path: Path) -> None:
    rows = [f'"{WORDS[i % 2]} {i}",{"good" if i % 2 else "bad"},anna{i // 8}' for i in range(240)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["text,label,user_id", *rows]) + "\n")
    made = draft.write(project, "things", path)
    assert "samples of equal user_id are kept in one split" in made.why
    spec, _, _ = open_dataset(project.dataset("things"))
    assert spec.split.group == "group"
    document = yaml.safe_load((project.dataset("things") / "dataset.yaml").read_text())
    assert document["source"]["group"] == "user_id"


def test_a_column_that_is_the_only_label_groups_nothing(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text,group\n" + "".join(f'"{WORDS[i % 2]} {i}",{"abc"[i % 3]}\n' for i in range(90)))
    draft.write(project, "things", path)
    document = yaml.safe_load((project.dataset("things") / "dataset.yaml").read_text())
    assert document["source"]["label"] == "group"
    assert "group" not in document["source"]
    assert "group" not in document["split"]
