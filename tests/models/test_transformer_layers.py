from typing import Literal

import pytest
import torch
from torch import nn

from components.models import masks
from components.models.attention import MultiHeadAttention
from components.models.transformer_layers import DecoderLayer, EncoderLayer
from tests.models.export import Graph

WIDTH, HEADS, INNER = 12, 3, 20


def _copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def _drawn(layer: nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    layer.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_layer_is_torchs(norm: Literal["pre", "post"], activation: Literal["relu", "gelu"]) -> None:
    ours = EncoderLayer(WIDTH, HEADS, INNER, 0.3, norm, activation)
    _drawn(ours)
    theirs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, 0.3, activation, batch_first=True, norm_first=norm == "pre"
    ).eval()
    _copy_attention(ours.attention, theirs.self_attn)
    for mine, other in (
        (ours.attention_norm, theirs.norm1),
        (ours.feed_forward_norm, theirs.norm2),
        (ours.feed_forward[0], theirs.linear1),
        (ours.feed_forward[3], theirs.linear2),
    ):
        other.load_state_dict(mine.state_dict())
    features, lengths = torch.randn(3, 6, WIDTH), torch.tensor([6, 4, 1])
    inside = masks.inside(lengths, 6)
    found = ours(features, masks.keys(lengths, 6))
    expected = theirs(features, src_key_padding_mask=~inside)
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_decoder_layer_is_torchs(norm: Literal["pre", "post"]) -> None:
    ours = DecoderLayer(WIDTH, HEADS, INNER, 0.3, norm)
    _drawn(ours)
    theirs = nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, 0.3, batch_first=True, norm_first=norm == "pre").eval()
    _copy_attention(ours.attention, theirs.self_attn)
    _copy_attention(ours.cross_attention, theirs.multihead_attn)
    for mine, other in (
        (ours.attention_norm, theirs.norm1),
        (ours.cross_attention_norm, theirs.norm2),
        (ours.feed_forward_norm, theirs.norm3),
        (ours.feed_forward[0], theirs.linear1),
        (ours.feed_forward[3], theirs.linear2),
    ):
        other.load_state_dict(mine.state_dict())
    target, memory, lengths = torch.randn(2, 4, WIDTH), torch.randn(2, 5, WIDTH), torch.tensor([2, 5])
    causal = masks.causal(4, target.device)
    found = ours(target, memory, causal, masks.keys(lengths, 5))
    expected = theirs(target, memory, ~causal, memory_key_padding_mask=~masks.inside(lengths, 5))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_a_layers_graph_is_for_any_batch_and_length() -> None:
    graph = Graph(EncoderLayer(8, 2, 16, 0.1), {"features": torch.randn(1, 3, 8)}, {"features": (0, 1)}, (0, 1))
    graph.agrees(torch.randn(3, 7, 8))
    graph.agrees(torch.randn(1, 1, 8))
