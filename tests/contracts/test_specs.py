"""Pipeline and dataset files: what fits is read, what does not is refused with every problem and its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, SpecError, UsageError
from flows.cli.run import parse_settings

GOOD = """\
name: digits
task: image-classification
dataset: digits
model: {family: cnn, name: textbook, depth: 2, width: 16}
train:
  epochs: 3
  learning_rate: 1e-3
gates: {accuracy: {min: 0.9}}
schedule: {cron: "0 3 * * mon-fri", timezone: Europe/Berlin}
"""

BROKEN = {
    "unknown key": ("epochs: 3", "epoch: 3", 6, "unknown key"),
    "wrong type": ("epochs: 3", "epochs: three", 6, "valid integer"),
    "text for a number": ("epochs: 3", 'epochs: "3"', 6, "valid integer"),
    "out of range": ("epochs: 3", "epochs: 0", 6, "greater than or equal to 1"),
    "not finite": ("learning_rate: 1e-3", "learning_rate: .nan", 7, ""),
    "unknown top key": ("dataset: digits", "dataset: digits\ndatasets: [digits]", 4, "unknown key"),
    "missing key": ("dataset: digits\n", "", None, "Field required"),
    "no name of a task": ("task: image-classification", "task: Image classification", 2, "pattern"),
    "unknown model": ("name: textbook", "name: gpt", 4, "textbook"),
    "key of another model": ("width: 16", "heads: 4", 4, "unknown key"),
    "bad depth": ("name: textbook, depth: 2, width: 16", "name: resnet, depth: 18", 4, "nearest is 20"),
    "bad cron": ("0 3 * * mon-fri", "0 25 * * *", 9, "cron"),
    "short cron": ("0 3 * * mon-fri", "0 3 *", 9, "cron"),
    "bad time zone": ("Europe/Berlin", "Mars/Olympus", 9, "time zone"),
    "bad name": ("name: digits", "name: Digits!", 1, "pattern"),
    "reserved name": ("name: digits", "name: v2", None, "reserved"),
    "twice the same key": ("dataset: digits", "dataset: digits\ndataset: other", 4, "duplicate key"),
    "a list where keys belong": ("gates: {accuracy: {min: 0.9}}", "gates: [accuracy]", 8, ""),
    "unknown key of a floor": ("{min: 0.9}", "{mim: 0.9}", 8, "unknown key"),
    "a floor without a limit": ("{min: 0.9}", "{}", 8, "min: (higher"),
    "a floor from both sides": ("{min: 0.9}", "{min: 0.9, max: 1.0}", 8, "min: (higher"),
    "slices of a ceiling": ("{min: 0.9}", "{max: 0.9, slice_min: 0.1}", 8, "slice_min goes with min"),
    "a floor that is no number": ("{min: 0.9}", "{min: .nan}", 8, "finite"),
    "unknown key of a budget": ("dataset: digits", "dataset: digits\nbudget: {parameter: 9}", 4, "unknown key"),
    "a budget of nothing": ("dataset: digits", "dataset: digits\nbudget: {bundle_mb: 0}", 4, "greater than 0"),
    "no YAML": ("epochs: 3", "epochs: [3", None, "not YAML"),
    "momentum of AdamW": ("epochs: 3", "momentum: 0.8", 5, "momentum has no effect with optimizer: adamw"),
    "a figure that decides nothing": (
        "epochs: 3",
        "keep: last\n  keep_metric: accuracy",
        5,
        "no effect with keep: last",
    ),
    "no regular expression": ("epochs: 3", 'weight_decay_by_name: {"[": 0.0}', 5, "not a regular expression"),
    "cannot go together": ("epochs: 3", "early_stopping: {patience_epochs: 2}", 5, "onecycle"),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    spec = located_yaml.read(write(tmp_path, GOOD), PipelineSpec)
    assert spec.train.learning_rate == 0.001
    assert spec.model.name == "textbook"
    assert {metric: floor.min for metric, floor in spec.gates.floors.items()} == {"accuracy": 0.9}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_with_line_and_reason(kind: str, tmp_path: Path) -> None:
    old, new, line, message = BROKEN[kind]
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        located_yaml.read(write(tmp_path, GOOD.replace(old, new)), PipelineSpec)
    assert len(caught.value.problems) == 1
    problem = caught.value.problems[0]
    assert message in problem.message
    if line is not None:
        assert problem.line == line
    assert caught.value.exit_code == 2


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("epochs: 3", "epochs: 0").replace("Europe/Berlin", "Nowhere").replace("width: 16", "wide: 1")
    with pytest.raises(SpecError) as caught:
        located_yaml.read(write(tmp_path, text), PipelineSpec)
    assert [problem.line for problem in caught.value.problems] == [4, 6, 9]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_a_file_without_keys_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="1 problem"):
        located_yaml.read(write(tmp_path, text), PipelineSpec)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(SpecError, match="1 problem") as caught:
        located_yaml.read(path, PipelineSpec)
    assert "UTF-8" in caught.value.problems[0].message


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        located_yaml.read(tmp_path / "none.yaml", PipelineSpec)


@pytest.mark.parametrize("overrides", [{"serving.workers": 0}, {"serving": {"workers": 0}}])
def test_a_wrong_override_of_a_key_that_is_not_in_the_file_is_named(overrides: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        located_yaml.read(write(tmp_path, GOOD), PipelineSpec, overrides)
    assert [(one.path, one.line) for one in caught.value.problems] == [("serving.workers", 0)]


def test_overrides_take_the_place_of_the_files_values(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    spec = located_yaml.read(path, PipelineSpec, {"train.epochs": 7, "serving.workers": 2})
    assert (spec.train.epochs, spec.serving.workers) == (7, 2)
    with pytest.raises(SpecError):
        located_yaml.read(path, PipelineSpec, {"train.epohcs": 7})
    with pytest.raises(SpecError):
        located_yaml.read(path, PipelineSpec, {"name.first": 7})


def test_a_url_source_needs_a_digest(tmp_path: Path) -> None:
    text = """\
