"""What a pipeline asks of its task is checked before any work: metrics, model, dataset; with the lines of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import SpecError
from components.tasks import compatibility

GOOD = """\
name: digits
task: image-classification
dataset: digits
model: {family: cnn, name: textbook, depth: 2, width: 16}
train:
  epochs: 3
  augment: {flip: true}
gates:
  accuracy: {min: 0.9, slice_min: 0.5}
  nll: {max: 1.0}
  champion: {metric: macro_f1}
"""

BROKEN = {
    "unknown task": ("task: image-classification", "task: chess", 2, "image-classification"),
    "a task that does not import": ("task: image-classification", "task: nowhere.at_all:TASK", 2, "cannot be imported"),
    "unknown metric": ("  accuracy:", "  acuracy:", 9, "accuracy, macro_f1"),
    "a floor where lower is better": ("nll: {max", "nll: {min", 10, "set max"),
    "a ceiling where higher is better": ("{min: 0.9, slice_min: 0.5}", "{max: 0.9}", 9, "set min"),
    "unknown metric of the champion": ("metric: macro_f1", "metric: bleu", 11, "accuracy, macro_f1"),
    "no share": ("metric: macro_f1", "min_effect: 2.0", 11, "between -1 and 1"),
    "a setting of another loss": ("epochs: 3", "forecast_loss: mse", 6, "no effect on image-classification"),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


def check(path: Path, dataset: Path) -> None:
    compatibility.check(located_yaml.read(path, PipelineSpec), path, dataset)


def test_what_fits_passes_and_gives_the_task(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    spec = located_yaml.read(path, PipelineSpec)
    task = compatibility.check(spec, path, tmp_path)
    assert task.name == "image-classification"
    assert compatibility.champion_metric(spec, task) == "macro_f1"


def test_without_a_word_the_champion_is_compared_by_the_tasks_first_metric(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("metric: macro_f1", "min_effect: 0.0"))
    spec = located_yaml.read(path, PipelineSpec)
    assert compatibility.champion_metric(spec, compatibility.check(spec, path, tmp_path)) == "accuracy"


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_fit_is_refused_with_line_and_reason(kind: str, tmp_path: Path) -> None:
    old, new, line, message = BROKEN[kind]
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        check(write(tmp_path, GOOD.replace(old, new)), tmp_path)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert message in problem.message
    assert caught.value.exit_code == 2


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("accuracy:", "acuracy:").replace("metric: macro_f1", "metric: bleu")
    with pytest.raises(SpecError) as caught:
        check(write(tmp_path, text), tmp_path)
    assert [problem.line for problem in caught.value.problems] == [9, 11]


def test_a_model_of_images_does_not_read_text_and_text_is_not_augmented(tmp_path: Path) -> None:
    text = GOOD.replace("image-classification", "text-classification")
    with pytest.raises(SpecError) as caught:
        check(write(tmp_path, text), tmp_path)
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [
        ("model", 4),
        ("train.augment.flip", 7),
    ]
    assert "takes image; text-classification gives tokens" in caught.value.problems[0].message


def test_a_dataset_of_another_task_is_refused(tmp_path: Path) -> None:
    source = "source: {kind: sklearn, name: digits}"
    (tmp_path / "dataset.yaml").write_text(f"name: digits\ntask: text-classification\n{source}\n")
    with pytest.raises(SpecError) as caught:
        check(write(tmp_path, GOOD), tmp_path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == ("dataset", 3)
    assert "text-classification" in problem.message


def test_one_logit_is_for_a_task_of_classes(tmp_path: Path) -> None:
    spec = GOOD.replace("image-classification", "image-regression").replace("width: 16", "head: sigmoid")
    with pytest.raises(SpecError) as caught:
        check(write(tmp_path, spec.partition("gates:")[0]), tmp_path)
    problem = next(problem for problem in caught.value.problems if problem.path == "model.head")
    assert (problem.line, problem.message) == (4, "sigmoid is for two classes; image-regression needs value")
