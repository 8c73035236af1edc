import pytest
import torch

from components.training.schedule import Schedule, learning_rate


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
