import math

import torch

from components.models.positions import LearnedPositions, SinusoidalPositions, positions
from tests.models.export import Graph


def test_sinusoidal_positions_are_the_papers_formula() -> None:
    width = 7
    found = SinusoidalPositions(50, width)(torch.zeros(2, 40, width))
    assert found.shape == (2, 40, width)
    for place in (0, 1, 39):
        for index in range(width):
            angle = place / 10000 ** (2 * (index // 2) / width)
            expected = math.cos(angle) if index % 2 else math.sin(angle)
            assert abs(found[1, place, index].item() - expected) < 1e-5


def test_learned_positions_are_their_rows() -> None:
    layer = LearnedPositions(9, 4)
    features = torch.randn(2, 5, 4)
    assert torch.equal(layer(features), features + layer.table[:5])
    assert layer.table.requires_grad


def test_only_learned_ones_are_weights() -> None:
    assert not positions("sinusoidal", 9, 4).state_dict()
    assert set(positions("learned", 9, 4).state_dict()) == {"table"}


def test_their_graphs_are_for_any_length() -> None:
    for kind in ("sinusoidal", "learned"):
        graph = Graph(positions(kind, 20, 4), {"features": torch.zeros(1, 3, 4)}, {"features": (0, 1)}, (0, 1))
        graph.agrees(torch.randn(2, 20, 4))
        graph.agrees(torch.randn(3, 1, 4))
