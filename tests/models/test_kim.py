import pytest
import torch

from components.contracts.architectures.text import KimSpec
from components.contracts.shapes import ClassesOutput, TokensInput
from components.models.build import build
from components.models.kim import Kim
from tests.models.export import padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)


def _network(windows: list[int]) -> Kim:
    torch.manual_seed(0)
    config = KimSpec(family="cnn", name="kim", embedding=6, windows=windows, filters=5)
    network = build(config, TEXT, ClassesOutput(classes=3))
    assert isinstance(network, Kim)
    return network.eval()


def _tokens(rows: int = 5) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


def test_is_the_papers_formula() -> None:
    """c_i = relu(w . x_i:i+h-1 + b), the largest over all i where the window touches the text; filter by filter."""
    network, tokens = _network([2, 3]), _tokens(1)
    words = network.embedding(tokens)[0]  # (T, E)
    features = []
    for convolution, window in zip(network.convolutions, (2, 3), strict=True):
        zeros = torch.zeros(window - 1, 6)
        padded = torch.cat([zeros, words, zeros])  # (T + 2 (window - 1), E)
        for weight, bias in zip(convolution.weight, convolution.bias, strict=True):
            at = [((padded[i : i + window] * weight.T).sum() + bias).relu() for i in range(len(padded) - window + 1)]
            features.append(torch.stack(at).max())
    expected = network.head(torch.stack(features))
    torch.testing.assert_close(network(tokens, torch.tensor([12]))[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("windows", [[3, 4, 5], [1], [9]])
def test_padding_changes_nothing_also_where_the_text_is_shorter_than_a_window(windows: list[int]) -> None:
    padding_changes_nothing(_network(windows), _tokens())


def test_its_graph() -> None:
    sequences_agree(_network([3, 4, 5]), _tokens())


def test_an_empty_text_has_an_answer() -> None:
    assert _network([3])(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0])).isfinite().all()


def test_dropout_stands_before_the_dense_layer_and_padding_has_no_vector() -> None:
    network = _network([3])
    assert network.dropout.p == 0.5
    assert not network.embedding.weight[0].any()


def test_word_vectors_begin_as_in_the_paper_and_padding_is_nothing() -> None:
    table = _network([3]).embedding.weight.detach()
    assert torch.all(table[TEXT.pad] == 0)
    assert 0.2 < table.abs().max() <= 0.25
