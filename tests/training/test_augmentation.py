import math

import pytest
import torch

from components.contracts.augment_spec import AugmentSpec
from components.training.augmentation.images import augment


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(count: int = 64, height: int = 9, width: int = 7, channels: int = 2) -> torch.Tensor:
    return torch.randint(1, 256, (count, height, width, channels), dtype=torch.uint8, generator=_generator(99))


def test_every_shifted_image_is_one_of_the_shifts_and_all_occur() -> None:
    images = _images(400)
    found = augment(images, AugmentSpec(shift_pixels=1), _generator())
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    seen = set()
    for image, moved in zip(images, found, strict=True):
        matches = []
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                expected = torch.zeros_like(image)
                expected[max(down, 0) : 9 + min(down, 0), max(right, 0) : 7 + min(right, 0)] = image[
                    max(-down, 0) : 9 + min(-down, 0), max(-right, 0) : 7 + min(-right, 0)
                ]
                if torch.equal(moved, expected):
                    matches.append((down, right))
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 9


@pytest.mark.parametrize(("spec", "axis"), [(AugmentSpec(flip=True), 2), (AugmentSpec(flip_vertical=True), 1)])
def test_half_of_the_images_are_mirrored(spec: AugmentSpec, axis: int) -> None:
    images = _images(2000)
    found = augment(images, spec, _generator())
    mirrored = (found == images.flip(axis)).flatten(1).all(dim=1)
    same = (found == images).flatten(1).all(dim=1)
    assert bool((mirrored ^ same).all())
    assert abs(mirrored.float().mean().item() - 0.5) < 5 * 0.5 / math.sqrt(2000)


def test_turning_by_almost_nothing_keeps_the_pixels() -> None:
    images = _images()
    found = augment(images, AugmentSpec(rotate_degrees=1e-4), _generator())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, images.float(), atol=0.05, rtol=0)


def test_warping_moves_and_mirrors_as_the_gather_does() -> None:
    images = _images()
    spec = AugmentSpec(flip=True, shift_pixels=2)
    turned = augment(images, spec.model_copy(update={"rotate_degrees": 1e-4}), _generator(3))
    torch.testing.assert_close(turned, augment(images, spec, _generator(3)).float(), atol=0.1, rtol=0)


def test_a_turn_is_rigid_on_images_that_are_not_square() -> None:
    """A turned disc is the same disc but for its edge; stretched, it would not be."""
    rows, columns = torch.meshgrid(torch.arange(21) - 10.0, torch.arange(41) - 20.0, indexing="ij")
    distance = (rows.square() + columns.square()).sqrt()
    disc = (distance <= 7).to(torch.uint8) * 255
    images = disc[None, :, :, None].repeat(50, 1, 1, 1)
    found = augment(images, AugmentSpec(rotate_degrees=180.0), _generator())
    assert float(found[:, distance <= 5.5].min()) > 254
    assert float(found[:, distance >= 8.5].max()) < 1


def test_an_erased_rectangle_is_at_most_a_third_of_each_side() -> None:
    images = _images(500, 12, 9, 1)
    found = augment(images, AugmentSpec(erase=0.5), _generator())
    changed = (found != images)[..., 0]
    assert not bool(found[changed.unsqueeze(-1)].any())
    erased = changed.flatten(1).any(dim=1)
    assert abs(erased.float().mean().item() - 0.5) < 5 * 0.5 / math.sqrt(500)
    rows, columns = changed.any(dim=2).sum(dim=1), changed.any(dim=1).sum(dim=1)
    assert int(rows.max()) == 4
    assert int(columns.max()) == 3
    assert torch.equal(changed.flatten(1).sum(dim=1), rows * columns)


@pytest.mark.parametrize(
    "spec",
    [AugmentSpec(flip=True, shift_pixels=2, erase=0.5), AugmentSpec(flip=True, rotate_degrees=30.0, erase=0.5)],
)
def test_depends_on_the_seed_alone_and_leaves_its_input(spec: AugmentSpec) -> None:
    images = _images()
    before = images.clone()
    first = augment(images, spec, _generator(5))
    assert torch.equal(first, augment(images, spec, _generator(5)))
    assert not torch.equal(first, augment(images, spec, _generator(6)))
    assert torch.equal(images, before)


def test_nothing_asked_for_is_nothing_done() -> None:
    images = _images()
    assert augment(images, AugmentSpec(), _generator()) is images
