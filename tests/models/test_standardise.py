import torch

from components.models.standardise import Standardise


def test_is_the_formula_channels_first() -> None:
    images = torch.randint(0, 256, (3, 5, 7, 2), dtype=torch.uint8)  # (N, H, W, C)
    layer = Standardise(mean=[0.2, 0.6], std=[0.5, 0.1])
    found = layer(images)
    assert found.shape == (3, 2, 5, 7)
    assert found.dtype == torch.float32
    for channel, (mean, std) in enumerate([(0.2, 0.5), (0.6, 0.1)]):
        expected = (images[..., channel].double() / 255 - mean) / std
        torch.testing.assert_close(found[:, channel].double(), expected, atol=1e-6, rtol=1e-6)


def test_augmented_floats_and_stored_pixels_mean_the_same() -> None:
    images = torch.randint(0, 256, (2, 4, 4, 1), dtype=torch.uint8)
    layer = Standardise(mean=[0.3], std=[0.3])
    assert torch.equal(layer(images), layer(images.float()))


def test_its_statistics_travel_with_the_weights_and_are_not_trained() -> None:
    layer = Standardise(mean=[0.3], std=[0.4])
    assert set(layer.state_dict()) == {"mean", "std"}
    assert list(layer.parameters()) == []
