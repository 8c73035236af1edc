import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from components.models.recurrent_layers import CELLS, RecurrentLayers


def _layers(kind: str, depth: int = 1, bidirectional: bool = False) -> RecurrentLayers:
    torch.manual_seed(0)
    return RecurrentLayers(kind, 2, 5, depth, bidirectional=bidirectional, dropout=0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("depth", "bidirectional"), [(1, False), (1, True), (3, False), (3, True)])
def test_says_what_torch_says_of_packed_sequences_with_the_same_weights(
    kind: str, depth: int, bidirectional: bool
) -> None:
    ours = _layers(kind, depth, bidirectional)
    theirs = CELLS[kind](2, 5, num_layers=depth, batch_first=True, bidirectional=bidirectional)
    weights = {}
    for layer, directions in enumerate(ours.layers):
        for backwards, cells in enumerate(directions.children()):
            for name, value in cells.state_dict().items():
                weights[f"{name[:-1]}{layer}{'_reverse' if backwards else ''}"] = value
    theirs.load_state_dict(weights)
    steps, lengths = torch.randn(4, 9, 2, requires_grad=True), torch.tensor([3, 9, 1, 6])
    packed, last = theirs(pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True, total_length=9)
    states, found = ours(steps, lengths)
    torch.testing.assert_close(states, expected, atol=1e-6, rtol=1e-5)
    hidden = (last[0] if kind == "lstm" else last)[-2 if bidirectional else -1 :]
    torch.testing.assert_close(found, hidden.transpose(0, 1).flatten(1), atol=1e-6, rtol=1e-5)
    weighed = torch.randn_like(expected)
    (ours_gradient,) = torch.autograd.grad((states * weighed).sum(), steps)
    (gradient,) = torch.autograd.grad((expected * weighed).sum(), steps)
    torch.testing.assert_close(ours_gradient, gradient, atol=1e-5, rtol=1e-4)


def test_the_textbooks_cell_is_its_formula() -> None:
    """h_t = tanh(W x_t + b + U h_t-1 + c)."""
    layers, steps = _layers("rnn"), torch.randn(1, 6, 2)
    cell = dict(layers.layers[0].get_submodule("0").named_parameters())
    state = torch.zeros(5)
    for step in steps[0]:
        state = torch.tanh(
            cell["weight_ih_l0"] @ step + cell["bias_ih_l0"] + cell["weight_hh_l0"] @ state + cell["bias_hh_l0"]
        )
    states, last = layers(steps, torch.tensor([6]))
    torch.testing.assert_close(last[0], state)
    torch.testing.assert_close(states[0, -1], state)


def test_forget_gates_are_open_at_first() -> None:
    for cells in _layers("lstm", 2, True).modules():
        if isinstance(cells, nn.LSTM):
            biases = dict(cells.named_parameters())
            assert torch.equal((biases["bias_ih_l0"] + biases["bias_hh_l0"])[5:10], torch.ones(5))
