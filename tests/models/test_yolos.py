import io
import warnings
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from transformers import YolosForObjectDetection

from components.contracts.architectures.detection import YolosSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.centernet import giou
from components.models.yolos import Yolos, YolosOutputs
from tests.models.export import HARMLESS

BOXES = torch.tensor([[[0.25, 0.5, 0.25, 0.5], [0.75, 0.25, 0.2, 0.3]], [[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]]])
CLASSES, COUNTS = torch.tensor([[2, 0], [1, 0]]), torch.tensor([2, 1])


def _network(rows: int = 32, columns: int = 48, **settings: Any) -> Yolos:
    torch.manual_seed(0)
    input_spec = ImageInput(height=rows, width=columns, channels=3, mean=[0.5] * 3, std=[0.25] * 3)
    sizes = {"patch": 8, "depth": 2, "width": 12, "heads": 3, "tokens": 5, **settings}
    config = YolosSpec.model_validate({"family": "transformer", "name": "yolos", **sizes})
    network = build(config, input_spec, BoxesOutput(classes=3))
    assert isinstance(network, Yolos)
    return network


def _images(rows: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (rows, 32, 48, 3), dtype=torch.uint8, generator=generator)


def test_tokens_find_different_boxes_from_the_start() -> None:
    found = _network().eval()(_images())
    assert (found.logits.shape, found.boxes.shape) == ((2, 5, 4), (2, 5, 4))
    assert len({tuple(box.tolist()) for box in found.boxes[0]}) == 5


def test_scores_are_chances_without_that_of_nothing() -> None:
    network = _network().eval()
    found = network(_images())
    boxes, scores = network.decode(found)
    assert torch.equal(boxes, found.boxes)
    torch.testing.assert_close(scores.sum(dim=2), 1 - found.logits.softmax(dim=2)[..., 3])


def test_the_loss_is_detrs_formula_on_the_best_matching() -> None:
    """Cross-entropy with 0.1 for nothing, 5 times L1 and 2 times GIoU, over the number of boxes."""
    boxes = torch.rand(1, 3, 4) * 0.3 + 0.2
    logits = torch.zeros(1, 3, 4)
    for token, kind in ((0, 3), (1, 0), (2, 2)):
        logits[0, token, kind] = 4.0
    boxes[0, 1], boxes[0, 2] = BOXES[0, 1] + 0.02, BOXES[0, 0] - 0.03  # so tokens 2 and 1 are boxes 0 and 1
    output_spec = torch.tensor([3, 0, 2])
    weights = torch.tensor([1.0, 1.0, 1.0, 0.1])
    expected = nn.functional.cross_entropy(logits[0], output_spec, weights)
    for token, box in ((1, BOXES[0, 1]), (2, BOXES[0, 0])):
        ours = boxes[0, token]
        sides = [torch.cat([one[:2] - one[2:] / 2, one[:2] + one[2:] / 2]) for one in (ours, box)]
        expected = expected + 5 * (ours - box).abs().sum() / 2 + 2 * (1 - giou(*sides)) / 2
    found = _network().loss(YolosOutputs(logits, boxes), BOXES[:1], CLASSES[:1], COUNTS[:1])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_boxes_that_are_padding_change_no_loss_and_none_at_all_has_one() -> None:
    network = _network()
    found = network(_images())
    more, classes = torch.cat([BOXES, torch.rand(2, 3, 4)], dim=1), torch.cat([CLASSES, CLASSES], dim=1)
    torch.testing.assert_close(
        network.loss(found, more, torch.cat([classes, CLASSES[:, :1]], dim=1), COUNTS),
        network.loss(found, BOXES, CLASSES, COUNTS),
    )
    loss = network.loss(found, BOXES, CLASSES, COUNTS * 0)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.slow
def test_learns_two_images_by_heart() -> None:
    network = _network(width=48).train()
    images = _images()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(150):
        loss = network.loss(network(images), BOXES, CLASSES, COUNTS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    boxes, scores = network.eval().decode(network(images))
    for image, count in enumerate(COUNTS):
        for box, kind in list(zip(BOXES[image], CLASSES[image], strict=True))[:count]:
            token = scores[image, :, kind].argmax()
            assert scores[image, token, kind] > 0.5
            torch.testing.assert_close(boxes[image, token], box, atol=0.06, rtol=0)


def test_its_graph_is_for_any_batch() -> None:
    network = _network().eval()

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
            Decoded().eval(), (_images(1),), target, dynamo=False, input_names=["images"],
            output_names=["boxes", "scores"], dynamic_axes={"images": axes, "boxes": axes, "scores": axes},
        )  # fmt: skip
    session = onnxruntime.InferenceSession(target.getvalue(), providers=["CPUExecutionProvider"])
    for rows in (1, 3):
        found = session.run(None, {"images": _images(rows).numpy()})
        with torch.inference_mode():
            expected = network.decode(network(_images(rows)))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), theirs, atol=1e-5, rtol=1e-5)


def test_patches_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match="patch size does not divide"):
        _network(patch=5)


def test_its_positions_are_transformers_own_without_an_interpolation() -> None:
    """Of the interpolation's gradient a GPU has no reproducible kernel."""
    network = _network(depth=3).train()
    body: Any = network.body
    ours = network(_images())
    names, pending = set(), [ours.boxes.grad_fn]
    seen = set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.add(node.name())
            pending += [following for following, _ in node.next_functions]
    assert not [name for name in names if "Upsample" in name]
    plain: Any = YolosForObjectDetection(body.config)
    plain.load_state_dict(body.state_dict())
    pixels = network.standardise(_images())
    torch.testing.assert_close(body.eval()(pixels).logits, plain.eval()(pixels).logits, atol=1e-5, rtol=1e-5)
