import io
import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from components.contracts.architectures.detection import CenterSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.models.build import build
from components.models.centernet import CenterNet, CenterOutputs, focal, giou
from tests.models.export import HARMLESS


def _network(rows: int = 48, columns: int = 64, **settings: Any) -> CenterNet:
    torch.manual_seed(0)
    input_spec = ImageInput(height=rows, width=columns, channels=3, mean=[0.5] * 3, std=[0.25] * 3)
    sizes = {"width": 4, "features": 8, **settings}
    config = CenterSpec.model_validate({"family": "cnn", "name": "center", **sizes})
    network = build(config, input_spec, BoxesOutput(classes=3))
    assert isinstance(network, CenterNet)
    return network


def _images(rows: int = 2, height: int = 48, width: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, height, width, 3), dtype=torch.uint8, generator=generator)


BOXES = torch.tensor([[[0.25, 0.5, 0.25, 0.5], [0.75, 0.25, 0.2, 0.3]], [[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]]])
CLASSES, COUNTS = torch.tensor([[2, 0], [1, 0]]), torch.tensor([2, 1])


def _perfect(network: CenterNet) -> CenterOutputs:
    """What a network would say that knows BOXES."""
    rows, columns = network.places.shape[1:]
    heat, distances = torch.full((2, 3, rows, columns), -12.0), torch.ones(2, 4, rows, columns)
    for image, count in enumerate(COUNTS):
        for box, kind in list(zip(BOXES[image], CLASSES[image], strict=True))[:count]:
            x, y = box[0] * network.width, box[1] * network.height
            heat[image, kind, int(y / network.stride), int(x / network.stride)] = 12.0
            half = box[2:] / 2 * torch.tensor([network.width, network.height])
            near = ((network.places[0] - x).abs() < half[0]) & ((network.places[1] - y).abs() < half[1])
            px, py = network.places
            sides = torch.stack([px - x + half[0], py - y + half[1], x + half[0] - px, y + half[1] - py])
            distances[image][:, near] = sides[:, near]
    return CenterOutputs(heat, distances)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (45, 61)])
