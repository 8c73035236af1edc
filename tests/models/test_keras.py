"""A Keras 3 network on its torch backend goes through training and export, and answers in a bundle's onnxruntime."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.evaluation import stage as evaluation
from components.identity.package import Package
from components.models.build import build
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SOURCE = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras

def build(input_spec, output_spec, width=8, dropout=0.1):
    images = keras.Input((input_spec.height, input_spec.width, input_spec.channels))
    features = keras.layers.Rescaling(1 / 255)(images)
    features = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(features)
    features = keras.layers.BatchNormalization(momentum=0.9)(features)
    features = keras.layers.Conv2D(2 * width, 3, padding="same", activation="relu")(features)
    features = keras.layers.Flatten()(keras.layers.MaxPooling2D()(features))
    features = keras.layers.Dropout(dropout)(features)
    return keras.Model(images, keras.layers.Dense(output_spec.classes)(features))
"""
MODEL = {"family": "custom", "factory": "network_in_keras:build"}


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network_in_keras.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")


def network(**options: float) -> torch.nn.Module:
    input_spec = ImageInput(height=8, width=8, channels=1, mean=[0.5], std=[0.5])
    return build(CustomSpec.model_validate({**MODEL, "options": options}), input_spec, ClassesOutput(classes=10))


def test_it_learns_and_its_package_answers(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared")
    asked = request(tmp_path / "prepared", tmp_path / "run", model=MODEL, epochs=8)
    training.train(asked, EventStream(io.StringIO()))
    (tmp_path / "request.json").write_text(asked.model_dump_json())
    evaluation.main([str(tmp_path / "request.json")])
    assert Package.open(tmp_path / "run" / "package").metrics()["overall"]["accuracy"] > 0.8
    history = json.loads((tmp_path / "run" / "trained" / "history.json").read_bytes())["epochs"]
    assert history[-1]["train/loss"] < history[0]["train/loss"]


def test_built_twice_it_takes_its_own_weights_and_says_the_same() -> None:
    one, other = network().eval(), network().eval()
    other.load_state_dict(one.state_dict())
    images = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8)
    torch.testing.assert_close(other(images), one(images))


def test_it_is_told_whether_it_is_trained() -> None:
    made, images = network(dropout=0.5), torch.full((4, 8, 8, 1), 200, dtype=torch.uint8)
    made.eval()
    torch.testing.assert_close(made(images), made(images))
    made.train()
    assert not torch.allclose(made(images), made(images))
