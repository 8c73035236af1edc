"""A detector without anchors: CenterNet, Zhou et al. 2019, arXiv:1904.07850, with the distances of TTFNet, Liu et al.
2020, arXiv:1909.00700.

Legend: N batch, H height, W width, C channels, h and w those of the heat map, D pyramid, K classes, M boxes of an
image, A peaks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.detection import CenterSpec
from components.contracts.shapes import BoxesOutput, ImageInput
from components.models.resnet import ResidualBlock
from components.models.standardise import Standardise

SPREAD = 0.54 / 6  # a box's standard deviation in the heat map, of its width and height: TTFNet, section 3.2
DISTANCES = 5.0  # weight of the distances beside the heat map: TTFNet, section 4


def build(config: CenterSpec, input_spec: ImageInput, output_spec: BoxesOutput) -> CenterNet:
    """A network for images of any size."""
    return CenterNet(config, input_spec, output_spec.classes)


class CenterOutputs(NamedTuple):
    """Outputs for every position: logits of a centre (N, K, h, w); distances in pixels (N, 4, h, w) from the position
    to the left, upper, right and lower side."""

    heat: Tensor
    distances: Tensor


class CenterNet(nn.Module):
    """Residual stages, a feature pyramid down to the stride of the heat map, and two heads.

    Args:
        config: widths, depth and stride.
        input_spec: size and statistics of the images.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("heat", "distances")
    places: Tensor

    def __init__(self, config: CenterSpec, input_spec: ImageInput, classes: int) -> None:
        super().__init__()
        self.stride, self.kept = config.stride, config.kept
        self.height, self.width = input_spec.height, input_spec.width
        self.standardise = Standardise(input_spec.mean, input_spec.std)
        self.stem = _convolution(input_spec.channels, config.width, stride=2)
        widths = [config.width << stage for stage in range(config.stages)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(in_features, out_features, 2),
                *(ResidualBlock(out_features, out_features, 1) for _ in range(config.blocks - 1)),
            )
            for in_features, out_features in zip([config.width, *widths], widths, strict=False)
        )
        self.first = int(math.log2(config.stride)) - 2  # the stage at the heat map's stride
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.features, 1) for width in widths[self.first :])
        self.smooth = _convolution(config.features, config.features)
        self.heat = nn.Sequential(
            _convolution(config.features, config.features), nn.Conv2d(config.features, classes, 1)
        )
        self.distances = nn.Sequential(_convolution(config.features, config.features), nn.Conv2d(config.features, 4, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for head, bias in ((self.heat, -math.log(9)), (self.distances, 0.0)):  # initial probability of a centre: 0.1
            nn.init.normal_(head.get_parameter("1.weight"), std=0.01)
            nn.init.constant_(head.get_parameter("1.bias"), bias)
        rows, columns = -(-input_spec.height // config.stride), -(-input_spec.width // config.stride)
        # The centre of every position in pixels: x, y (2, h, w).
        middles = [(torch.arange(count) + 0.5) * config.stride for count in (columns, rows)]
        places = torch.stack([middles[0].expand(rows, columns), middles[1][:, None].expand(rows, columns)])
        self.register_buffer("places", places, persistent=False)

    def forward(self, images: Tensor) -> CenterOutputs:
        """Images (N, H, W, C) of 0..255 to the outputs for every position."""
        features = self.stem(self.standardise(images))  # (N, width, H / 2, W / 2)
        levels = []
        for stage in self.stages:
            features = stage(features)  # (N, width * 2^stage, H / 2^(stage + 2), W / 2^(stage + 2))
            levels.append(features)
        levels = [lateral(level) for lateral, level in zip(self.laterals, levels[self.first :], strict=True)]
        merged = levels[-1]  # (N, D, ...)
        for level in reversed(levels[:-1]):
            # Nearest-neighbour upsampling by 2, cropped if the size of the level is odd.
            larger = merged.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            merged = level + larger[:, :, : level.shape[2], : level.shape[3]]  # (N, D, ...)
        merged = self.smooth(merged)  # (N, D, h, w)
        distances = torch.exp(self.distances(merged).float().clamp(max=6.0)) * (4 * self.stride)  # (N, 4, h, w)
        return CenterOutputs(self.heat(merged).float(), distances)

    def loss(self, found: CenterOutputs, boxes: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
        """Outputs and true boxes (N, M, 4), cx cy w h in 0..1, classes (N, M), counts (N,) to the loss ()."""
        target, owner, weight = self._targets(boxes, classes, counts, found.heat.shape[1])
        sides = _sides(boxes, self.width, self.height)  # (N, M, 4)
        target_sides = sides.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4))  # (N, h * w, 4)
        overlap = giou(self._sides_found(found.distances), target_sides)  # (N, h * w)
        weight = weight.flatten(1)  # (N, h * w)
        around = ((1 - overlap) * weight).sum() / weight.sum().clamp(min=1e-6)
        return focal(found.heat, target) + DISTANCES * around

    def decode(self, found: CenterOutputs) -> tuple[Tensor, Tensor]:
        """Boxes (N, A, 4), cx cy w h in 0..1, and scores (N, A, K), 0 if the position is no peak of the class."""
        heat = found.heat.sigmoid()  # (N, K, h, w)
        peaks = functional.max_pool2d(heat, 3, stride=1, padding=1)
        scores = torch.where(heat == peaks, heat, torch.zeros_like(heat)).flatten(2).transpose(1, 2)  # (N, h * w, K)
        left, top, right, bottom = self._sides_found(found.distances).unbind(dim=2)  # (N, h * w) each
        across, down = [(left + right) / 2, right - left], [(top + bottom) / 2, bottom - top]
        (x, width), (y, height) = [side / self.width for side in across], [side / self.height for side in down]
        boxes = torch.stack([x, y, width, height], dim=2)  # (N, h * w, 4)
        kept = min(self.kept, self.places[0].numel())
        best = scores.amax(dim=2).topk(kept, dim=1).indices[..., None]  # (N, A, 1)
        return boxes.gather(1, best.expand(-1, -1, 4)), scores.gather(1, best.expand(-1, -1, scores.shape[2]))

    def _sides_found(self, distances: Tensor) -> Tensor:
        """Distances (N, 4, h, w) to xmin, ymin, xmax, ymax in pixels, clipped to the image, (N, h * w, 4)."""
        x, y = self.places.unbind(dim=0)
        left, top, right, bottom = distances.unbind(dim=1)  # (N, h, w) each
        sides = [
            (x - left).clamp(min=0),
            (y - top).clamp(min=0),
            (x + right).clamp(max=float(self.width)),
            (y + bottom).clamp(max=float(self.height)),
        ]
        return torch.stack(sides, dim=-1).flatten(1, 2)

    def _targets(self, boxes: Tensor, classes: Tensor, counts: Tensor, kinds: int) -> tuple[Tensor, Tensor, Tensor]:
        """The target heat map (N, K, h, w), 1 at the position of a centre; for every position the index of the box
        whose distances are its target (N, h, w), and the weight of that target (N, h, w)."""
        batch, most = classes.shape
        rows, columns = self.places.shape[1:]
        real = torch.arange(most, device=boxes.device) < counts[:, None]  # (N, M)
        sizes = boxes.new_tensor([self.width, self.height]) / self.stride  # (2,)
        centres = boxes[..., :2] * sizes  # (N, M, 2) in places
        column = centres[..., 0].floor().clamp(0, columns - 1)  # (N, M)
        row = centres[..., 1].floor().clamp(0, rows - 1)  # (N, M)
        spread = (boxes[..., 2:] * sizes * SPREAD).clamp(min=0.3)  # (N, M, 2)
        across = torch.arange(columns, device=boxes.device) - column[..., None]  # (N, M, w)
        down = torch.arange(rows, device=boxes.device) - row[..., None]  # (N, M, h)
        wide = torch.exp(-0.5 * (across / spread[..., :1]).square())  # (N, M, w)
        high = torch.exp(-0.5 * (down / spread[..., 1:]).square())  # (N, M, h)
        bumps = high[..., :, None] * wide[..., None, :] * real[..., None, None]  # (N, M, h, w)
        heat = boxes.new_zeros(batch, kinds, rows, columns)
        where = torch.where(real, classes, 0)[..., None, None].expand_as(bumps)  # (N, M, h, w)
        heat = heat.scatter_reduce(1, where, bumps, "amax")  # (N, K, h, w)
        # A position in several boxes belongs to the smallest box whose centre is near.
        near = torch.where(bumps > 0.01, bumps, torch.zeros_like(bumps))  # (N, M, h, w)
        area = boxes[..., 2] * boxes[..., 3]  # (N, M)
        rank = torch.where(near > 0, 1 / area.clamp(min=1e-8)[..., None, None], torch.zeros_like(near))  # (N, M, h, w)
        owner = rank.argmax(dim=1)  # (N, h, w)
        weight = near.gather(1, owner[:, None])[:, 0]  # (N, h, w)
        # Each box has the same total weight, however few positions it has.
        share = 1 / near.sum(dim=(2, 3)).clamp(min=1e-6)  # (N, M)
        return heat, owner, weight * share.gather(1, owner.flatten(1)).view_as(owner)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """CenterNet's focal loss (1), alpha 2 and beta 4, of heat maps (N, K, h, w), over the number of centres, to ()."""
    probability = logits.sigmoid()
    centre = target == 1
    positive = functional.logsigmoid(logits) * (1 - probability).square()
    negative = functional.logsigmoid(-logits) * probability.square() * (1 - target) ** 4
    return -torch.where(centre, positive, negative).sum() / centre.sum().clamp(min=1)


def giou(ours: Tensor, theirs: Tensor) -> Tensor:
    """Generalised intersection over union, arXiv:1902.09630, of boxes (..., 4): left, upper, right, lower side."""
    corner, far = torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:])
    common = (far - corner).clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1) for boxes in (ours, theirs)]
    union = (areas[0] + areas[1] - common).clamp(min=1e-6)
    corner, far = torch.minimum(ours[..., :2], theirs[..., :2]), torch.maximum(ours[..., 2:], theirs[..., 2:])
    hull = (far - corner).clamp(min=0).prod(dim=-1).clamp(min=1e-6)
    return common / union - (hull - union) / hull


def _sides(boxes: Tensor, width: int, height: int) -> Tensor:
    """Boxes (..., 4), cx cy w h in 0..1, to left, upper, right, lower side in pixels (..., 4)."""
    scale = boxes.new_tensor([width, height, width, height])
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1) * scale


def _convolution(in_features: int, out_features: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_features, out_features, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_features),
        nn.ReLU(),
    )
