"""Regression on images, texts and series: the inputs of the classification, one number in its own units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.core.errors import SampleError
from components.models.build import build
from components.tasks import find, regression
from components.tasks.description import describe_prepared
from components.tasks.task import RawSample
from tests import small_package

COUNT = 12
TARGETS = 1000 + 10.0 * np.arange(COUNT)
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "image-regression": ({"height": 8, "width": 8, "channels": 1}, lambda k: {"image": small_package.image(k)}),
    "text-regression": ({"max_length": 16}, lambda k: {"text": f"a text of {k} words and {k % 3} more"}),
    "series-regression": ({"max_length": 9}, lambda k: {"values": np.arange(3.0 + k % 5) * k}),
}


def raws(task: Any, settings: Any, make: Any) -> list[RawSample]:
    made = [{**make(k), "target": np.array([TARGETS[k]])} for k in range(COUNT)]
    return [RawSample(values, task.decode(values, settings)) for values in made]


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_those_of_the_classification_and_answers_in_the_targets_units(name: str, tmp_path: Path) -> None:
    task: Any = find(name)
    settings = task.settings.model_validate(CASES[name][0])
    samples = raws(task, settings, CASES[name][1])
    fitted = task.fit(settings, iter(samples), [])
    fitted.save(tmp_path)
    processor = task.load(tmp_path)
    encoded = processor.encode(samples)
    np.testing.assert_allclose(np.stack([one["target"] for one in encoded])[:, 0].std(), 1, rtol=1e-6)
    other: Any = find(name.replace("regression", "classification"))
    theirs = other.fit(settings, iter([RawSample({**raw.values, "label": "a"}, raw.decoded) for raw in samples]), ["a"])
    assert processor.input_spec() == theirs.input_spec()

    example = task.example(samples[3].values)
    assert example.truth == "1030"
    read = [processor.read(task.example(raw.values).content, max_pixels=10**6) for raw in samples]
    for one, arrays in zip(read, encoded, strict=True):
        assert all(np.array_equal(one[key], arrays[key]) for key in one)
    scaled = np.stack([one["target"] for one in encoded])
    answers = processor.answer(lambda graph, feed: {"value": scaled[: len(read)]}, read, [], None)
    np.testing.assert_allclose([answer["value"] for answer in answers], TARGETS, rtol=1e-6)
    assert processor.endpoint([]).prediction == regression.schema()
    assert tuple(task.describe(samples[0].values)) == task.raw_columns
    lengths = {f"{array.name}_lengths": np.full(1, len(encoded[0][array.name]))
               for array in processor.arrays() if array.layout == "ragged"}  # fmt: skip
    described = describe_prepared(task, processor, {key: value[None] for key, value in encoded[0].items()} | lengths)
    assert tuple(described) == task.prepared_columns
    with pytest.raises(SampleError, match="no finite number"):
        processor.encode([RawSample({**samples[0].values, "target": np.array([np.nan])}, samples[0].decoded)])


@pytest.mark.parametrize("name", CASES)
def test_every_network_of_its_classification_gives_a_number(name: str) -> None:
    task: Any = find(name)
    settings = task.settings.model_validate(CASES[name][0])
    samples = raws(task, settings, CASES[name][1])
    processor = task.fit(settings, iter(samples), [])
    batch = [torch.from_numpy(processor.encode(samples)[0][array.name][None]) for array in processor.input_arrays()]
    batch += [torch.tensor([batch[0].shape[1]])] if len(processor.inputs()) > 1 else []
    models = [task.starting_model, *({"family": family, **model} for family, model in task.family_models.items())]
    for model in models:
        if model["name"] in ("vit", "mamba"):  # of transformers; slow to import
            continue
        spec: Any = TypeAdapter(ModelSpec).validate_python(model)
        network = build(spec, processor.input_spec(), processor.output_spec()).eval()
        assert network(*batch).shape == (1, 1)
