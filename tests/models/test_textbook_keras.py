"""The textbooks' Keras code beside ours: numbers of parameters, and outputs on the same weights.

Ours gives logits; the comparison is after the activation. Keras runs on its torch backend, with weights of its own
initialisation.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from components.contracts.model_spec import ModelSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.shapes import (
    ClassesOutput,
    ForecastOutput,
    ImageInput,
    InputSpec,
    LabelsOutput,
    NextTokenOutput,
    SeriesInput,
    TokensInput,
)
from components.core import located_yaml
from components.core.errors import UsageError
from components.models.build import build
from components.models.parameters import count
from components.training.graphs.classification import Probabilities
from tests.models.export import Graph

SPEC: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
ROOT = Path(__file__).parents[2]
PIXELS = ImageInput(height=64, width=64, channels=3, mean=[0.0] * 3, std=[1.0] * 3)
STEPS = SeriesInput(channels=1, max_length=100, mean=[0.0], std=[1.0], fixed=True)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Keras on its torch backend."""
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    found = importlib.import_module("keras")
    if found.backend.backend() != "torch":
        pytest.skip("keras runs on another backend in this process")
    found.utils.set_random_seed(0)
    yield found
    if before is None:
        del os.environ["KERAS_BACKEND"]


def model_of(pipeline: str) -> dict[str, Any]:
    spec = located_yaml.read(ROOT / "pipelines" / f"{pipeline}.yaml", PipelineSpec)
    return spec.model.model_dump(mode="json")


def ours(pipeline: str, input_spec: InputSpec, classes: int) -> nn.Module:
    torch.manual_seed(0)
    return build(SPEC.validate_python(model_of(pipeline)), input_spec, ClassesOutput(classes=classes)).eval()


