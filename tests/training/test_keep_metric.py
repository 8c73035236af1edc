"""The figures that epochs are kept by, against scikit-learn, sacrebleu's scorer and the service's own greedy search."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from components import tasks
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.models.build import build
from components.tasks import compatibility
from components.tasks.task import validation_metric
from components.tasks.translation import TranslationParameters
from components.training.graphs.graph import build_graphs, runner
from components.training.loop import fit
from components.training.objectives import greedy, overlap
from components.training.objectives.classification import ClassificationObjective
from components.training.objectives.objective import open_objective, select, selection
from components.training.prepared import open_prepared
from tests.training.prepared_digits import prepare
from tests.training.prepared_task import prepare as prepare_task
from tests.training.small_cases import CASES, request
from tests.training.test_loop import _begin, _Recorder, _report


def test_macro_f1_and_iou_of_batches_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    answers, truth = (torch.randint(0, 4, (60,), generator=generator) for _ in range(2))  # class 4 never occurs
    totals = sum(overlap.class_sums(answers[part], truth[part], 5) for part in (slice(25), slice(25, 60)))
    assert overlap.macro_f1(totals.tolist()) == pytest.approx(f1_score(truth, answers, average="macro"))
    assert overlap.mean_iou(totals.tolist()) == pytest.approx(jaccard_score(truth, answers, average="macro"))
    flags, true_flags = (torch.rand(60, 3, generator=generator) > 0.5 for _ in range(2))
    sums = overlap.label_sums(flags, true_flags)
    assert overlap.macro_f1(sums.tolist()) == pytest.approx(f1_score(true_flags, flags, average="macro"))


def test_an_epoch_is_kept_by_macro_f1_where_the_pipeline_says_so(tmp_path: Path) -> None:
    data = open_prepared(tmp_path / "prepared", prepare(tmp_path / "prepared").digest)
    spec = TrainSpec(epochs=3, keep_metric="macro_f1")
    state, setting = _begin(spec, data)
    select(setting.objective, "macro_f1")
    fit(state, setting, _report(_Recorder(), state, setting))
    figures = [row["validation/macro_f1"] for row in state.history]
    assert state.best is not None
    assert state.best[0] == max(figures) == figures[state.kept_epoch - 1]
    state.network.load_state_dict(state.kept)
    with torch.inference_mode():
        answers = state.network.eval()(torch.from_numpy(np.array(data.validation.all("images")))).argmax(dim=1)
    truth = np.array(data.validation.all("labels"))
    assert max(figures) == pytest.approx(f1_score(truth, answers, average="macro"))
    with pytest.raises(UsageError, match="no figure of the validation") as caught:
        select(ClassificationObjective(spec, data), "bleu")
    assert caught.value.expected == "accuracy, macro_f1, loss"


@pytest.mark.slow
def test_greedy_translations_are_those_of_the_service_with_one_beam(tmp_path: Path) -> None:
    prepare_task(tmp_path / "prepared", *CASES["seq2seq"][:2])
    own = request(tmp_path / "prepared", tmp_path / "run", "seq2seq")
    prepared = open_prepared(tmp_path / "prepared", own.data_digest)
    torch.manual_seed(1)
    network = build(own.model, prepared.processor.input_spec(), prepared.processor.output_spec()).eval()
    processor = prepared.processor
    samples = [prepared.validation.sample(row) for row in range(6)]
    run = runner(build_graphs(network, processor))
    parameters = TranslationParameters(beams=1, max_length=12)
    expected = [str(answer["text"]) for answer in processor.answer(run, samples, [], parameters)]
    batch = {name: torch.from_numpy(array) for name, array in prepared.validation.batch(np.arange(6)).items()}
    begin, end, never = processor.special_tokens()  # type: ignore[attr-defined]  # of translation
    writing = greedy.Writing((begin,), end, never)
    rows = greedy.write(network, batch["source"], batch["source_lengths"], writing, 12).tolist()
    texts = [processor.target_text(np.array(row[: row.index(end)] if end in row else row)) for row in rows]
    assert texts == expected
    objective = open_objective(prepared.task.objective, TrainSpec(), prepared)
    chosen = selection(objective)
    assert (chosen.metric, chosen.higher_is_better) == ("bleu", True)
    assert chosen.figure is not None
    assert 0 <= chosen.figure(network, prepared.validation, torch.device("cpu")) <= 100


@pytest.mark.parametrize("name", list(tasks.MODULES))
def test_the_default_figure_is_the_first_of_the_output(name: str) -> None:
    task = tasks.find(name)
    known = task.output_type.keep_metrics
    assert known is not None
    assert known[0] == validation_metric(task).name
    for metric in known:
        assert validation_metric(task, metric).higher_is_better is (metric not in ("loss", "mse", "wer"))


def test_a_figure_that_the_task_has_not_is_refused_before_any_work() -> None:
    spec = PipelineSpec.model_validate(
        {
            "name": "p", "task": "image-classification", "dataset": "digits",
            "model": {"family": "cnn", "name": "textbook"}, "train": {"keep_metric": "bleu"},
        }
    )  # fmt: skip
    (problem,) = compatibility.problems(spec, tasks.find(spec.task))
    assert problem.path == "train.keep_metric"
    assert "accuracy, macro_f1, loss" in problem.message
