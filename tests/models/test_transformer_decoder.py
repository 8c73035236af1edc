from typing import Any

import pytest
import torch

from components.contracts.architectures.transformer import DecoderSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.models.build import build
from components.models.embedding import TokenEmbedding
from components.models.transformer_decoder import TransformerDecoder
from tests.models.export import padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)


def _network(**settings: Any) -> TransformerDecoder:
    config = DecoderSpec(family="transformer", name="decoder", width=8, heads=2, depth=2, **settings)
    network = build(config, TEXT, NextTokenOutput(vocabulary=30))
    assert isinstance(network, TransformerDecoder)
    return network.eval()


def _tokens(rows: int = 5) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_a_token_sees_none_after_it(norm: str, positions: str) -> None:
    network, tokens = _network(norm=norm, positions=positions), _tokens()
    lengths = torch.full((5,), 12)
    logits = network(tokens, lengths)
    assert logits.shape == (5, 12, 30)
    changed = tokens.clone()
    changed[:, 7:] = 1
    found = network(changed, lengths)
    torch.testing.assert_close(found[:, :7], logits[:, :7], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[:, 7:], logits[:, 7:], atol=1e-3)


def test_padding_changes_nothing() -> None:
    padding_changes_nothing(_network(), _tokens(), every_place=True)


@pytest.mark.parametrize("tied", [True, False])
def test_its_graph(tied: bool) -> None:
    sequences_agree(_network(tied=tied), _tokens(), (0, 1))


def test_a_tied_output_is_the_embedding() -> None:
    tied, free = _network(), _network(tied=False)
    assert sum(value.numel() for value in free.parameters()) == sum(value.numel() for value in tied.parameters()) + 240
    features = torch.randn(4, 8)
    torch.testing.assert_close(tied.embedding.logits(features), features @ tied.embedding.table.weight.T)


@pytest.mark.slow
def test_learns_a_text_by_heart() -> None:
    torch.manual_seed(0)
    network = _network(dropout=0.0).train()
    tokens = _tokens(2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(150):
        logits = network(tokens[:, :-1], torch.tensor([11, 11]))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_the_vector_of_padding_stays_zero_where_the_output_is_tied() -> None:
    table = TokenEmbedding(5, 4, 2)
    table.logits(table(torch.tensor([[1, 2, 3]]))).logsumexp(dim=2).sum().backward()
    gradient = table.table.weight.grad
    assert gradient is not None
    assert gradient[2].abs().max() == 0
    assert gradient[[0, 1, 3, 4]].abs().min() > 0
    features = torch.randn(2, 4)
    torch.testing.assert_close(table.logits(features), table.eval().logits(features))
    assert list(table.state_dict()) == ["table.weight"]
