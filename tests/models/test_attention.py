import pytest
import torch
from torch import nn

from components.models import masks
from components.models.attention import MultiHeadAttention
from tests.models.export import Graph


def _pair(width: int = 12, heads: int = 3) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    ours = MultiHeadAttention(width, heads).eval()
    theirs = nn.MultiheadAttention(width, heads, batch_first=True).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    return ours, theirs


def test_self_attention_with_padding_is_torchs() -> None:
    ours, theirs = _pair()
    features, lengths = torch.randn(3, 5, 12), torch.tensor([5, 2, 1])
    expected, _ = theirs(features, features, features, key_padding_mask=~masks.inside(lengths, 5), need_weights=False)
    found = ours(features, features, masks.keys(lengths, 5))
    assert found.shape == (3, 5, 12)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_causal_self_attention_is_torchs() -> None:
    ours, theirs = _pair()
    features, mask = torch.randn(2, 6, 12), masks.causal(6, torch.device("cpu"))
    expected, _ = theirs(features, features, features, attn_mask=~mask, need_weights=False)
    torch.testing.assert_close(ours(features, features, mask), expected, atol=1e-5, rtol=1e-5)


def test_cross_attention_is_torchs() -> None:
    ours, theirs = _pair(width=8, heads=2)
    queries, memory, lengths = torch.randn(2, 4, 8), torch.randn(2, 7, 8), torch.tensor([3, 7])
    expected, _ = theirs(queries, memory, memory, key_padding_mask=~masks.inside(lengths, 7), need_weights=False)
    torch.testing.assert_close(ours(queries, memory, masks.keys(lengths, 7)), expected, atol=1e-5, rtol=1e-5)


def test_its_weights_are_dropped_in_training_alone() -> None:
    layer, features = MultiHeadAttention(8, 2, dropout=0.5), torch.randn(2, 5, 8)
    assert not torch.equal(layer(features, features), layer(features, features))
    layer.eval()
    assert torch.equal(layer(features, features), layer(features, features))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        MultiHeadAttention(8, 3)


def test_its_graph_is_for_any_batch_and_lengths() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = MultiHeadAttention(8, 2)

        def forward(self, queries: torch.Tensor, memory: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            causal = masks.causal(queries.shape[1], queries.device)
            attended = self.attention(queries, queries, causal)
            result: torch.Tensor = self.attention(attended, memory, masks.keys(lengths, memory.shape[1]))
            return result

    example = {"queries": torch.randn(1, 3, 8), "memory": torch.randn(1, 2, 8), "lengths": torch.tensor([2])}
    graph = Graph(Masked(), example, {"queries": (0, 1), "memory": (0, 1), "lengths": (0,)}, (0, 1))
    graph.agrees(torch.randn(4, 7, 8), torch.randn(4, 6, 8), torch.tensor([6, 1, 3, 5]))
    graph.agrees(torch.randn(1, 1, 8), torch.randn(1, 9, 8), torch.tensor([9]))


def test_masks_by_hand() -> None:
    assert masks.inside(torch.tensor([2, 0, 3]), 3).tolist() == [
        [True, True, False],
        [True, False, False],  # a sample without any place is given its first
        [True, True, True],
    ]
    assert masks.causal(2, torch.device("cpu")).tolist() == [[True, False], [True, True]]
    assert masks.whole(torch.zeros(3, 4, 2)).tolist() == [4, 4, 4]
