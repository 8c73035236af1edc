from typing import Any

import pytest
import torch
from torch import nn

from components.contracts.architectures.transformer import Seq2SeqTransformerSpec
from components.contracts.shapes import TokensInput
from components.core.errors import UsageError
from components.models import masks
from components.models.attention import MultiHeadAttention
from components.models.build import build
from components.models.seq2seq_transformer import Seq2SeqTransformer
from tests.models.translation import (
    GIVEN,
    WANTED,
    batch,
    graphs_agree,
    learns_to_turn_texts_round,
    padding_changes_nothing,
)


def _network(input_spec: TokensInput = GIVEN, **settings: Any) -> Seq2SeqTransformer:
    torch.manual_seed(0)
    sizes = {"width": 16, "heads": 2, "depth": 2, "inner": 32, **settings}
    config = Seq2SeqTransformerSpec.model_validate({"family": "transformer", "name": "seq2seq-transformer", **sizes})
    network = build(config, input_spec, WANTED)
    assert isinstance(network, Seq2SeqTransformer)
    return network.eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_is_torchs_with_the_same_weights(norm: str) -> None:
    ours, (source, lengths, target) = _network(norm=norm, tied=False), batch()
    layer = nn.TransformerEncoderLayer(16, 2, 32, norm_first=norm == "pre", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)
    theirs = nn.Transformer(16, 2, 2, 2, 32, norm_first=norm == "pre", batch_first=True, custom_encoder=encoder).eval()
    if norm == "post":  # the paper has none at the end; torch puts them there always
        theirs.encoder.norm = theirs.decoder.norm = None
    else:
        theirs.encoder.norm.load_state_dict(ours.encoder_norm.state_dict())
        theirs.decoder.norm.load_state_dict(ours.decoder_norm.state_dict())
    for mine, other in zip(
        [*ours.encoder, *ours.decoder], [*theirs.encoder.layers, *theirs.decoder.layers], strict=True
    ):
        other.linear1.load_state_dict(mine.feed_forward[0].state_dict())
        other.linear2.load_state_dict(mine.feed_forward[3].state_dict())
        pairs: list[tuple[MultiHeadAttention, nn.MultiheadAttention]] = [(mine.attention, other.self_attn)]
        pairs += [(mine.cross_attention, other.multihead_attn)] if hasattr(mine, "cross_attention") else []
        for attention, torchs in pairs:
            weights = [attention.query.weight, attention.key.weight, attention.value.weight]
            torchs.in_proj_weight.data.copy_(torch.cat(weights))
            torchs.in_proj_bias.data.zero_()
            torchs.out_proj.load_state_dict(attention.output.state_dict())
    assert ours.source_embedding is not None
    beyond = ~masks.inside(lengths, 12)
    decoded = theirs(
        ours.source_positions(ours.source_embedding(source)),
        ours.target_positions(ours.target_embedding(target)),
        tgt_mask=~masks.causal(9, target.device),
        src_key_padding_mask=beyond,
        memory_key_padding_mask=beyond,
    )
    assert ours.head is not None
    torch.testing.assert_close(ours(source, lengths, target), ours.head(decoded), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_padding_changes_nothing(norm: str, positions: str) -> None:
    padding_changes_nothing(_network(norm=norm, positions=positions))


@pytest.mark.parametrize("tied", [True, False])
def test_its_graphs(tied: bool) -> None:
    graphs_agree(_network(tied=tied, decoder_depth=1))


def test_a_target_token_sees_none_after_it() -> None:
    network, (source, lengths, target) = _network(), batch()
    changed = target.clone()
    changed[:, 5:] = 3
    found, expected = network(source, lengths, changed), network(source, lengths, target)
    torch.testing.assert_close(found[:, :5], expected[:, :5], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[:, 5:], expected[:, 5:], atol=1e-3)


def test_embeddings_are_shared_where_there_is_one_vocabulary() -> None:
    one = GIVEN.model_copy(update={"vocabulary": 20})
    count = [
        sum(value.numel() for value in network.parameters()) for network in (_network(one), _network(one, shared=True))
    ]
    assert count[0] - count[1] == 20 * 16
    with pytest.raises(UsageError, match="different vocabularies") as caught:
        _network(shared=True)
    assert caught.value.where == "model.shared"


@pytest.mark.slow
def test_learns() -> None:
    learns_to_turn_texts_round(_network(dropout=0.0), rate=0.005, steps=250)
