from typing import Any

import pytest
import torch
from torch import nn

from components.contracts.architectures.vision import VggSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.vgg import AveragePool, Vgg
from tests.models.export import Graph


def _network(rows: int = 32, columns: int = 32, channels: int = 3, classes: int = 10, **settings: Any) -> Vgg:
    torch.manual_seed(0)
    input_spec = ImageInput(height=rows, width=columns, channels=channels, mean=[0.5] * channels, std=[0.25] * channels)
    config = VggSpec.model_validate({"family": "cnn", "name": "vgg", **settings})
    network = build(config, input_spec, ClassesOutput(classes=classes))
    assert isinstance(network, Vgg)
    return network.eval()


def _images(rows: int, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, height, width, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("depth", "batch_norm", "published"),
    [
        (11, False, 132_863_336),
        (13, False, 133_047_848),
        (16, False, 138_357_544),
        (19, False, 143_667_240),
        (16, True, 138_365_992),
    ],
)
def test_has_as_many_weights_as_torchvisions(depth: int, batch_norm: bool, published: int) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = _network(224, 224, classes=1000, depth=depth, batch_norm=batch_norm)
    assert sum(value.numel() for value in network.parameters()) == published


def test_its_weights_are_named_as_torchvisions() -> None:
    network = _network(divide=32, pooled=7)
    convolutions = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = [f"features.{index}" for index in convolutions] + [f"classifier.{index}" for index in (0, 3, 6)]
    expected = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert network.state_dict().keys() - {"standardise.mean", "standardise.std"} == expected
    assert network.get_parameter("classifier.0.weight").shape == (4096 // 32, 512 // 32 * 49)


def test_is_the_same_as_the_layers_written_out() -> None:
    network, images = _network(64, 96, divide=32, depth=11, pooled=2), _images(2, 64, 96)
    features = ((images.float() / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)
    weights = network.state_dict()
    for index, pools in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True), (16, False), (18, True)):
        features = nn.functional.conv2d(
            features, weights[f"features.{index}.weight"], weights[f"features.{index}.bias"], padding=1
        ).relu()
        features = nn.functional.max_pool2d(features, 2) if pools else features
    assert features.shape == (2, 16, 2, 3)
    rows = nn.functional.adaptive_avg_pool2d(features, 2).flatten(1)
    for index in (0, 3):
        rows = (rows @ weights[f"classifier.{index}.weight"].T + weights[f"classifier.{index}.bias"]).relu()
    expected = rows @ weights["classifier.6.weight"].T + weights["classifier.6.bias"]
    torch.testing.assert_close(network(images), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("height", "width", "pooled"), [(7, 7, 7), (1, 1, 7), (3, 5, 2), (10, 4, 7)])
def test_its_pooling_is_torchs(height: int, width: int, pooled: int) -> None:
    features = torch.randn(2, 3, height, width)
    expected = nn.functional.adaptive_avg_pool2d(features, pooled)
    torch.testing.assert_close(AveragePool(height, width, pooled)(features), expected)


@pytest.mark.parametrize(("height", "width", "pooled"), [(32, 32, 7), (70, 40, 2)])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_its_graph_is_for_any_batch(height: int, width: int, pooled: int, batch_norm: bool) -> None:
    network = _network(height, width, 1, divide=16, pooled=pooled, batch_norm=batch_norm)
    images = _images(3, height, width, 1)
    Graph(network, {"images": images[:1]}, {"images": (0,)}).agrees(images)


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="too small for five poolings"):
        _network(31, 64)
