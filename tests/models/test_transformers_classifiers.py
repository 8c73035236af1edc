from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.transformers_classifier import TransformersClassifier
from tests.models.export import Graph

SPEC: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
RESNET = {"family": "cnn", "name": "resnet-imagenet"}
CONVNEXT = {"family": "cnn", "name": "convnext"}
VIT = {"family": "transformer", "name": "vit"}
TINY: list[dict[str, Any]] = [
    {**RESNET, "depth": 18, "width": 4},
    {**RESNET, "depth": 50, "width": 4},
    {**CONVNEXT, "widths": [8, 16], "depths": [1, 2], "patch": 2},
    {**CONVNEXT, "widths": [8, 16], "depths": [1, 2], "patch": 2, "version": 1},
    {**VIT, "width": 12, "depth": 2},
]


def _network(
    settings: dict[str, Any], rows: int = 32, columns: int = 48, channels: int = 3, classes: int = 7
) -> TransformersClassifier:
    torch.manual_seed(0)
    input_spec = ImageInput(height=rows, width=columns, channels=channels, mean=[0.4] * channels, std=[0.25] * channels)
    network = build(SPEC.validate_python(settings), input_spec, ClassesOutput(classes=classes))
    assert isinstance(network, TransformersClassifier)
    return network.eval()


def _images(rows: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, 32, 48, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        ({**RESNET, "depth": 18}, 11_689_512),
        ({**RESNET, "depth": 34}, 21_797_672),
        ({**RESNET, "depth": 50}, 25_557_032),
        ({**RESNET, "depth": 101}, 44_549_160),
        ({**CONVNEXT, "version": 1, "widths": [96, 192, 384, 768], "depths": [3, 3, 9, 3]}, 28_589_128),
        ({**CONVNEXT}, 3_708_400),
        ({**VIT, "patch": 16, "width": 768, "depth": 12, "heads": 12}, 86_567_656),
    ],
)
def test_has_as_many_weights_as_published(settings: dict[str, Any], published: int) -> None:
    """torchvision's pages for the ResNets, ConvNeXt-T and ViT-B/16; the authors' table for ConvNeXt V2 Atto (3.7 M)."""
    with torch.device("meta"):  # shapes without numbers
        network = _network(settings, 224, 224, classes=1000)
    assert sum(value.numel() for value in network.parameters()) == published


@pytest.mark.parametrize("settings", TINY)
def test_is_transformers_own_on_standardised_pixels(settings: dict[str, Any]) -> None:
    network, images = _network(settings), _images(3)
    pixels = ((images.float() / 255 - 0.4) / 0.25).permute(0, 3, 1, 2)
    assert network(images).shape == (3, 7)
    torch.testing.assert_close(network(images), network.body(pixels).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("settings", TINY)
@pytest.mark.parametrize("channels", [1, 3])
def test_its_graph_is_for_any_batch(settings: dict[str, Any], channels: int) -> None:
    network = _network(settings, channels=channels)
    images = _images(3, channels)
    Graph(network, {"images": images[:1]}, {"images": (0,)}).agrees(images)


def test_a_vits_old_names_fit() -> None:
    network = _network(TINY[-1])
    old = {
        "vit.encoder.layer.1.attention.attention.query.weight": "vit.layers.1.attention.q_proj.weight",
        "vit.encoder.layer.1.attention.attention.key.bias": "vit.layers.1.attention.k_proj.bias",
        "vit.encoder.layer.0.attention.attention.value.bias": "vit.layers.0.attention.v_proj.bias",
        "vit.encoder.layer.0.attention.output.dense.weight": "vit.layers.0.attention.o_proj.weight",
        "vit.encoder.layer.0.intermediate.dense.weight": "vit.layers.0.mlp.fc1.weight",
        "vit.encoder.layer.0.output.dense.weight": "vit.layers.0.mlp.fc2.weight",
        "vit.encoder.layer.0.layernorm_before.weight": "vit.layers.0.layernorm_before.weight",
        "vit.embeddings.cls_token": "vit.embeddings.cls_token",
        "classifier.weight": "classifier.weight",
    }
    renamed = network.fit_pretrained({name: torch.zeros(1) for name in old})
    assert list(renamed) == list(old.values())
    assert {f"body.{name}" for name in renamed} <= network.state_dict().keys()


@pytest.mark.parametrize("settings", TINY)
def test_its_head_is_a_module_of_it(settings: dict[str, Any]) -> None:
    network = _network(settings)
    assert any(name.startswith("body.classifier.") and len(value) == 7 for name, value in network.named_parameters())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="patch size does not divide"):
        _network({**VIT, "patch": 5})
    with pytest.raises(UsageError, match="too small for the number of stages") as caught:
        _network({**CONVNEXT, "patch": 8})
    assert caught.value.expected == "at least 64x64"
    with pytest.raises(ValidationError, match="3 heads do not divide a width of 10"):
        SPEC.validate_python({**VIT, "width": 10})
    with pytest.raises(ValidationError, match="2 widths and 4 depths"):
        SPEC.validate_python({**CONVNEXT, "widths": [8, 16]})
