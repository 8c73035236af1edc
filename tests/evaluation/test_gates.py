import pytest

from components.contracts.pipeline import FloorSpec
from components.core.errors import GateRefused
from components.evaluation.gates import floors


def test_at_or_above_the_floor_passes() -> None:
    floors({"accuracy": 0.98, "nll": 0.5, "ece": 0.9}, {"accuracy": FloorSpec(min=0.98), "nll": FloorSpec(max=0.5)})
    floors({}, {})


@pytest.mark.parametrize("figure", [0.9799, float("nan")])
def test_below_is_refused_with_gate_figure_limit_and_next_step(figure: float) -> None:
    gates = {"accuracy": FloorSpec(min=0.98), "macro_f1": FloorSpec(min=0.1)}
    with pytest.raises(GateRefused) as caught:
        floors({"accuracy": figure, "macro_f1": 0.5}, gates)
    error = caught.value
    assert error.exit_code == 3
    assert "accuracy" in error.what
    assert "macro_f1" not in error.what
    assert f"{figure:.4f}" in str(error.got)
    assert "0.9800" in str(error.got)
    assert error.next_step


def test_a_missing_figure_is_refused_and_all_are_named() -> None:
    with pytest.raises(GateRefused, match="accuracy, macro_f1"):
        floors({"macro_f1": 0.1}, {"accuracy": FloorSpec(min=0.5), "macro_f1": FloorSpec(min=0.5)})


@pytest.mark.parametrize("figure", [0.51, float("nan"), float("inf")])
def test_above_a_ceiling_is_refused_where_lower_is_better(figure: float) -> None:
    with pytest.raises(GateRefused, match="nll") as caught:
        floors({"nll": figure}, {"nll": FloorSpec(max=0.5)})
    assert f"{figure:.4f} > 0.5000" in str(caught.value.got)