def textbook_cnn(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def textbook_rnn(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((100, 1)),
            layers.SimpleRNN(50, activation="relu", return_sequences=True),
            layers.SimpleRNN(50, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def textbook_lstm(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((100, 1)),
            layers.LSTM(64, return_sequences=True),
            layers.LSTM(64),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def arrays(model: Any) -> list[list[NDArray[np.float32]]]:
    """The weights of each layer that has some, in Keras' order; what begins at 0 or 1 is drawn."""
    rng = np.random.default_rng(0)
    found = []
    for layer in model.layers:
        if layer.get_weights():
            drawn = [
                value + rng.uniform(0.1, 0.5, value.shape).astype(np.float32) if value.ndim == 1 else value
                for value in layer.get_weights()
            ]
            layer.set_weights(drawn)
            found.append(drawn)
    return found


@pytest.mark.slow
def test_cnn(keras: Any) -> None:
    theirs, network = textbook_cnn(keras), ours("textbook-cnn", PIXELS, 10)
    assert [type(layer).__name__ for layer in network.modules() if not list(layer.children())] == [
        "Standardise",
        *("Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d") * 2,
        *("Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear"),
    ]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.0, 0.5]
    first, norm, second, after, dense, last = arrays(theirs)
    state = network.state_dict()
    for name, (kernel, bias) in (("blocks.0.0", first), ("blocks.1.0", second)):
        state[f"{name}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1))  # HWIO to OIHW
        state[f"{name}.bias"] = torch.from_numpy(bias)
    for name, values in (("blocks.0.2", norm), ("blocks.1.2", after)):
        for kind, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
            state[f"{name}.{kind}"] = torch.from_numpy(value)
    height_width_channels = dense[0].reshape(14, 14, 64, 128)  # Keras flattens (H, W, C), we (C, H, W)
    state["head.2.weight"] = torch.from_numpy(height_width_channels.transpose(3, 2, 0, 1).reshape(128, -1))
    state["head.5.weight"] = torch.from_numpy(last[0].T)
    state["head.2.bias"], state["head.5.bias"] = torch.from_numpy(dense[1]), torch.from_numpy(last[1])
    network.load_state_dict(state)
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    answers = Probabilities(network)(images)
    torch.testing.assert_close(answers, theirs(images / 255, training=False).detach(), atol=1e-5, rtol=0)
    assert answers.max() < 0.999  # not saturated: the comparison sees the logits
    trained = sum(value.numel() for value in network.parameters())
    statistics = sum(value.numel() for name, value in network.named_buffers() if "running" in name)
    assert trained + statistics == theirs.count_params() == 1_626_826
    assert trained == sum(int(np.prod(value.shape)) for value in theirs.trainable_weights) == 1_626_634


def test_cnns_normalisation_learns_as_keras(keras: Any) -> None:
    """One batch in training: the running statistics are Keras' with momentum 0.99 and the batch's variance unbiased."""
    network = ours("textbook-cnn", PIXELS, 10)
    norm = network.get_submodule("blocks.0.2")
    assert isinstance(norm, nn.BatchNorm2d)
    theirs = keras.layers.BatchNormalization()
    theirs.build((None, 8, 8, 32))
    assert (norm.eps, norm.momentum) == (theirs.epsilon, pytest.approx(1 - theirs.momentum))
    features = torch.rand(64, 32, 8, 8) * 3
    norm.train()
    theirs(features.permute(0, 2, 3, 1), training=True)
    answer = norm(features)
    torch.testing.assert_close(norm.running_mean, torch.from_numpy(np.array(theirs.moving_mean)), atol=1e-6, rtol=0)
    # torch keeps the unbiased variance, n / (n - 1) of Keras'; n is 4096 here.
    torch.testing.assert_close(norm.running_var, torch.from_numpy(np.array(theirs.moving_variance)), atol=1e-5, rtol=0)
    other = theirs(features.permute(0, 2, 3, 1), training=True).detach().permute(0, 3, 1, 2)
    torch.testing.assert_close(answer.detach(), other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("pipeline", "code", "parameters"),
    [("textbook-rnn", textbook_rnn, 7_701), ("textbook-lstm", textbook_lstm, 49_985)],
)
def test_recurrent(keras: Any, pipeline: str, code: Any, parameters: int) -> None:
    theirs, network = code(keras), ours(pipeline, STEPS, 2)
    *cells, dense = arrays(theirs)
    state = network.state_dict()
    for layer, (kernel, recurrent, bias) in enumerate(cells):  # both have the gates in the order i, f, g, o
        place = f"recurrent.layers.{layer}.0"
        state[f"{place}.weight_ih_l0"] = torch.from_numpy(kernel.T)
        state[f"{place}.weight_hh_l0"] = torch.from_numpy(recurrent.T)
        state[f"{place}.bias_ih_l0"] = torch.from_numpy(bias)
        assert not state[f"{place}.bias_hh_l0"].any()
    state["head.weight"], state["head.bias"] = torch.from_numpy(dense[0].T) / 50, torch.from_numpy(dense[1])
    theirs.layers[-1].set_weights([dense[0] / 50, dense[1]])
    network.load_state_dict(state)
    series = torch.randn(5, 100, 1)
    answers = Probabilities(network)(series, torch.full((5,), 100))
    torch.testing.assert_close(answers[:, 1:], theirs(series, training=False).detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(answers.sum(dim=1), torch.ones(5))
    assert answers[:, 1].min() > 1e-3
    assert answers[:, 1].max() < 0.999
    assert sum(value.numel() for value in network.parameters()) == theirs.count_params() == parameters


@pytest.mark.parametrize(("pipeline", "code"), [("textbook-rnn", textbook_rnn), ("textbook-lstm", textbook_lstm)])
def test_weights_begin_as_keras_draws_them(keras: Any, pipeline: str, code: Any) -> None:
    network, theirs = ours(pipeline, STEPS, 2), code(keras)
    for layer in (0, 1):
        kernel, recurrent, bias = theirs.layers[layer].get_weights()
        cells = network.get_submodule(f"recurrent.layers.{layer}.0")
        assert isinstance(cells, nn.RNNBase)
        limit = np.sqrt(6 / sum(kernel.shape))
        drawn = cells.weight_ih_l0.detach()
        assert 0.9 * limit < np.abs(kernel).max() <= limit
        assert 0.9 * limit < drawn.abs().max() <= limit
        width = recurrent.shape[0]
        np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(width), atol=1e-4)
        torch.testing.assert_close(cells.weight_hh_l0.T @ cells.weight_hh_l0, torch.eye(width), atol=1e-4, rtol=0)
        np.testing.assert_array_equal(cells.bias_ih_l0.detach().numpy(), bias)


@pytest.mark.parametrize("pipeline", ["textbook-rnn", "textbook-lstm"])
def test_its_graph_is_the_network(pipeline: str) -> None:
    network = ours(pipeline, STEPS, 2)
    series = torch.randn(3, 100, 1)
    example = {"values": series[:1], "values_lengths": torch.tensor([100])}
    Graph(network, example, {"values": (0,), "values_lengths": (0,)}).agrees(series, torch.full((3,), 100))


def test_cnns_graph_is_the_network() -> None:
    network = ours("textbook-cnn", PIXELS, 10)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    Graph(network, {"images": images[:1]}, {"images": (0,)}).agrees(images)


def test_one_bias_stays_one_in_training_and_copies() -> None:
    """A step of an optimizer leaves the zeros alone, and a copy of the network has its own weights."""
    import copy

    network = ours("textbook-lstm", STEPS, 2).train()
    twin = copy.deepcopy(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    series, whole = torch.randn(4, 100, 1), torch.full((4,), 100)
    loss = nn.functional.cross_entropy(network(series, whole), torch.tensor([0, 1, 1, 0]))
    loss.backward()
    optimizer.step()
    assert not network.get_submodule("recurrent.layers.0.0").get_buffer("bias_hh_l0").any()
    assert not torch.equal(network(series, whole), twin(series, whole))
    twin.load_state_dict(network.state_dict())
    assert torch.equal(network(series, whole), twin(series, whole))
    assert network.to(torch.float64)(series.double(), whole).dtype == torch.float64


LSTM = {"family": "rnn", "name": "lstm", "head": "sigmoid"}


def test_one_logit_is_the_binary_cross_entropy() -> None:
    network = build(SPEC.validate_python({**LSTM, "width": 4}), STEPS, ClassesOutput(classes=2)).eval()
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    assert head.weight.shape == (1, 4)
    series, labels = torch.randn(6, 100, 1), torch.tensor([0, 1, 1, 0, 1, 0])
    logits: Tensor = network(series, torch.full((6,), 100))
    expected = nn.functional.binary_cross_entropy_with_logits(logits[:, 1], labels.float())
    torch.testing.assert_close(nn.functional.cross_entropy(logits, labels), expected)
    torch.testing.assert_close(logits.softmax(dim=1)[:, 1], logits[:, 1].sigmoid())


@pytest.mark.parametrize(
    "model",
    [
        {"family": "cnn", "name": "resnet", "depth": 8},
        {"family": "cnn", "name": "vgg", "divide": 32, "pooled": 1},
        {"family": "cnn", "name": "textbook", "width": 4},
    ],
)
def test_any_network_of_classes_has_one_logit(model: dict[str, Any]) -> None:
    input_spec = ImageInput(height=32, width=32, channels=3, mean=[0.5] * 3, std=[0.2] * 3)
    network = build(SPEC.validate_python({**model, "head": "sigmoid"}), input_spec, ClassesOutput(classes=2)).eval()
    logits = network(torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8))
    assert logits.shape == (3, 2)
    assert not logits[:, 0].any()
    assert logits[:, 1].all()


@pytest.mark.parametrize("output", [ClassesOutput(classes=3), LabelsOutput(classes=2)])
def test_a_sigmoid_of_other_than_two_classes_is_refused(output: ClassesOutput) -> None:
    with pytest.raises(UsageError, match="for two classes") as caught:
        build(SPEC.validate_python(LSTM), STEPS, output)
    assert caught.value.where == "model.head"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "lstm", "activation": "relu"}, "the gates of a lstm are fixed"),
        ({"name": "gru", "biases": 1}, "a gru has 2 biases"),
        ({"family": "cnn", "name": "textbook", "flatten_dropout": 0.1}, "give hidden"),
        ({"family": "custom", "name": "custom", "factory": "a:b", "head": "sigmoid"}, "own last layer"),
    ],
)
def test_what_has_no_effect_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SPEC.validate_python({"family": "rnn", **fields})