@pytest.mark.parametrize("stride", [4, 8])
def test_shapes(height: int, width: int, stride: int) -> None:
    network = _network(height, width, stride=stride, stages=3, blocks=2, kept=7).eval()
    found = network(_images(2, height, width))
    places = (-(-height // stride), -(-width // stride))
    assert found.heat.shape == (2, 3, *places)
    assert found.distances.shape == (2, 4, *places)
    boxes, scores = network.decode(found)
    assert (boxes.shape, scores.shape) == ((2, 7, 4), (2, 7, 3))


def test_what_is_known_perfectly_is_decoded_as_it_is_and_loses_nothing() -> None:
    network = _network()
    found = _perfect(network)
    boxes, scores = network.decode(found)
    for image, count in enumerate(COUNTS):
        seen = scores[image].amax(dim=1) > 0.5
        assert seen.sum() == count
        for box, kind in list(zip(BOXES[image], CLASSES[image], strict=True))[:count]:
            (place,) = torch.nonzero(seen & (scores[image].argmax(dim=1) == kind))[:, 0]
            torch.testing.assert_close(boxes[image, place], box, atol=1e-5, rtol=0)
    perfect = network.loss(found, BOXES, CLASSES, COUNTS)
    assert perfect < 0.01
    worse = CenterOutputs(found.heat, found.distances * 1.5)
    assert network.loss(worse, BOXES, CLASSES, COUNTS) > perfect + 0.5
    assert network.loss(CenterOutputs(-found.heat, found.distances), BOXES, CLASSES, COUNTS) > perfect + 5


def test_boxes_that_are_padding_change_no_loss() -> None:
    network = _network()
    found = network(_images())
    more = torch.cat([BOXES, torch.rand(2, 3, 4)], dim=1)
    classes = torch.cat([CLASSES, torch.full((2, 3), 2)], dim=1)
    torch.testing.assert_close(network.loss(found, more, classes, COUNTS), network.loss(found, BOXES, CLASSES, COUNTS))


def test_an_image_without_boxes_has_a_loss() -> None:
    network = _network()
    loss = network.loss(network(_images()), torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.int64), COUNTS * 0)
    loss.backward()
    assert loss.isfinite()
    assert all(value.grad is None or value.grad.isfinite().all() for value in network.parameters())


def test_the_heat_maps_loss_is_the_papers_formula() -> None:
    logits, target = torch.randn(1, 1, 2, 2), torch.tensor([[[[1.0, 0.5], [0.0, 1.0]]]])
    expected = 0.0
    for logit, output_spec in zip(logits.flatten().sigmoid().tolist(), target.flatten().tolist(), strict=True):
        if output_spec == 1:
            expected -= (1 - logit) ** 2 * np.log(logit)
        else:
            expected -= (1 - output_spec) ** 4 * logit**2 * np.log(1 - logit)
    assert abs(focal(logits, target).item() - expected / 2) < 1e-5


def test_giou_by_hand() -> None:
    one = torch.tensor([0.0, 0.0, 2.0, 2.0])
    assert giou(one, one).item() == 1.0
    assert abs(giou(one, torch.tensor([1.0, 0.0, 3.0, 2.0])).item() - 1 / 3) < 1e-6
    assert abs(giou(one, torch.tensor([3.0, 0.0, 4.0, 2.0])).item() - (0 - (8 - 6) / 8)) < 1e-6


def test_the_smaller_of_two_boxes_on_one_place_is_learned_there() -> None:
    network = _network()
    boxes = torch.tensor([[[0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.3, 0.3]]])
    _, owner, weight = network._targets(boxes, torch.tensor([[0, 1]]), torch.tensor([2]), 3)
    assert owner[0, 6, 8] == 1
    assert weight[0, 6, 8] > 0
    assert weight[0, 0, 0] == 0


@pytest.mark.slow
def test_learns_two_images_by_heart() -> None:
    network, images = _network(width=8, features=16).train(), torch.full((2, 48, 64, 3), 30, dtype=torch.uint8)
    colours = torch.tensor([[220, 30, 30], [30, 220, 30], [30, 30, 220]], dtype=torch.uint8)
    for image, count in enumerate(COUNTS):
        for box, kind in list(zip(BOXES[image], CLASSES[image], strict=True))[:count]:
            (x, y), (w, h) = box[:2] * torch.tensor([64, 48]), box[2:] / 2 * torch.tensor([64, 48])
            images[image, int(y - h) : int(y + h), int(x - w) : int(x + w)] = colours[kind]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(120):
        loss = network.loss(network(images), BOXES, CLASSES, COUNTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    boxes, scores = network.eval().decode(network(images))
    for image, count in enumerate(COUNTS):
        for box, kind in list(zip(BOXES[image], CLASSES[image], strict=True))[:count]:
            place = scores[image, :, kind].argmax()
            assert scores[image, place, kind] > 0.5
            torch.testing.assert_close(boxes[image, place], box, atol=0.06, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(48, 64), (45, 61)])
def test_its_graph_is_for_any_batch(height: int, width: int) -> None:
    network = _network(height, width).eval()

    class Decoded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return network.decode(self.network(images))

    target, axes = io.BytesIO(), {0: "batch"}
    with warnings.catch_warnings():
        for message, category in HARMLESS:
            warnings.filterwarnings("ignore", message=message, category=category)
        torch.onnx.export(
            Decoded().eval(), (_images(1, height, width),), target, dynamo=False, input_names=["images"],
            output_names=["boxes", "scores"], dynamic_axes={"images": axes, "boxes": axes, "scores": axes},
        )  # fmt: skip
    session = onnxruntime.InferenceSession(target.getvalue(), providers=["CPUExecutionProvider"])
    for rows in (1, 3):
        images = _images(rows, height, width)
        boxes, scores = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            expected = network.decode(network(images))
        # Of equal scores (of places that are no peak: zero) either may be kept.
        torch.testing.assert_close(torch.from_numpy(scores), expected[1], atol=1e-5, rtol=0)
        peak = expected[1].amax(dim=2) > 1e-4
        torch.testing.assert_close(torch.from_numpy(boxes)[peak], expected[0][peak], atol=1e-5, rtol=0)
