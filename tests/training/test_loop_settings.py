"""Accumulation, moving averages, clipping by value and weight decay by name in the training loop."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.contracts.loop_spec import EmaSpec
from components.contracts.train_spec import TrainSpec
from components.core.errors import Interrupted, UsageError
from components.training.accumulation import accumulate, parts
from components.training.ema import WeightAverage
from components.training.loop import fit
from components.training.objectives.tokens import IGNORED, token_step
from components.training.optimizer import build_optimizer
from components.training.prepared import Prepared, open_prepared
from components.training.saver import Saver
from tests.training.prepared_digits import prepare
from tests.training.test_loop import _begin, _fit, _Recorder, _report, _same


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return open_prepared(folder, prepare(folder).digest)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.5])])
@pytest.mark.parametrize("pieces", [2, 3, 7, 64])
def test_gradients_of_the_parts_are_those_of_the_batch(pieces: int, weights: torch.Tensor | None) -> None:
    """Parts with different numbers of tokens, and with different class weights."""
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    features = torch.randn(13, 6, 4)
    truth = torch.randint(0, 3, (13, 6))
    truth[torch.arange(6) > torch.randint(0, 6, (13, 1))] = IGNORED
    whole = token_step(network(features), truth, 0.1, weights)
    whole.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    expected = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    network.zero_grad()
    batch = {"features": features, "truth": truth}
    steps = (token_step(network(part["features"]), part["truth"], 0.1, weights) for part in parts(batch, pieces))
    result = accumulate(steps, torch.amp.GradScaler("cpu", enabled=False), network.parameters())
    for weight, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    torch.testing.assert_close(result.loss, whole.loss.detach())
    assert int(result.count) == int(whole.count)
    assert int(result.score_sum) == int(whole.score_sum)


def test_no_part_has_a_single_sample() -> None:
    sizes = [len(part["a"]) for part in parts({"a": torch.zeros(7)}, 5)]
    assert sizes == [3, 2, 2]
    assert [len(part["a"]) for part in parts({"a": torch.zeros(1)}, 5)] == [1]


def test_a_training_in_parts_learns_as_one_in_whole_batches(data: Prepared) -> None:
    """Within rounding, but for batch normalisation, whose statistics are those of the parts: it is frozen here."""
    settings = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.05}
    results = []
    for steps in (1, 4):
        spec = TrainSpec.model_validate({**settings, "accumulation_steps": steps})
        state, setting = _begin(spec, data)
        for module in state.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train = lambda mode=True: module  # type: ignore[method-assign]  # noqa: B023  # stays in evaluation
                nn.Module.train(module, False)
                module.training = False
        fit(state, setting, _report(_Recorder(), state, setting))
        results.append(state)
    assert results[0].history[0]["train/loss"] == pytest.approx(results[1].history[0]["train/loss"], rel=1e-4)
    for name, value in results[0].kept.items():
        torch.testing.assert_close(results[1].kept[name], value, rtol=1e-3, atol=1e-4)


def test_the_average_is_torchs() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(EmaSpec(decay=0.9, warmup=False), network)
    multi = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    reference = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=multi, use_buffers=True)
    reference.update_parameters(network)  # torch copies at the first update
    for _ in range(3):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        network(torch.randn(8, 3))
        average.update()
        reference.update_parameters(network)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with average.applied():
        within = {name: value.clone() for name, value in network.state_dict().items()}
    assert _same(own, dict(network.state_dict()))
    for name, value in reference.module.state_dict().items():
        if value.is_floating_point():  # the number of batches is the network's own
            torch.testing.assert_close(within[name], value)
    assert not torch.equal(within["1.running_mean"], own["1.running_mean"])


def test_a_warm_average_forgets_the_first_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(EmaSpec(decay=0.999), network)
    nn.init.constant_(network.weight, 1.0)
    expected = 0.0
    for step in range(20):
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay)
        average.update()
    assert average.values["weight"].item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0.99


def test_the_averaged_weights_are_evaluated_and_kept(data: Prepared) -> None:
    plain, _ = _fit(TrainSpec(epochs=2), data)
    spec = TrainSpec(epochs=2, ema=EmaSpec(decay=0.9, warmup=False), keep="last")
    state, setting = _begin(spec, data)
    assert spec.ema is not None
    state.average = WeightAverage(spec.ema, state.network)
    fit(state, setting, _report(_Recorder(), state, setting))
    assert _same(state.weights(), plain.weights())  # the training itself is the same
    assert all(torch.equal(state.kept[name], value) for name, value in state.average.values.items())
    assert state.history[-1]["train/loss"] == plain.history[-1]["train/loss"]
    assert state.history[-1]["validation/loss"] != plain.history[-1]["validation/loss"]


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 10, 14])
def test_goes_on_bit_for_bit_with_every_setting(data: Prepared, stop_after: int) -> None:
    plateau = {"patience_epochs": 0, "threshold": 0.99, "factor": 0.3}
    others = {"warmup_steps": 5, "ema": {"decay": 0.95}, "accumulation_steps": 3, "clip_value": 0.1}
    spec = TrainSpec.model_validate(
        {"epochs": 3, "learning_rate": 1e-4, "schedule": "plateau", "plateau": plateau, **others}
    )
    assert spec.ema is not None
    through, setting = _begin(spec, data)
    through.average = WeightAverage(spec.ema, through.network)
    fit(through, setting, _report(_Recorder(), through, setting))
    rates = [row["learning_rate"] for row in through.history]
    assert rates[0] == spec.learning_rate
    assert rates[2] == pytest.approx(0.3 * spec.learning_rate)
    state, setting = _begin(spec, data)
    state.average = WeightAverage(spec.ema, state.network)
    saved = []
    setting = setting._replace(
        saver=Saver(lambda: saved.append(_copied(state.dump()))), stopping=lambda: state.step == stop_after
    )
    with pytest.raises(Interrupted):
        fit(state, setting, _report(_Recorder(), state, setting))
    resumed, setting = _begin(spec, data)
    resumed.average = WeightAverage(spec.ema, resumed.network)
    resumed.restore(*saved[-1])
    fit(resumed, setting, _report(_Recorder(), resumed, setting))
    assert _same(resumed.dump()[0], through.dump()[0])
    assert resumed.history == through.history


def _copied(
    dumped: tuple[dict[str, torch.Tensor], dict[str, object]],
) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    return {name: value.clone() for name, value in dumped[0].items()}, dumped[1]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_clipping_by_value_limits_each_gradient(data: Prepared, precision: str) -> None:
    """A step of plain descent at rate 1 moves no weight further than the limit; the unscaled gradient counts."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0, "schedule": "constant"}
    spec = TrainSpec.model_validate({"epochs": 1, "precision": precision, "clip_value": 0.001, **plain})
    state, setting = _begin(spec, data)
    if spec.precision == "fp16":
        state.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    before = nn.utils.parameters_to_vector(state.network.parameters()).detach().clone()
    with pytest.raises(Interrupted):
        fit(state, setting._replace(stopping=lambda: True), _report(_Recorder(), state, setting))
    change = (nn.utils.parameters_to_vector(state.network.parameters()).detach() - before).abs()
    assert float(change.max()) == pytest.approx(0.001, rel=1e-3)
    assert math.isclose(float(change.median()), 0.001, rel_tol=1e-2) or float(change.median()) < 0.001


