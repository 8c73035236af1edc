import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from components.contracts.architectures.diffusion import UNetSpec
from components.contracts.shapes import NoiseInput, NoiseOutput
from components.models.build import build
from components.models.unet import Block, StepEmbedding, UNet
from components.preprocessing.noise_schedule import alphas_cumprod
from components.tasks import find
from tests.models.export import Graph


def _spec(**settings: Any) -> UNetSpec:
    sizes = {"width": 8, "multipliers": [1, 2], "groups": 4, "heads": 2, **settings}
    return UNetSpec.model_validate({"family": "diffusion", "name": "unet", **sizes})


def _network(rows: int = 8, columns: int = 8, channels: int = 1, drawn: bool = True, **settings: Any) -> UNet:
    torch.manual_seed(0)
    input_spec = NoiseInput(height=rows, width=columns, channels=channels, classes=10)
    network = build(_spec(**settings), input_spec, NoiseOutput())
    assert isinstance(network, UNet)
    if drawn:  # as after a training: nothing is zero
        for value in network.parameters():
            nn.init.normal_(value, std=0.1)
    return network.eval()


def _inputs(rows: int = 3, height: int = 8, width: int = 8, channels: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(rows, channels, height, width, generator=generator)
    return noisy, torch.randint(0, 1000, (rows,), generator=generator), torch.arange(rows) % 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "channels", "settings"),
    [
        (8, 8, 1, {}),
        pytest.param(
            28, 28, 1, {"multipliers": [1, 2, 2, 4], "blocks": 2, "attention": [1, 2]}, marks=pytest.mark.slow
        ),
        (9, 14, 3, {"multipliers": [2], "blocks": 1}),
        (9, 14, 3, {"multipliers": [1, 1, 2]}),
    ],
)
def test_noise_is_of_the_images_shape_and_its_graph_is_for_any_batch(
    height: int, width: int, channels: int, settings: dict[str, Any]
) -> None:
    network = _network(height, width, channels, **settings)
    inputs = _inputs(3, height, width, channels)
    assert network(*inputs).shape == inputs[0].shape
    example = dict(zip(("noisy", "step", "label"), _inputs(1, height, width, channels), strict=True))
    graph = Graph(network, example, dict.fromkeys(example, (0,)))
    graph.agrees(*inputs, atol=1e-4)
    graph.agrees(*_inputs(1, height, width, channels), atol=1e-4)


def test_a_block_is_the_same_as_its_layers_written_out() -> None:
    block = Block(4, 8, 6, _spec(), attends=True).eval()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    for value in block.parameters():
        nn.init.normal_(value, std=0.3)
    features, condition = torch.randn(2, 4, 5, 3), torch.randn(2, 6)
    inner = block.before[2](nn.functional.silu(nn.functional.group_norm(features, 4, *_affine(block.before[0]))))
    inner = inner + block.condition[1](nn.functional.silu(condition))[:, :, None, None]
    inner = block.after[3](nn.functional.silu(nn.functional.group_norm(inner, 4, *_affine(block.after[0]))))
    expected = inner + block.shortcut(features)
    assert block.attention is not None
    assert block.norm is not None
    ours = block.attention
    theirs.in_proj_weight.data.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
    theirs.in_proj_bias.data.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    places = nn.functional.group_norm(expected, 4, *_affine(block.norm)).flatten(2).transpose(1, 2)
    attended, _ = theirs(places, places, places)
    expected = expected + attended.transpose(1, 2).reshape(2, 8, 5, 3)
    torch.testing.assert_close(block(features, condition), expected, atol=1e-4, rtol=1e-4)


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    return norm.get_parameter("weight"), norm.get_parameter("bias")


def test_the_steps_waves_are_the_formula() -> None:
    waves = StepEmbedding(6, 8).waves(torch.tensor([0, 7]))
    expected = [7 / 10000 ** (index / 3) for index in range(3)]
    torch.testing.assert_close(waves[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    expected_wave = [math.sin(angle) for angle in expected] + [math.cos(angle) for angle in expected]
    torch.testing.assert_close(waves[1], torch.tensor(expected_wave), atol=1e-6, rtol=1e-5)


def test_step_and_class_and_no_class_each_say_something() -> None:
    network, (noisy, step, label) = _network(), _inputs(1)
    none = torch.full_like(label, 10)
    answers = [network(noisy, step, label), network(noisy, step + 50, label), network(noisy, step, none)]
    for one in range(3):
        for other in range(one):
            assert not torch.allclose(answers[one], answers[other], atol=1e-3)


def test_from_the_velocity_comes_the_noise_and_from_that_the_image_at_every_step() -> None:
    network, (noise, _, label) = _network(), _inputs()
    image = torch.rand(noise.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1
    kept = torch.from_numpy(alphas_cumprod("cosine", 1000))
    for at in (0, 500, 980, 999):
        velocity = kept[at].sqrt() * noise - (1 - kept[at]).sqrt() * image
        network.head = Says(velocity.float())
        noisy = kept[at].sqrt() * image + (1 - kept[at]).sqrt() * noise
        condition = network(noisy.float(), torch.full_like(label, at), label)
        torch.testing.assert_close(condition, noise, atol=1e-6, rtol=1e-5)
        found = (noisy - (1 - kept[at]).sqrt() * condition.double()) / kept[at].sqrt()
        torch.testing.assert_close(found, image.double(), atol=0.01, rtol=0)


class Says(nn.Module):
    """The same whatever it is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: Tensor) -> Tensor:
        return self.answer


def test_a_fresh_network_says_next_to_nothing_and_each_of_its_blocks_is_its_shortcut() -> None:
    network, inputs = _network(drawn=False), _inputs()
    fresh = network(*inputs) - network.noise_share[inputs[1]][:, None, None, None] * inputs[0]  # but for what is seen
    assert fresh.abs().max() < 0.5
    block = Block(8, 8, 6, _spec(), attends=False).eval()
    features = torch.randn(2, 8, 4, 4)
    bias = block.after.get_parameter("3.bias")[:, None, None]
    torch.testing.assert_close(block(features, torch.randn(2, 6)), features + bias)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"groups": 3}, "3 groups do not divide a width of 8"),
        ({"attention": [2]}, "attention names levels from 0 to 1"),
        ({"heads": 5}, "5 heads do not divide the 16 channels"),
        ({"multipliers": [1, 0]}, "multipliers are at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _spec(**settings)


def test_there_is_one_row_for_each_class_and_one_for_none() -> None:
    task = find("image-generation")
    settings = task.settings.model_validate({"height": 8, "width": 8, "channels": 1})
    input_spec = task.fit(settings, iter([]), ["a", "b", "c"]).input_spec()
    network = build(_spec(), input_spec, NoiseOutput())
    assert isinstance(network, UNet)
    assert network.label.num_embeddings == 4
    old = {"label.weight": torch.arange(5.0)[:, None].expand(5, 32)}  # of packages before, whose last row had no use
    assert network.fit_pretrained(old)["label.weight"][:, 0].tolist() == [0, 1, 2, 3]