def test_specs_without_the_later_fields_are_dumped_as_before() -> None:
    for model in ({"family": "cnn", "name": "textbook"}, {"family": "rnn", "name": "rnn"}):
        dumped = SPEC.validate_python(model).model_dump(mode="json")
        assert not dumped.keys() & {
            "head", "padding", "order", "bias", "flatten_dropout", "norm_momentum", "norm_epsilon", "initialisation",
            "activation", "biases",
        }  # fmt: skip


IMAGENET = ImageInput(height=224, width=224, channels=3, mean=[0.5] * 3, std=[0.5] * 3)


def counted(pipeline: str) -> int:
    """Parameters of a pipeline's network with the 1000 classes of ImageNet."""
    model = model_of(pipeline) | {"pretrained": None, "transfer": {"policy": "none"}}
    return count(SPEC.validate_python(model), IMAGENET, ClassesOutput(classes=1000))


@pytest.mark.parametrize(
    ("pipeline", "published"),
    [("vgg16", 138_357_544), ("resnet50", 25_557_032), ("vit", 86_567_656), ("convnext", 28_589_128)],
)
def test_transfer_pipelines_have_as_many_parameters_as_published(pipeline: str, published: int) -> None:
    assert counted(pipeline) == published  # torchvision's pages of its weights


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["vgg16", "convnext", "resnet50"])
def test_they_have_as_many_as_keras_applications(keras: Any, pipeline: str) -> None:
    """Keras' ResNet50 also has biases in its 53 convolutions, 26,560; running statistics count as parameters there."""
    name = {"vgg16": "VGG16", "convnext": "ConvNeXtTiny", "resnet50": "ResNet50"}[pipeline]
    with keras.device("meta"):  # shapes without numbers
        theirs = getattr(keras.applications, name)(weights=None)
    biases = statistics = 0
    if pipeline == "resnet50":
        convolutions = [layer for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)]
        biases = sum(layer.filters for layer in convolutions)
        statistics = theirs.count_params() - sum(int(np.prod(value.shape)) for value in theirs.trainable_weights)
        assert (len(convolutions), biases, statistics, theirs.count_params()) == (53, 26_560, 53_120, 25_636_712)
    assert counted(pipeline) == theirs.count_params() - biases - statistics


def test_mamba_has_as_many_parameters_as_published() -> None:
    """state-spaces/mamba-130m: 129,135,360, with a vocabulary of 50,280 whose matrix gives the logits too."""
    model = model_of("sst2-mamba") | {"depth": 24, "width": 768, "state": 16}
    tokens = TokensInput(vocabulary=50_280, max_length=64)
    assert count(SPEC.validate_python(model), tokens, NextTokenOutput(vocabulary=50_280)) == 129_135_360


def test_a_forecast_by_the_plain_cell_with_relu() -> None:
    output = ForecastOutput(horizon=3, channels=1, quantiles=[0.5])
    model = {"family": "rnn", "name": "rnn", "activation": "relu", "biases": 1, "width": 4}
    network = build(SPEC.validate_python(model), STEPS, output).eval()
    assert network(torch.randn(2, 100, 1)).shape == (2, 3, 1, 1)