name: x
task: image-classification
source:
  kind: url
  files: [{url: "https://example.org/a.gz", name: a.gz}]
  layout: {kind: folder}
image: {height: 8, width: 8, channels: 1}
"""
    with pytest.raises(SpecError) as caught:
        located_yaml.read(write(tmp_path, text), DatasetSpec)
    assert "sha256" in caught.value.problems[0].path


def test_serving_options_at_their_default_stand_in_no_dump(tmp_path: Path) -> None:
    """The key of a bundle has them: whoever does not use a new option keeps his bundle."""
    spec = located_yaml.read(write(tmp_path, GOOD), PipelineSpec)
    assert set(spec.serving.model_dump()) == {
        "max_batch_size", "max_request_megabytes", "max_image_megapixels", "workers",
    }  # fmt: skip
    options = {"serving.threads": 2, "serving.device": "cuda", "serving.gpu_memory_mb": 512, "serving.max_queue": 9}
    changed = located_yaml.read(write(tmp_path, GOOD), PipelineSpec, options)
    assert {f"serving.{name}": value for name, value in changed.serving.model_dump().items()}.items() >= options.items()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"serving.quantize": "int8", "serving.device": "cuda"}, "is for processors"),
        ({"serving.gpu_memory_mb": 512, "serving.device": "cpu"}, "does nothing"),
        ({"serving.quantize": "int4"}, "'none' or 'int8'"),
        ({"serving.threads": 0}, "greater than or equal to 1"),
    ],
)
def test_serving_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        located_yaml.read(write(tmp_path, GOOD), PipelineSpec, options)
    assert said in str(caught.value)


@pytest.mark.parametrize("word", ["on", "off"])
def test_words_that_yaml_1_1_reads_as_booleans_are_texts(tmp_path: Path, word: str) -> None:
    text = GOOD.replace("epochs: 3", f"compile: {word}\n  class_weights: {{no: 1, yes: 3.5, 7: 2, 1.5: 2, true: 2}}")
    spec = located_yaml.read(write(tmp_path, text), PipelineSpec)
    assert spec.train.compile == word
    assert spec.train.class_weights == {"no": 1, "yes": 3.5, "7": 2, "1.5": 2, "true": 2}
    settings = parse_settings(
        (f"train.compile={word}", "train.class_weights={yes: 3.5, 7: 2}", "train.augment.flip=true")
    )
    assert settings["train.compile"] == word
    assert settings["train.class_weights"] == {"yes": 3.5, "7": 2}
    assert settings["train.augment.flip"] is True


@pytest.mark.parametrize("value", ["{", "@", "{a: 1, a: 2}"])
def test_a_setting_that_is_not_yaml_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"train\.augment"):
        parse_settings((f"train.augment={value}",))
