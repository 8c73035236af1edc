"""Networks for tables: with both kinds of columns and with one, alone as in a batch, and as graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, OutputSpec, TableInput, ValuesOutput
from components.models.build import build
from components.models.table_inputs import PeriodicNumbers
from tests.models.export import Graph

SPECS: dict[str, dict[str, Any]] = {
    "mlp": {"family": "mlp", "name": "mlp", "width": 16},
    "plain mlp": {"family": "mlp", "name": "mlp", "width": 16, "numbers": "plain", "normalisation": "none"},
    "residual mlp": {"family": "mlp", "name": "mlp", "width": 16, "residual": True, "normalisation": "layer"},
    "ft-transformer": {"family": "transformer", "name": "ft-transformer", "depth": 2, "width": 16, "heads": 2},
}
TABLES = {"both": (3, [4, 7]), "numbers": (3, []), "categories": (0, [4, 7])}


def network(name: str, table: str, output: OutputSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    numbers, cardinalities = TABLES[table]
    spec: Any = TypeAdapter(ModelSpec).validate_python(SPECS[name])
    return build(spec, TableInput(numbers=numbers, cardinalities=cardinalities), output).eval()


def rows(table: str, count: int = 6) -> dict[str, torch.Tensor]:
    numbers, cardinalities = TABLES[table]
    generator = torch.Generator().manual_seed(1)
    made = {"numbers": torch.randn(count, numbers, generator=generator)} if numbers else {}
    if cardinalities:
        columns = [torch.randint(0, size, (count,), generator=generator) for size in cardinalities]
        made["categories"] = torch.stack(columns, dim=1)
    return made


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", SPECS)
def test_a_row_is_answered_alone_as_in_a_batch_and_by_the_graph(name: str, table: str) -> None:
    model, inputs = network(name, table, ClassesOutput(classes=5)), rows(table)
    together = model(*inputs.values())
    assert together.shape == (6, 5)
    alone = torch.cat([model(*(value[row : row + 1] for value in inputs.values())) for row in range(6)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    graph = Graph(model, rows(table, 2), {key: [0] for key in inputs})
    graph.agrees(*inputs.values())
    assert network(name, table, ValuesOutput(mean=0, std=1))(*inputs.values()).shape == (6, 1)


@pytest.mark.parametrize("name", SPECS)
def test_all_weights_learn_but_those_of_absent_categories(name: str) -> None:
    model, inputs = network(name, "both", ClassesOutput(classes=2)).train(), rows("both", 32)
    model(*inputs.values()).square().sum().backward()
    unused = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert unused == []
    embeddings = [value for key, value in model.named_parameters() if "embeddings" in key]
    assert len(embeddings) == 2
    assert not any(value[0].any() for value in embeddings)  # the unknown category


def test_periodic_numbers_are_the_papers_formula() -> None:
    torch.manual_seed(0)
    module, numbers = PeriodicNumbers(3, 4, 0.5, 6), torch.randn(2, 3)
    found = module(numbers)
    for row in range(2):
        for column in range(3):
            angles = 2 * torch.pi * module.frequencies[column] * numbers[row, column]
            waves = torch.cat([angles.sin(), angles.cos()])
            expected = torch.relu(waves @ module.weight[column] + module.bias[column])
            torch.testing.assert_close(found[row, column], expected)
