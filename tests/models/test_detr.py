"""DETR of the hub against transformers' own model and image processor, before and after export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.detr import Detr
from components.training import image_statistics
from tests.models.export import Graph

INPUT = ImageInput(height=64, width=96, channels=3, mean=[0.5] * 3, std=[0.25] * 3)
STATISTICS = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    place = tmp_path_factory.mktemp("detr")
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = DetrConfig(backbone_config=backbone, num_queries=6, num_labels=3, **sizes, **heads)
    network = DetrForObjectDetection(config)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value, std=0.1)
    network.save_pretrained(place)
    processor = {"do_rescale": True, "do_normalize": True, "image_processor_type": "DetrImageProcessor", **STATISTICS}
    (place / "preprocessor_config.json").write_text(json.dumps(processor))
    return place


def _network(folder: Path, input_spec: ImageInput = INPUT) -> Any:
    spec: Any = {"family": "transformer", "name": "detr", "config": f"folder:{folder}"}
    network = build(TypeAdapter(ModelSpec).validate_python(spec), input_spec, BoxesOutput(classes=3))
    fit = network.load_pretrained(folder)
    assert not fit.left
    assert not fit.new
    image_statistics.adopt(network, input_spec, fit.fitted, folder / "preprocessor_config.json", "test")
    return network.eval()


def _images(rows: int = 2) -> Tensor:
    return torch.randint(0, 256, (rows, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_outputs_are_those_of_transformers_with_its_image_processor(folder: Path) -> None:
    from transformers import DetrForObjectDetection
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

    images = _images()
    processor = DetrImageProcessorPil.from_pretrained(folder, do_resize=False)
    inputs = processor(images=[image.numpy() for image in images], return_tensors="pt")
    network, theirs = _network(folder), DetrForObjectDetection.from_pretrained(folder).eval()
    assert isinstance(network, Detr)
    with torch.inference_mode():
        expected, found = theirs(**inputs), network(images)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.boxes, expected.pred_boxes, atol=1e-5, rtol=1e-5)


class Boxes(nn.Module):
    """Boxes and scores in one tensor."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(N, A, 4 + K)"""
        return torch.cat(self.network.decode(self.network(images)), dim=2)


@pytest.mark.slow
def test_the_graph_gives_what_the_network_gives(folder: Path) -> None:
    graph = Graph(Boxes(_network(folder)), {"images": _images(1)}, {"images": (0,)})
    for rows in (1, 2, 3):
        graph.agrees(_images(rows))


def test_it_learns_by_the_best_matching_and_its_backbone_keeps_its_statistics(folder: Path) -> None:
    network = _network(folder).train()
    boxes = torch.tensor([[[0.25, 0.5, 0.25, 0.5]], [[0.5, 0.5, 0.5, 0.5]]])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = network.loss(network(_images()), boxes, torch.tensor([[2], [1]]), torch.tensor([1, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_what_the_weights_cannot_read_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="number of channels"):
        _network(folder, INPUT.model_copy(update={"channels": 1, "mean": [0.5], "std": [0.5]}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr", "backbone": "resnet50"}))
    with pytest.raises(UsageError, match="timm"):
        _network(tmp_path)
