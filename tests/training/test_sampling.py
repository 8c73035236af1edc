"""Balanced epochs, and weights of classes by name."""

import numpy as np
import pytest
import torch

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.training.class_weights import named_weights
from components.training.loop import fit
from components.training.objectives.classification import ClassificationObjective
from components.training.prepared import Prepared, open_prepared
from components.training.sampling import balanced_order
from tests.training.prepared_digits import prepare
from tests.training.test_loop import _begin, _Recorder, _report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return open_prepared(folder, prepare(folder).digest)


def test_every_class_has_its_share_of_an_epoch() -> None:
    classes = np.repeat([0, 2, 5], [900, 90, 11])  # 1001 samples of three classes
    order = balanced_order(classes, seed=3, epoch=0)
    assert len(order) == 1001
    counts = np.bincount(classes[order])
    assert sorted(counts[counts > 0]) == [333, 334, 334]
    draws = np.bincount(order, minlength=1001)
    assert draws[:900].max() == 1  # a random part of the frequent class
    for begin, end in ((900, 990), (990, 1001)):  # rare ones as often as each other
        assert draws[begin:end].max() - draws[begin:end].min() <= 1
    assert np.array_equal(order, balanced_order(classes, seed=3, epoch=0))
    other = balanced_order(classes, seed=3, epoch=1)
    assert set(other[classes[other] == 0]) != set(order[classes[order] == 0])


def test_the_loop_trains_on_balanced_epochs(data: Prepared) -> None:
    spec = TrainSpec(epochs=1, sampling="balanced")
    state, setting = _begin(spec, data)
    labels = np.array(data.train.all("labels"))
    setting = setting._replace(classes=np.where(labels == 3, 1, 0))
    learnt: list[np.ndarray] = []
    objective = setting.objective
    step = objective.step

    def recorded(forward, batch, generator, *, training):  # type: ignore[no-untyped-def]
        if training:
            learnt.append(batch["labels"].numpy())
        return step(forward, batch, generator, training=training)

    objective.step = recorded  # type: ignore[method-assign]
    fit(state, setting, _report(_Recorder(), state, setting))
    share = (np.concatenate(learnt) == 3).mean()
    assert share == pytest.approx(0.5, abs=0.01)
    assert (labels == 3).mean() < 0.15


def test_weights_by_name_are_torchs(data: Prepared) -> None:
    name = data.classes[4]
    objective = ClassificationObjective(TrainSpec(class_weights={name: 3.0}), data)
    expected = torch.ones(len(data.classes))
    expected[4] = 3.0
    assert objective.weights is not None
    assert torch.equal(objective.weights, expected)


@pytest.mark.parametrize(
    ("weights", "message"), [({"cat": 2.0}, "classes that the dataset has not"), ({"a": 0.0, "b": 0.0}, "weight 0")]
)
def test_wrong_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        named_weights(weights, ["a", "b"])
    assert caught.value.where == "train.class_weights"
