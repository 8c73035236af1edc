import pytest
import torch
from torch import nn

from components.contracts.architectures.cnn import TextbookCnnSpec
from components.contracts.shapes import ClassesOutput, ImageInput, TokensInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.dropout import Dropout
from components.models.textbook_cnn import TextbookCnn


def _build(rows: int = 8, columns: int = 8, channels: int = 1, classes: int = 10, **settings: object) -> TextbookCnn:
    config = TextbookCnnSpec.model_validate({"family": "cnn", "name": "textbook", **settings})
    input_spec = ImageInput(height=rows, width=columns, channels=channels, mean=[0.3] * channels, std=[0.3] * channels)
    network = build(config, input_spec, ClassesOutput(classes=classes))
    assert isinstance(network, TextbookCnn)
    return network


@pytest.mark.parametrize(
    ("rows", "columns", "channels", "settings", "features"),
    [
        (8, 8, 1, {"depth": 2, "width": 32}, (64, 2, 2)),
        (28, 28, 1, {"depth": 3, "width": 16, "convolutions": 1}, (64, 3, 3)),
        (33, 20, 3, {"depth": 2, "width": 8, "hidden": 50}, (16, 8, 5)),
    ],
)
def test_shapes(rows: int, columns: int, channels: int, settings: dict[str, int], features: tuple[int, ...]) -> None:
    network = _build(rows, columns, channels, classes=7, **settings)
    images = torch.randint(0, 256, (4, rows, columns, channels), dtype=torch.uint8)
    assert network.blocks(network.standardise(images)).shape == (4, *features)
    assert network(images).shape == (4, 7)


def test_is_the_same_as_the_layers_written_out() -> None:
    network = _build(depth=1, width=4, convolutions=1, dropout=0.5).eval()
    images = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8)
    convolution, normalisation = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
    dense = nn.Linear(4 * 4 * 4, 10)
    state = network.state_dict()
    convolution.load_state_dict({"weight": state["blocks.0.0.weight"]})
    normalisation.load_state_dict({name[11:]: value for name, value in state.items() if name.startswith("blocks.0.1.")})
    dense.load_state_dict({"weight": state["head.2.weight"], "bias": state["head.2.bias"]})
    pixels = ((images.float() / 255 - 0.3) / 0.3).permute(0, 3, 1, 2)
    expected = dense(nn.functional.max_pool2d(normalisation.eval()(convolution(pixels)).relu(), 2).flatten(1))
    torch.testing.assert_close(network(images), expected)


def test_dropout_stands_before_each_dense_layer() -> None:
    layers = [type(layer) for layer in _build(hidden=16).head]
    assert layers == [nn.Flatten, Dropout, nn.Linear, nn.ReLU, Dropout, nn.Linear]


def test_an_image_too_small_is_refused_with_the_key_to_change() -> None:
    with pytest.raises(UsageError, match="8x8 pixels is too small") as caught:
        _build(depth=4)
    assert caught.value.where == "model.depth"


def test_other_inputs_are_refused_with_what_it_takes() -> None:
    config = TextbookCnnSpec(family="cnn", name="textbook")
    with pytest.raises(UsageError, match="takes no tokens") as caught:
        build(config, TokensInput(vocabulary=5, max_length=5), ClassesOutput(classes=2))
    assert "takes image" in str(caught.value.expected)