def test_weight_decay_by_name() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    spec = TrainSpec(weight_decay=0.1, weight_decay_by_name={r"^0\.": 0.5, r"bias$": 0.2})
    decays = {}
    for group in build_optimizer(spec, network).param_groups:
        for name, weight in network.named_parameters():
            if any(weight is member for member in group["params"]):
                decays[name] = group["weight_decay"]
    expected = {"0.weight": 0.5, "0.bias": 0.5, "1.weight": 0.0, "1.bias": 0.2, "2.weight": 0.1, "2.bias": 0.2}
    assert decays == expected
    with pytest.raises(UsageError, match="no trained weight") as caught:
        build_optimizer(TrainSpec(weight_decay_by_name={"norm": 0.0}), network)
    assert "0.weight" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_steps": 5, "warmup_ratio": 0.1}, "not both"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "not both"),
        ({"decay_ratio": 0.2}, "decay_ratio has no effect"),
        ({"plateau": {}}, "plateau has no effect"),
        ({"optimizer": "sgd", "betas": [0.8, 0.9]}, "betas and eps"),
        ({"batch_size": 4, "accumulation_steps": 8}, "more than batch_size"),
        ({"schedule": "wsd", "early_stopping": {"patience_epochs": 2}}, "early_stopping"),
        ({"sampling": "balanced", "class_weights": "balanced"}, "make up for rare classes"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate(settings)


def test_settings_at_their_defaults_are_in_no_fingerprint() -> None:
    names = {"accumulation_steps", "ema", "warmup_steps", "betas", "eps", "plateau", "clip_value", "sampling"}
    assert not names & TrainSpec().model_dump().keys()
    assert TrainSpec(ema=EmaSpec()).model_dump()["ema"] == {"decay": 0.999, "warmup": True}
