"""Weights of samples: from a column of a table to the loss, through ingestion and preparation."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from components.contracts.pipeline import PipelineSpec
from components.contracts.table_layout import TableLayout
from components.contracts.train_spec import TrainSpec
from components.core.errors import SourceError, SpecError
from components.ingestion import table
from components.tasks import compatibility
from components.training.accumulation import accumulate, parts
from components.training.batches import Batch
from components.training.objectives.classification import ClassificationObjective
from components.training.objectives.labels import LabelsObjective
from components.training.objectives.value import ValueObjective
from tests.training.test_objectives import _prepared

LAYOUT = {"kind": "csv", "label": "label", "numbers": ["a"], "weight": "w"}


def test_the_column_is_a_field_of_the_samples(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,label,w\n1,x,0.5\n2,y,3\n")
    layout = TableLayout.model_validate({**LAYOUT, "files": {"": "rows.csv"}})
    found = [sample.values["weight"].tolist() for sample in table.samples(layout, tmp_path)]
    assert found == [[0.5], [3.0]]
    assert layout.fields["weight"] == "numbers"


@pytest.mark.parametrize("cell", ["-1", "", "inf", "heavy"])
def test_what_is_no_weight_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    (tmp_path / "rows.csv").write_text(f"a,label,w\n1,x,0.5\n2,y,{cell}\n")
    layout = TableLayout.model_validate({**LAYOUT, "files": {"": "rows.csv"}})
    with pytest.raises(SourceError) as caught:
        list(table.samples(layout, tmp_path))
    assert "line 3" in str(caught.value.where)


def _batch(weights: list[float] | None, **arrays: torch.Tensor) -> Batch:
    return arrays if weights is None else {**arrays, "sample_weights": torch.tensor(weights)}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("classes", {"label_smoothing": 0.1}),
        ("classes", {"label_smoothing": 0.1, "class_weights": {"b": 3.0}}),
        ("labels", {"label_smoothing": 0.1, "class_weights": {"b": 3.0}}),
        ("value", {}),
    ],
)
def test_a_weight_of_two_is_a_sample_twice_and_of_zero_none(kind: str, settings: dict[str, object]) -> None:
    """The loss and its gradient, whole and in parts; the validation has no weights."""
    torch.manual_seed(0)
    spec = TrainSpec.model_validate(settings)
    prepared = _prepared(("features",), classes=["a", "b", "c"])
    make = {"classes": ClassificationObjective, "labels": LabelsObjective, "value": ValueObjective}[kind]
    objective = make(spec, prepared)
    network = nn.Linear(4, 1 if kind == "value" else 3)
    features = torch.randn(6, 4)
    name, truth = {
        "classes": ("labels", torch.tensor([0, 1, 2, 1, 0, 2])),
        "labels": ("labels", torch.rand(6, 3) > 0.5),
        "value": ("target", torch.randn(6, 1)),
    }[kind]
    rows = torch.tensor([0, 1, 1, 2, 4, 4, 4])
    weights = [1.0, 2.0, 1.0, 0.0, 3.0, 0.0]
    repeated = objective.step(
        network, _batch(None, features=features[rows], **{name: truth[rows]}), torch.Generator(), training=True
    )
    repeated.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    expected = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    batch = _batch(weights, features=features, **{name: truth})
    for pieces in (1, 3):
        network.zero_grad()
        steps = (objective.step(network, part, torch.Generator(), training=True) for part in parts(batch, pieces))
        result = accumulate(steps, torch.amp.GradScaler("cpu", enabled=False), network.parameters())
        torch.testing.assert_close(result.loss, repeated.loss.detach())
        for weight, gradient in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(weight.grad, gradient)
    plain = objective.step(network, _batch(None, features=features, **{name: truth}), torch.Generator(), training=False)
    weighted = objective.step(network, batch, torch.Generator(), training=False)
    assert torch.equal(plain.loss, weighted.loss)


@pytest.mark.parametrize(("task", "is_refused"), [("text-classification", False), ("text-generation", True)])
def test_tasks_without_weights_in_their_loss_refuse_the_column(tmp_path: Path, task: str, is_refused: bool) -> None:
    layout = {
        "kind": "csv",
        "files": {"": "a.csv"},
        "text": "t",
        "label": None if is_refused else "label",
        "weight": "w",
    }
    dataset = {"name": "d", "task": task, "source": {"kind": "folder", "path": "x", "layout": layout}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    name = "decoder" if is_refused else "encoder"
    model = {"family": "transformer", "name": name}
    spec = PipelineSpec.model_validate({"name": "p", "task": task, "dataset": "d", "model": model})
    if not is_refused:
        compatibility.check(spec, tmp_path / "p.yaml", tmp_path)
        return
    with pytest.raises(SpecError, match="column of weights"):
        compatibility.check(spec, tmp_path / "p.yaml", tmp_path)
