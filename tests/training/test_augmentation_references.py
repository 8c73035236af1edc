"""The operations on images against PIL, colorsys and scipy; those on series against numpy.

Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from torch import Tensor

from components.contracts.augment_spec import AugmentSpec, ColorJitterSpec, ResizedCropSpec
from components.training.augmentation import color, geometry, rand_augment, resized_crop, series

HEIGHT, WIDTH = 25, 33  # more than 255 pixels: fewer cannot be equalised


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(count: int = 6, channels: int = 3) -> Tensor:
    """Smooth images of levels 20 to 235: blurred noise."""
    noise = np.random.default_rng(0).normal(size=(count, HEIGHT, WIDTH, channels))
    smooth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy((20 + 215 * smooth).round()).float()


def _pil(image: Tensor) -> Image.Image:
    values = image.to(torch.uint8).numpy()
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _array(image: Image.Image) -> Tensor:
    values = torch.from_numpy(np.array(image)).float()
    return values if values.ndim == 3 else values[..., None]


ENHANCE: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Image.Image], ImageEnhance._Enhance]]] = {
    "brightness": (color.brightness, ImageEnhance.Brightness),
    "contrast": (color.contrast, ImageEnhance.Contrast),
    "saturation": (color.saturation, ImageEnhance.Color),
    "sharpness": (color.sharpness, ImageEnhance.Sharpness),
}


@pytest.mark.parametrize("name", ENHANCE)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_changes_colours_is_pils_up_to_one_level(name: str, channels: int) -> None:
    images = _images(channels=channels)
    factors = torch.tensor([0.0, 0.3, 0.9, 1.0, 1.4, 1.9])
    ours, theirs = ENHANCE[name]
    found = ours(images, factors)
    expected = torch.stack([_array(theirs(_pil(i)).enhance(float(f))) for i, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(found, expected, atol=1.0, rtol=0)
    if channels == 3 or name != "saturation":
        assert (found - images).abs().amax(dim=(1, 2, 3))[0] > 5


def test_a_turned_hue_is_that_of_colorsys() -> None:
    images = _images(2)
    images[0, 0, :3] = torch.tensor([0.0, 255.0, 7.0])[:, None]  # greys
    turns = torch.tensor([0.3, -0.45])
    found = color.hue(images, turns) / 255
    for image, turn, got in zip(images / 255, turns.tolist(), found, strict=True):
        for pixel, new in zip(image.reshape(-1, 3).tolist(), got.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*pixel)
            torch.testing.assert_close(new, torch.tensor(colorsys.hsv_to_rgb((h + turn) % 1, s, v)), atol=1e-5, rtol=0)
    torch.testing.assert_close(color.hue(images, torch.zeros(2)), images)


@pytest.mark.parametrize("magnitude", [0, 4, 9, 17, 30])
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_on_levels_are_pils(magnitude: int, channels: int) -> None:
    images, strength = _images(channels=channels), magnitude / 30
    images[0] = 77  # a constant image
    images[1, 0, 0], images[1, 0, 1] = 0, 255
    signs = torch.ones(len(images))
    theirs: dict[Callable[..., Tensor], Callable[[Image.Image], Image.Image]] = {
        rand_augment.posterize: lambda image: ImageOps.posterize(image, 8 - round(4 * strength)),
        rand_augment.solarize: lambda image: ImageOps.solarize(image, 255 * (1 - strength)),  # type: ignore[arg-type]
        rand_augment.autocontrast: ImageOps.autocontrast,
        rand_augment.equalize: ImageOps.equalize,
    }
    for ours, pil in theirs.items():
        found = ours(images, strength, signs)
        expected = torch.stack([_array(pil(_pil(image))) for image in images])
        tolerance = 1.0 if ours is rand_augment.autocontrast else 0.0  # PIL's table is rounded down from other floats
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0, msg=ours.__name__)


@pytest.mark.parametrize("magnitude", [3, 15, 30])
def test_operations_that_move_pixels_are_pils_inside(magnitude: int) -> None:
    images, strength = _images(2), magnitude / 30
    signs = torch.tensor([1.0, -1.0])
    shift = [round(150 / 331 * size * strength) for size in (WIDTH, HEIGHT)]
    matrices: dict[Callable[..., Tensor], Callable[[float], tuple[float, ...]]] = {
        rand_augment.shear_x: lambda sign: (1, 0.3 * strength * sign, 0, 0, 1, 0),
        rand_augment.shear_y: lambda sign: (1, 0, 0, 0.3 * strength * sign, 1, 0),
        rand_augment.translate_x: lambda sign: (1, 0, shift[0] * sign, 0, 1, 0),
        rand_augment.translate_y: lambda sign: (1, 0, 0, 0, 1, shift[1] * sign),
    }
    bilinear, size = Image.Resampling.BILINEAR, (WIDTH, HEIGHT)
    for ours, matrix in matrices.items():
        expected = [
            _array(_pil(image).transform(size, Image.Transform.AFFINE, matrix(sign), bilinear))
            for image, sign in zip(images, signs.tolist(), strict=True)
        ]
        _equal_inside(ours(images, strength, signs), torch.stack(expected))
    turned = [
        _array(_pil(image).rotate(30 * strength * sign, bilinear)) for image, sign in zip(images, (1, -1), strict=True)
    ]
    _equal_inside(rand_augment.rotate(images, strength, signs), torch.stack(turned))


def _equal_inside(found: Tensor, expected: Tensor) -> None:
    """Equal within 1.5 levels where PIL has no border in reach (a neighbour of black is blended with it here)."""
    inside = torch.from_numpy(ndimage.binary_erosion(expected[..., 0] > 0, np.ones((1, 3, 3)), border_value=1))
    assert inside.float().mean() > 0.3
    difference = (found - expected).abs().amax(dim=3)
    assert float(difference[:, 1:-1, 1:-1][inside[:, 1:-1, 1:-1]].max()) <= 1.5


def test_rand_augment_uses_all_operations_and_a_strength_of_0_keeps_most_images() -> None:
    images = _images(1).repeat(600, 1, 1, 1)
    spec = AugmentSpec.model_validate({"rand_augment": {"operations": 1, "magnitude": 15}})
    assert spec.rand_augment is not None
    found = rand_augment.rand_augmented(images, spec.rand_augment, _generator())
    kinds = {image.numpy().tobytes() for image in found}
    assert len(kinds) == 1 + 9 * 2 + 4  # identity; two signs; posterize, solarize, autocontrast, equalize
    weak = rand_augment.rand_augmented(images, spec.rand_augment.model_copy(update={"magnitude": 0}), _generator())
    same = (weak == images).flatten(1).all(dim=1).float().mean()
    assert abs(float(same) - 12 / 14) < 5 * (12 / 14 * 2 / 14 / 600) ** 0.5


def test_crops_have_the_areas_and_ratios_of_the_spec_and_lie_inside() -> None:
    spec = ResizedCropSpec(scale=[0.2, 0.9], ratio=[0.5, 2.0])
    shape = torch.Size((4000, 90, 60, 3))
    crops = resized_crop.draw_crops(shape, spec, _generator())
    assert int(crops.top.min()) == 0
    assert int((crops.top + crops.height).max()) == 90
    assert int((crops.left + crops.width).max()) == 60
    fits = crops.height * crops.width < 90 * 60  # else ten draws did not fit: the whole image
    assert 0 < float(fits.logical_not().float().mean()) < 0.01
    area, ratio = (crops.height * crops.width / (90 * 60))[fits], (crops.width / crops.height)[fits]
    assert 0.19 < float(area.min()) < 0.21
    assert 0.85 < float(area.max()) < 0.91
    assert 0.49 < float(ratio.min()) < 0.52
    assert 1.9 < float(ratio.max()) < 2.05
    wide = resized_crop.draw_crops(torch.Size((5, 10, 100, 1)), ResizedCropSpec(scale=[1.0, 1.0]), _generator())
    assert set(zip(wide.top.tolist(), wide.left.tolist(), wide.height.tolist(), wide.width.tolist(), strict=True)) == {
        (0, 44, 10, 13)  # nothing of that area and ratio fits: the largest one in the middle
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_resized_crops_are_pils(channels: int) -> None:
    images = _images(40, channels)
    crops = resized_crop.draw_crops(images.shape, ResizedCropSpec(scale=[0.1, 1.0]), _generator(1))
    found, nearest = resized_crop.cropped(images, crops), resized_crop.cropped_nearest(images, crops)
    for number, image in enumerate(images):
        top, left, high, wide = (int(part[number]) for part in crops)
        part = image[top : top + high, left : left + wide]
        for ours, kind in ((found, Image.Resampling.BILINEAR), (nearest, Image.Resampling.NEAREST)):
            theirs = [
                np.array(Image.fromarray(level.numpy()).resize((WIDTH, HEIGHT), kind)) for level in part.unbind(2)
            ]
            same = torch.isclose(ours[number], torch.from_numpy(np.stack(theirs, axis=2)), atol=1e-3)
            if kind == Image.Resampling.NEAREST:  # a place just between two pixels is rounded either way
                rows, columns = (
                    (2 * torch.arange(length) + 1) * size % (2 * length) == 0
                    for length, size in ((HEIGHT, high), (WIDTH, wide))
                )
                same |= (rows[:, None] | columns)[..., None]
            assert bool(same.all())


def test_boxes_of_a_crop_are_where_their_pixels_are() -> None:
    images = torch.zeros(60, 40, 50, 1)
    images[:, 12:28, 15:40] = 255
    boxes = torch.tensor([[27.5 / 50, 20 / 40, 25 / 50, 16 / 40]]).expand(60, 1, 4)
    crops = resized_crop.draw_crops(images.shape, ResizedCropSpec(scale=[0.4, 1.0]), _generator())
    found, moved = resized_crop.cropped(images, crops), resized_crop.cropped_boxes(boxes, crops, 40, 50)
    for image, (x, y, wide, high) in zip(found[..., 0] > 127, moved[:, 0].tolist(), strict=True):
        rows, columns = torch.nonzero(image.any(dim=1))[:, 0], torch.nonzero(image.any(dim=0))[:, 0]
        edges = [
            max(0, (y - high / 2) * 40),
            min(40, (y + high / 2) * 40),
            max(0, (x - wide / 2) * 50),
            min(50, (x + wide / 2) * 50),
        ]
        seen = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
        assert all(abs(float(one) - other) <= 0.51 for one, other in zip(seen, edges, strict=True))


def test_colours_change_by_the_factors_and_each_image_by_its_own() -> None:
    images = torch.full((500, 2, 2, 3), 100, dtype=torch.uint8)
    found = color.jittered(images, ColorJitterSpec(brightness=0.4), _generator())
    assert float(found.min()) == pytest.approx(60, abs=1)
    assert float(found.max()) == pytest.approx(140, abs=1)
    assert len(found[:, 0, 0, 0].unique()) > 450


def test_a_matrix_of_pixels_is_that_of_pil() -> None:
    images = _images(1)
    matrix = (0.9, 0.2, -1.0, -0.1, 1.1, 0.5)
    ours = geometry.warped(images, geometry.of_pixels(torch.tensor(matrix).reshape(1, 2, 3), HEIGHT, WIDTH))
    pil = _pil(images[0]).transform((WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    _equal_inside(ours, _array(pil)[None])


@pytest.mark.parametrize("ragged", [True, False])
def test_warped_time_runs_from_the_first_to_the_last_step_and_never_back(ragged: bool) -> None:
    lengths = torch.tensor([20, 7, 1, 2]) if ragged else None
    ramp = torch.arange(20.0)[None, :, None].repeat(4, 1, 2)
    if lengths is not None:
        ramp *= torch.arange(20)[None, :, None] < lengths[:, None, None]
    found = series.time_warped(ramp, lengths, 0.5, _generator())
    for row, size in zip(found, [20] * 4 if lengths is None else lengths.tolist(), strict=True):
        torch.testing.assert_close(row[[0, size - 1]], torch.tensor([[0.0, 0.0], [size - 1.0, size - 1.0]]))
        assert bool((row[1:size] > row[: size - 1]).all())
        assert not bool(row[size:].any())
    assert float((found - ramp).abs().max()) > 0.5


def test_sampling_between_steps_is_numpys() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(30, 12, 1))).float()
    found = series.sliced(values, None, 0.6, _generator())
    begins = torch.rand(30, 1, generator=_generator()) * 0.4 * 11
    for row, new, begin in zip(values[..., 0], found[..., 0], begins[:, 0].tolist(), strict=True):
        expected = np.interp(begin + np.arange(12) * 0.6, np.arange(12), row.numpy())
        torch.testing.assert_close(new, torch.from_numpy(expected).float(), atol=1e-4, rtol=0)


def test_noise_and_scale_have_the_spread_of_the_spec_and_leave_the_padding() -> None:
    values, lengths = torch.full((400, 30, 2), 5.0), torch.full((400,), 20)
    values[:, 20:] = 0
    std, mean = torch.tensor([1.0, 4.0]), torch.tensor([5.0, 1.0])
    noise = series.noisy(values, lengths, 0.1, std, _generator()) - values
    assert noise[:, :20].std(dim=(0, 1)).tolist() == pytest.approx([0.1, 0.4], rel=0.05)
    factors = series.draw_factors(values.shape, 0.2, _generator())
    scaled = series.scaled(values, lengths, factors, mean)
    torch.testing.assert_close(scaled[:, :20, 0], values[:, :20, 0])
    torch.testing.assert_close(scaled[:, :20, 1], (1 + 4 * factors[:, :, 1]).expand(-1, 20))
    assert factors.std().item() == pytest.approx(0.2, rel=0.1)
    assert not bool(noise[:, 20:].any() | scaled[:, 20:].any())
