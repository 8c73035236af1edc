from itertools import pairwise

import pytest
import torch

from components.contracts.loop_spec import PlateauSpec, Schedule
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.training.schedule import check_warmup, learning_rate, plateau_factor, step_rate


def _rates(schedule: Schedule, total: int) -> list[float]:
    return [learning_rate(schedule, 0.8, step, total) for step in range(total)]


def test_constant() -> None:
    assert _rates("constant", 5) == [0.8] * 5


def test_cosine_begins_at_the_peak_and_is_half_of_it_half_way() -> None:
    rates = _rates("cosine", 100)
    assert rates[0] == 0.8
    assert rates[50] == pytest.approx(0.4)
    assert 0 < rates[99] < 0.001


def test_step_divides_by_ten_after_half_and_three_quarters() -> None:
    rates = _rates("step", 8)
    assert rates == pytest.approx([0.8] * 4 + [0.08] * 2 + [0.008] * 2)


def test_onecycle_climbs_for_a_third_and_ends_at_almost_nothing() -> None:
    rates = _rates("onecycle", 1000)
    assert rates[0] == pytest.approx(0.8 / 25)
    assert rates.index(max(rates)) == 299
    assert max(rates) == pytest.approx(0.8)
    assert rates[-1] == pytest.approx(0.8 / 25 / 1e4)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle", "step"])
def test_the_shortest_trainings_have_a_rate_too(schedule: Schedule, total: int) -> None:
    assert all(0 < rate <= 0.8 + 1e-12 for rate in _rates(schedule, total))


@pytest.mark.parametrize("total", [10, 97, 500])
def test_onecycle_is_torchs(total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.8)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.8, total_steps=total)
    for rate in _rates("onecycle", total):
        assert rate == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if reference.last_epoch < total - 1:
            reference.step()


def test_warm_up_rises_linearly_and_the_schedule_has_the_rest() -> None:
    rates = [learning_rate("cosine", 0.8, step, 14, warmup=4) for step in range(14)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4:] == pytest.approx(_rates("cosine", 10))
    steps = [learning_rate("step", 0.8, step, 24, warmup=4) for step in range(24)]
    assert steps[4:] == pytest.approx(_rates("step", 20))
    assert [learning_rate("constant", 0.8, step, 9, warmup=2) for step in range(3)] == pytest.approx([0.4, 0.8, 0.8])


def test_warm_up_of_onecycle_is_torchs_share() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.8)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.8, total_steps=40, pct_start=0.1)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [learning_rate("onecycle", 0.8, step, 40, warmup=4) for step in range(40)] == pytest.approx(expected)


def test_wsd_is_stable_and_then_decays_to_zero() -> None:
    rates = [learning_rate("wsd", 0.8, step, 100, warmup=10, decay_ratio=0.25) for step in range(101)]
    assert rates[:10] == pytest.approx([0.08 * step for step in range(1, 11)])
    assert rates[10:76] == [0.8] * 66
    assert rates[75 + 9] == pytest.approx(0.8 * (1 - (9 / 25) ** 0.5))
    assert rates[100] == 0.0
    assert all(later < earlier for earlier, later in pairwise(rates[75:]))


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_plateau_reduces_after_the_patience_and_keeps_a_least_rate(higher_is_better: bool) -> None:
    spec = PlateauSpec(factor=0.5, patience_epochs=1, threshold=0.0, cooldown_epochs=1, min_rate_ratio=0.3)
    values = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0]
    if not higher_is_better:
        values = [-value for value in values]
    factors = [plateau_factor(spec, values[:seen], higher_is_better=higher_is_better) for seen in range(9)]
    assert factors == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3]


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "constant"])
def test_a_warm_up_beyond_the_training_is_refused_with_the_rate_that_it_would_reach(schedule: Schedule) -> None:
    spec = TrainSpec(schedule=schedule, warmup_steps=200, epochs=2, learning_rate=0.8)
    with pytest.raises(UsageError, match="longer than the training") as refused:
        check_warmup(spec, 50)
    highest = max(step_rate(spec, step, 50) for step in range(50))
    assert highest < 0.5
    assert f"{highest:.3g} of 0.8" in str(refused.value.got)
    assert "at most 50" in str(refused.value.expected)
    check_warmup(spec, 200)
    assert max(step_rate(spec, step, 200) for step in range(200)) == pytest.approx(0.8)
