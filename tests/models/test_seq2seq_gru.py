from typing import Any

import pytest
import torch

from components.contracts.architectures.rnn import Seq2SeqGruSpec
from components.core.errors import UsageError
from components.models.attentive_gru import AttentiveGru
from components.models.build import build
from components.models.seq2seq_gru import Seq2SeqGru
from tests.models.translation import GIVEN, WANTED, graphs_agree, learns_to_turn_texts_round, padding_changes_nothing


def _network(**settings: Any) -> Seq2SeqGru:
    torch.manual_seed(0)
    sizes = {"width": 16, "embedding": 12, **settings}
    config = Seq2SeqGruSpec.model_validate({"family": "rnn", "name": "seq2seq-gru", **sizes})
    network = build(config, GIVEN, WANTED)
    assert isinstance(network, Seq2SeqGru)
    return network.eval()


def test_a_step_is_the_papers_formula_with_torchs_cell() -> None:
    """e_j = v' tanh(W s + U h_j), c = sum_j softmax(e)_j h_j, s' = GRU([x, c], s)."""
    layer = AttentiveGru(3, 5, 4)
    steps, state, memory, lengths = torch.randn(2, 3, 3), torch.randn(2, 5), torch.randn(2, 6, 4), [6, 2]
    states, contexts = layer(steps, state, memory, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        current, real = state[row], memory[row, :length]
        for index, in_features in enumerate(steps[row]):
            energies = torch.stack(
                [layer.score.weight[0] @ torch.tanh(layer.query(current) + layer.key(one)) for one in real]
            )
            context = (energies.softmax(dim=0)[:, None] * real).sum(dim=0)
            current = layer.cell(torch.cat([in_features, context])[None], current[None])[0]
            torch.testing.assert_close(states[row, index], current, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(contexts[row, index], context, atol=1e-5, rtol=1e-5)
    last, context = layer.last(steps, state, memory, torch.tensor(lengths))
    torch.testing.assert_close(last, states[:, -1])
    torch.testing.assert_close(context, contexts[:, -1])


@pytest.mark.parametrize("depth", [1, 2])
def test_padding_changes_nothing(depth: int) -> None:
    padding_changes_nothing(_network(depth=depth))


@pytest.mark.parametrize("tied", [True, False])
def test_its_graphs(tied: bool) -> None:
    graphs_agree(_network(tied=tied))


def test_the_first_state_has_read_the_whole_source() -> None:
    network = _network()
    lengths = torch.tensor([4])
    first, second = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 6, 7, 9]])
    states = [network._state(network.encode(source, lengths)) for source in (first, second)]
    assert not torch.allclose(*states, atol=1e-4)


def test_two_vocabularies_share_no_embedding() -> None:
    with pytest.raises(UsageError, match="different vocabularies"):
        _network(shared=True)


@pytest.mark.slow
def test_every_weight_learns_and_it_learns() -> None:
    network = _network(dropout=0.0)
    learns_to_turn_texts_round(network, rate=0.01)
    assert all(value.grad is not None and value.grad.any() for value in network.parameters())
