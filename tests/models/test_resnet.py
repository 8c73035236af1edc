import os
from pathlib import Path

import pytest
import torch

from components.contracts.architectures.cnn import ResNetSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.models.build import build
from components.models.resnet import ResidualBlock, ResNet

CIFAR_MEAN, CIFAR_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def _build(depth: int = 8, width: int = 16, channels: int = 3, size: int = 32) -> ResNet:
    config = ResNetSpec(family="cnn", name="resnet", depth=depth, width=width)
    mean, std = CIFAR_MEAN[:channels], CIFAR_STD[:channels]
    input_spec = ImageInput(height=size, width=size, channels=channels, mean=mean, std=std)
    network = build(config, input_spec, ClassesOutput(classes=10))
    assert isinstance(network, ResNet)
    return network


@pytest.mark.parametrize(("size", "halves"), [(32, (32, 16, 8)), (28, (28, 14, 7)), (9, (9, 5, 3))])
def test_shapes(size: int, halves: tuple[int, int, int]) -> None:
    network = _build(width=8, channels=1, size=size)
    features = network.conv1(network.standardise(torch.zeros(2, size, size, 1, dtype=torch.uint8)))
    for stage, side, channels in zip(
        (network.layer1, network.layer2, network.layer3), halves, (8, 16, 32), strict=True
    ):
        features = stage(features)
        assert features.shape == (2, channels, side, side)
    assert network(torch.zeros(2, size, size, 1, dtype=torch.uint8)).shape == (2, 10)


def test_a_block_whose_convolutions_say_nothing_is_its_shortcut() -> None:
    block = ResidualBlock(4, 8, stride=2).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    features = torch.rand(2, 4, 6, 6)
    found = block(features)
    assert found.shape == (2, 8, 3, 3)
    assert torch.equal(found[:, 2:6], features[:, :, ::2, ::2])
    assert not found[:, :2].any()
    assert not found[:, 6:].any()


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_has_as_many_layers_as_its_depth(depth: int) -> None:
    weights = [name for name, value in _build(depth).named_parameters() if value.ndim >= 2]
    assert len(weights) == depth


def _public_weights(depth: int) -> dict[str, torch.Tensor]:
    found = sorted(Path(os.environ.get("MODELYARD_MIRROR", "/nowhere")).rglob(f"resnet{depth}-*.th"))
    if not found:
        pytest.skip(f"no resnet{depth}-*.th below MODELYARD_MIRROR")
    state = torch.load(found[0], map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("module."): value for name, value in state.items()}


def test_takes_the_public_cifar_weights() -> None:
    weights = _public_weights(20)
    network = _build(depth=20)
    missing, unknown = network.load_state_dict(weights, strict=False)
    assert (sorted(missing), unknown) == (["standardise.mean", "standardise.std"], [])


@pytest.mark.slow
def test_scores_with_the_public_weights_what_is_published() -> None:
    """81.0 % on the JPEG copy of CIFAR-10's test set; 1,000 images give that within 4 standard errors of 1.24 %."""
    weights = _public_weights(20)
    tables = sorted(Path(os.environ["MODELYARD_MIRROR"]).rglob("cifar10_jpegq75_test.parquet"))
    if not tables:
        pytest.skip("no cifar10_jpegq75_test.parquet below MODELYARD_MIRROR")
    import pyarrow.parquet

    from components.preprocessing.image import decode

    table = pyarrow.parquet.read_table(tables[0]).slice(0, 1000).to_pydict()
    contents = [image["bytes"] if isinstance(image, dict) else image for image in table["image"]]
    network = _build(depth=20)
    network.load_state_dict(weights, strict=False)
    with torch.inference_mode():
        images = torch.stack([torch.from_numpy(decode(content, 32, 32, 3)) for content in contents])  # (N, H, W, C)
        answers = network.eval()(images).argmax(dim=1)
    accuracy = (answers == torch.tensor(table["label"])).float().mean().item()
    assert abs(accuracy - 0.81) < 0.05
