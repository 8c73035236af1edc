import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from components.contracts.architectures.cnn import TextbookCnnSpec
from components.contracts.metric_sink import MetricSink
from components.contracts.train_spec import EarlyStoppingSpec, TrainSpec
from components.contracts.training_request import Event, Metrics
from components.core.errors import Interrupted, TrainingError
from components.models.build import build
from components.training import transfer
from components.training.class_weights import balanced_weights
from components.training.loop import TrainingContext, fit, out_of_patience
from components.training.objectives.classification import ClassificationObjective
from components.training.optimizer import build_optimizer
from components.training.precision import choose_compile, choose_precision
from components.training.prepared import Prepared, open_prepared
from components.training.randomness import seed_all
from components.training.report import ProgressReporter
from components.training.saver import Saver
from components.training.state import State
from tests.training.prepared_digits import prepare


class _Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return open_prepared(folder, prepare(folder).digest)


def _begin(spec: TrainSpec, data: Prepared) -> tuple[State, TrainingContext]:
    torch.set_num_threads(1)
    seed_all(spec.seed, deterministic=spec.deterministic)
    model = TextbookCnnSpec(family="cnn", name="textbook", depth=2, width=8, convolutions=1)
    network = build(model, data.processor.input_spec(), data.processor.output_spec())
    precision = choose_precision(spec.precision, torch.device("cpu"))
    policy = transfer.begin(model.transfer, network)
    state = State(network, build_optimizer(spec, network), precision.scaler())
    setting = TrainingContext(
        spec=spec,
        train=data.train,
        validation=data.validation,
        sizes=None,
        validation_sizes=None,
        objective=ClassificationObjective(spec, data),
        forward=network,
        precision=precision,
        transfer=policy,
        saver=Saver(lambda: None),
        stopping=lambda: False,
    )
    return state, setting


def _report(sink: MetricSink, state: State, setting: TrainingContext) -> ProgressReporter:
    return ProgressReporter(sink, state, setting.objective.metric, setting.total_steps)


def _fit(spec: TrainSpec, data: Prepared) -> tuple[State, list[Event]]:
    state, setting = _begin(spec, data)
    sink = _Recorder()
    fit(state, setting, _report(sink, state, setting))
    return state, sink.events


def _same(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in some.items())


@pytest.mark.slow
def test_learns_and_keeps_the_best_epoch(data: Prepared) -> None:
    state, events = _fit(TrainSpec(epochs=16, learning_rate=0.01), data)
    accuracies = [row["validation/accuracy"] for row in state.history]
    assert max(accuracies) > 0.9
    assert state.best is not None
    assert accuracies[state.kept_epoch - 1] == max(accuracies) == state.best[0]
    assert state.step == 16 * 10
    told = [event.values for event in events if isinstance(event, Metrics) and "validation/loss" in event.values]
    names = {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy", "learning_rate"}
    assert [set(values) for values in told] == [names] * 16
    assert told[0]["train/loss"] > told[-1]["train/loss"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(data: Prepared) -> None:
    spec = TrainSpec.model_validate({"epochs": 2, "augment": {"flip": True, "shift_pixels": 1, "rotate_degrees": 5.0}})
    first, second = _fit(spec, data)[0], _fit(spec, data)[0]
    other = _fit(spec.model_copy(update={"seed": 1}), data)[0]
    assert _same(first.weights(), second.weights())
    assert not _same(first.weights(), other.weights())


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 7, 10, 13, 29])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_goes_on_after_any_batch_bit_for_bit(data: Prepared, stop_after: int, optimizer: str) -> None:
    """10 batches an epoch: within the first, at the end of one, within the second, before the very last batch."""
    augment = {"rotate_degrees": 9.0, "resized_crop": {}, "rand_augment": {}, "mixup": 0.4, "cutmix": 1.0}
    spec = TrainSpec.model_validate({"epochs": 3, "optimizer": optimizer, "augment": augment, "clip_norm": 1.0})
    through, _ = _fit(spec, data)
    state, setting = _begin(spec, data)
    saved: list[tuple[dict[str, torch.Tensor], dict[str, object]]] = []

    def save() -> None:
        tensors, facts = state.dump()
        saved.append(({name: value.clone() for name, value in tensors.items()}, facts))

    setting = setting._replace(saver=Saver(save), stopping=lambda: state.step == stop_after)
    with pytest.raises(Interrupted):
        fit(state, setting, _report(_Recorder(), state, setting))
    torch.rand(17)  # another process's generators stand elsewhere
    resumed, setting = _begin(spec, data)
    resumed.restore(*saved[-1])
    assert resumed.step == stop_after
    fit(resumed, setting, _report(_Recorder(), resumed, setting))
    assert _same(resumed.dump()[0], through.dump()[0])
    assert resumed.history == through.history
    assert resumed.kept_epoch == through.kept_epoch


def test_saves_within_an_epoch(data: Prepared) -> None:
    state, setting = _begin(TrainSpec(epochs=2), data)
    steps: list[int] = []
    setting = setting._replace(saver=Saver(lambda: steps.append(state.step), save_seconds=0.0))
    fit(state, setting, _report(_Recorder(), state, setting))
    assert steps == list(range(1, 21))


