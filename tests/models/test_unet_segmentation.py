"""The U-Net for segmentation: shapes, sizes that do not fit, and that it learns where what is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from components.contracts.architectures.segmentation import SegmentationUNetSpec
from components.contracts.shapes import ImageInput, MaskOutput
from components.core.errors import UsageError
from components.models.build import build


def network(**sizes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    spec = SegmentationUNetSpec(
        family="cnn", name="unet-segmentation", **{"width": 4, "depth": 2, "dropout": 0.0, **sizes}
    )  # type: ignore[arg-type]
    image = ImageInput(height=16, width=24, channels=1, mean=[0.5], std=[0.5])
    return build(spec, image, MaskOutput(classes=3))


def test_a_pixel_has_a_row_of_logits_that_no_other_image_changes() -> None:
    model = network().eval()
    images = torch.randint(0, 256, (2, 16, 24, 1), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (2, 3, 16, 24)
    assert torch.allclose(model(images[:1]), logits[:1], atol=1e-5)
    levels = [block[0].out_channels for block in model.down]  # type: ignore[union-attr]
    assert levels == [4, 8, 16]


def test_sizes_that_it_cannot_halve_are_refused() -> None:
    with pytest.raises(UsageError, match="no multiple of 16") as caught:
        network(depth=4)
    assert "16x24" in str(caught.value.got)


def test_it_learns_where_it_is_bright() -> None:
    model = network(depth=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    images = (
        torch.randint(0, 256, (4, 4, 6, 1), dtype=torch.uint8).repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    )
    masks = (images[..., 0] > 128).long()
    for _ in range(20):
        loss = functional.cross_entropy(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model.eval()(images).argmax(dim=1) == masks).float().mean() > 0.9
