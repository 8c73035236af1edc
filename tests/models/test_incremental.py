"""Networks that keep a state say of a text in parts what they say of the whole text."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import NextTokenOutput, TextOutput, TokensInput
from components.models.build import build
from components.models.incremental import IncrementalDecoder, IncrementalTranslator, StateSpec
from tests.models.translation import GIVEN, WANTED, batch

DECODER = {"family": "transformer", "name": "decoder", "width": 8, "heads": 2, "depth": 2}
MAMBA = {"family": "state-space", "name": "mamba", "depth": 2, "width": 8, "state": 4}
SEQ2SEQ = {"family": "transformer", "name": "seq2seq-transformer", "width": 16, "heads": 2, "depth": 2}
GRU = {"family": "rnn", "name": "seq2seq-gru", "width": 8, "embedding": 6}


def _network(model: dict[str, Any], input_spec: TokensInput, output_spec: Any) -> Any:
    torch.manual_seed(0)
    config: Any = TypeAdapter(ModelSpec).validate_python(model)
    return build(config, input_spec, output_spec).eval()


def _empty(states: list[StateSpec], rows: int) -> list[torch.Tensor]:
    return [
        torch.zeros(
            [rows, *(0 if isinstance(size, str) else size for size in spec.shape)], dtype=getattr(torch, spec.type)
        )
        for spec in states
    ]


@pytest.mark.parametrize(
    "model",
    [DECODER, DECODER | {"norm": "post", "positions": "sinusoidal", "tied": False}, MAMBA, MAMBA | {"window": 2}],
    ids=["pre", "post", "mamba", "narrow"],
)
def test_a_language_model_reads_on_where_each_text_of_a_batch_ended(model: dict[str, Any]) -> None:
    network = _network(model, GIVEN, NextTokenOutput(vocabulary=30))
    assert isinstance(network, IncrementalDecoder)
    tokens = torch.randint(1, 30, (4, 12), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([12, 5, 8, 1])
    ends = [[6, 2, 4, 0], [6, 2, 7, 0], [12, 5, 8, 1]]  # some read nothing in a part
    with torch.inference_mode():
        whole = network(tokens, lengths)
        state, begin = _empty(network.states(), 4), torch.zeros(4, dtype=torch.int64)
        for end in map(torch.tensor, ends):
            places = torch.arange(int((end - begin).max())) + begin[:, None]
            part = tokens.gather(1, places.clamp(max=11))  # what is beyond a text's end is padding, whatever it is
            logits, state = network.extend(part, end - begin, torch.tensor([0]), state)
            for row, (first, last) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
                found = logits[row, : last - first]
                torch.testing.assert_close(found, whole[row, first:last], atol=1e-5, rtol=1e-5)
            begin = end
        few, _ = network.extend(tokens, lengths, torch.tensor([9]), _empty(network.states(), 4))
        torch.testing.assert_close(few[0], whole[0, 9:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", [SEQ2SEQ, SEQ2SEQ | {"norm": "post", "tied": False}, GRU], ids=["pre", "post", "gru"])
def test_a_translator_reads_on_for_several_hypotheses_of_each_source(model: dict[str, Any]) -> None:
    network = _network(model, GIVEN, WANTED)
    assert isinstance(network, IncrementalTranslator)
    assert isinstance(WANTED, TextOutput)
    source, lengths, _ = batch()
    rows = torch.arange(4).repeat_interleave(3)
    target = torch.randint(3, 20, (12, 9), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        encoded = network.encode(source, lengths)
        memory = dict(zip((spec.name for spec in network.memories()), network.remember(source, lengths), strict=True))
        state = [
            memory.pop(spec.name)[rows] if spec.name in memory else zeros
            for spec, zeros in zip(network.states(), _empty(network.states(), 12), strict=True)
        ]
        for begin, end in ((0, 3), (3, 4), (4, 9)):
            logits, state = network.extend(target[:, begin:end], list(memory.values()), state)
            expected = network.decode(encoded[rows], lengths[rows], target[:, :end])
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