def test_a_loss_that_is_no_number_names_the_step(data: Prepared) -> None:
    spec = TrainSpec(epochs=1, schedule="constant")
    state, setting = _begin(spec, data)

    def forward(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = state.network(images)
        return logits * (float("nan") if state.step == 4 else 1.0)

    with pytest.raises(TrainingError, match="training loss is not finite") as caught:
        fit(state, setting._replace(forward=forward), _report(_Recorder(), state, setting))
    assert caught.value.where == "step 5"
    assert "learning_rate" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        ([], False),
        ([0.5, 0.6, 0.7], False),
        ([0.7, 0.6], False),
        ([0.7, 0.6, 0.7], True),
        ([0.7, 0.6, 0.71], True),
        ([0.7, 0.6, 0.73], False),
    ],
)
def test_patience(accuracies: list[float], stops: bool) -> None:
    rule = EarlyStoppingSpec(patience_epochs=2, min_delta=0.02)
    spec = TrainSpec(schedule="constant", early_stopping=rule)
    assert out_of_patience(spec, accuracies, higher_is_better=True) is stops
    assert out_of_patience(spec, [1 - value for value in accuracies], higher_is_better=False) is stops
    assert not out_of_patience(TrainSpec(), accuracies, higher_is_better=True)


def test_early_stopping_ends_the_training(data: Prepared) -> None:
    rule = EarlyStoppingSpec(patience_epochs=1, min_delta=1.0)
    spec = TrainSpec(epochs=50, schedule="constant", early_stopping=rule)
    state, setting = _begin(spec, data)
    assert fit(state, setting, _report(_Recorder(), state, setting)) == "early_stopping"
    assert state.epoch == 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_on_this_device_too(data: Prepared, precision: str) -> None:
    spec = TrainSpec.model_validate({"epochs": 3, "learning_rate": 0.01, "precision": precision, "clip_norm": 5.0})
    state, _ = _fit(spec, data)
    assert state.history[-1]["validation/accuracy"] > 0.6


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_overflowed_step_is_left_out_and_the_scale_halved(data: Prepared, optimizer: str) -> None:
    """Also the very first step, when the optimizer has no state yet."""
    spec = TrainSpec.model_validate(
        {"epochs": 1, "optimizer": optimizer, "learning_rate": 0.01, "precision": "fp16", "clip_norm": 1.0}
    )
    state, setting = _begin(spec, data)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = {name: value.clone() for name, value in state.network.named_parameters()}
    overflowing = next(state.network.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(Interrupted):
        fit(state, setting._replace(stopping=lambda: True), _report(_Recorder(), state, setting))
    assert _same(dict(state.network.named_parameters()), before)
    assert state.scaler.get_scale() == 512.0
    overflowing.remove()
    fit(state, setting, _report(_Recorder(), state, setting))
    assert state.scaler.get_scale() == 512.0
    assert not _same(dict(state.network.named_parameters()), before)
    assert all(value.isfinite().all() for value in state.network.parameters())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("clip_norm", "changes_by"), [(0.01, 0.01), (None, None)])
def test_clipping_shortens_a_step_to_the_norm(
    data: Prepared, precision: str, clip_norm: float | None, changes_by: float | None
) -> None:
    """A step of plain descent at rate 1 is as long as the gradient; the norm is that of the unscaled one."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0, "schedule": "constant"}
    spec = TrainSpec.model_validate({"epochs": 1, "precision": precision, "clip_norm": clip_norm, **plain})
    state, setting = _begin(spec, data)
    if spec.precision == "fp16":
        state.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    before = nn.utils.parameters_to_vector(state.network.parameters()).detach().clone()
    with pytest.raises(Interrupted):
        fit(state, setting._replace(stopping=lambda: True), _report(_Recorder(), state, setting))
    change = float((nn.utils.parameters_to_vector(state.network.parameters()).detach() - before).norm())
    assert change == pytest.approx(changes_by, rel=1e-3) if changes_by else change > 0.1


def test_auto_uses_neither_half_precision_nor_the_compiler_on_a_cpu() -> None:
    device = torch.device("cpu")
    assert choose_precision("auto", device).format == "fp32"
    assert not choose_compile("auto", device, 10**9)
    assert choose_compile("on", device, 1)


def test_balanced_weights() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    torch.testing.assert_close(balanced_weights(labels, 3), torch.tensor([4 / 9, 4 / 3, 0.0]))


def test_class_weights_and_smoothing_reach_the_loss(data: Prepared) -> None:
    plain, _ = _fit(TrainSpec(epochs=1), data)
    smooth, _ = _fit(TrainSpec(epochs=1, label_smoothing=0.2), data)
    assert smooth.history[0]["train/loss"] != plain.history[0]["train/loss"]
    state, setting = _begin(TrainSpec(epochs=3, learning_rate=0.01), data)
    assert isinstance(setting.objective, ClassificationObjective)
    setting.objective.weights = torch.zeros(10).index_fill(0, torch.tensor([3]), 1.0)
    fit(state, setting, _report(_Recorder(), state, setting))
    with torch.inference_mode():
        answers = state.network(torch.from_numpy(np.array(data.validation.all("images")))).argmax(dim=1)
    assert answers.tolist() == [3] * len(data.validation)


def test_short_epochs_are_not_each_saved_but_the_first_is() -> None:
    written: list[float] = []

    def write() -> None:
        time.sleep(0.02)
        written.append(time.monotonic())

    saver = Saver(write)
    begin = time.monotonic()
    while time.monotonic() < begin + 2.2:
        time.sleep(0.01)
        saver.after_epoch()
    assert 2 <= len(written) <= 3
    assert written[0] - begin < 0.5
    assert not saver.due_within_epoch(time.monotonic())
    assert saver.due_within_epoch(time.monotonic() + 30.1)
