"""The default model of each family, and the checks of a comparison before any training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components import tasks
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.tasks import compatibility
from flows.comparisons import comparison, families
from flows.comparisons.comparison import Budget

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "image-classification": {"cnn": "textbook", "transformer": "vit"},
    "text-classification": {"cnn": "kim", "rnn": "gru", "transformer": "encoder", "state-space": "mamba"},
    "sound-classification": {"cnn": "spectrogram-cnn", "rnn": "gru", "transformer": "encoder"},
    "series-classification": {"cnn": "series-cnn", "rnn": "gru", "transformer": "encoder"},
    "forecasting": {"rnn": "gru", "transformer": "patchtst", "linear": "dlinear"},
    "token-classification": {"rnn": "gru", "transformer": "encoder"},
    "translation": {"rnn": "seq2seq-gru", "transformer": "seq2seq-transformer"},
    "text-generation": {"transformer": "decoder", "state-space": "mamba"},
    "chat-completion": {"transformer": "decoder", "state-space": "mamba"},
    "object-detection": {"cnn": "center", "transformer": "yolos"},
    "image-generation": {"diffusion": "unet"},
    "multi-label-image-classification": {"cnn": "textbook", "transformer": "vit"},
    "multi-label-text-classification": {"cnn": "kim", "rnn": "gru", "transformer": "encoder", "state-space": "mamba"},
    "semantic-segmentation": {"cnn": "unet-segmentation"},
    "tabular-classification": {"mlp": "mlp", "transformer": "ft-transformer"},
    "tabular-regression": {"mlp": "mlp", "transformer": "ft-transformer"},
    "image-regression": {"cnn": "textbook", "transformer": "vit"},
    "text-regression": {"cnn": "kim", "rnn": "gru", "transformer": "encoder", "state-space": "mamba"},
    "speech-recognition": {"transformer": "whisper"},
    "series-regression": {"cnn": "series-cnn", "rnn": "gru", "transformer": "encoder"},
}
DATASET = """\
name: {task}
task: {task}
title: none
source: {{kind: sklearn, name: digits}}
input: {{}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    for task in TASKS:
        (tmp_path / "data" / task).mkdir(parents=True)
        (tmp_path / "data" / task / "dataset.yaml").write_text(DATASET.format(task=task))
    return Project(tmp_path)


def test_every_task_is_here() -> None:
    assert TASKS.keys() == tasks.MODULES.keys()


@pytest.mark.parametrize("task", TASKS)
def test_the_default_model_of_a_family_fits_the_task(project: Project, task: str) -> None:
    for family in families.known_families():
        if family in TASKS[task]:
            (spec,) = families.pipelines(project, task, [family])
            assert (spec.model.family, spec.model.name) == (family, TASKS[task][family])
            assert compatibility.problems(spec, tasks.find(task)) == []
        else:
            with pytest.raises(UsageError) as refused:
                families.pipelines(project, task, [family])
            assert refused.value.expected == ", ".join(TASKS[task])


def test_an_invalid_comparison_is_an_error_before_any_training(project: Project) -> None:
    for name in ("digits", "fashion"):
        shutil.copy(ROOT / "pipelines" / f"{name}.yaml", project.pipelines)
    budget = Budget(epochs=1)
    for names in ([], ["digits"], ["digits", "digits"]):
        with pytest.raises(UsageError, match="two pipelines or more"):
            comparison.of_pipelines(project, names, budget)
    with pytest.raises(UsageError, match="only models of one dataset") as refused:
        comparison.of_pipelines(project, ["digits", "fashion"], budget)
    assert refused.value.got == "digits: digits, fashion: fashion-mnist"
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        comparison.of_pipelines(project, ["digits", "nowhere"], budget)
    with pytest.raises(NotFoundError, match=r"dataset\.yaml"):
        comparison.of_families(project, ["cnn", "rnn"], "nowhere", budget)
    with pytest.raises(UsageError, match="no rnn for image-classification"):
        comparison.of_families(project, ["cnn", "rnn"], "image-classification", budget)


def test_a_comparison_is_named_after_what_it_compares(project: Project) -> None:
    chosen = comparison.of_families(project, ["rnn", "cnn"], "text-classification", Budget(seconds=9))
    assert chosen.name == "compare-text-classification-rnn-cnn"
    assert [chosen.label(spec) for spec in chosen.models] == ["rnn gru", "cnn kim"]
    assert chosen.budget.label() == "9 s of training, in whole epochs"
