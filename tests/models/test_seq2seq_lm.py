"""T5 and Marian of the hub against transformers' own, in one run and in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.incremental import IncrementalTranslator
from components.training import pretrained
from tests import hub_generators
from tests.models.test_incremental import _empty

INPUT = TokensInput(vocabulary=300, max_length=16)
OUTPUT = TextOutput(vocabulary=300, max_length=16, begin=0, end=1)


def _network(folder: Path, output_spec: TextOutput = OUTPUT) -> Any:
    spec: Any = {"family": "transformer", "name": "seq2seq-lm", "config": f"folder:{folder}"}
    network = build(TypeAdapter(ModelSpec).validate_python(spec), INPUT, output_spec).eval()
    fit = pretrained.fit(network, pretrained.read(folder / "model.safetensors"), "test")
    assert not fit.left
    assert not [name for name in fit.new if "embed_positions" not in name]  # sinusoids, which no file has
    return network


@pytest.fixture(scope="module", params=["t5", "t5-gated", "marian"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, _, gated = request.param.partition("-")
    more = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if gated else {}
    return hub_generators.translator(tmp_path_factory.mktemp(request.param), kind, scale=1.0, **more)


def test_logits_are_those_of_transformers_in_one_run_and_in_several(folder: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    network, theirs = _network(folder), AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    assert isinstance(network, IncrementalTranslator)
    draw = torch.Generator().manual_seed(1)
    source, lengths = torch.randint(3, 300, (3, 12), generator=draw), torch.tensor([12, 5, 8])
    target = torch.cat([torch.zeros(6, 1, dtype=torch.int64), torch.randint(3, 300, (6, 8), generator=draw)], dim=1)
    rows = torch.arange(3).repeat_interleave(2)
    mask = (torch.arange(12) < lengths[:, None]).long()
    with torch.inference_mode():
        expected = theirs(input_ids=source[rows], attention_mask=mask[rows], decoder_input_ids=target).logits
        whole = network(source[rows], lengths[rows], target)
        torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)
        memory, state = network.remember(source, lengths), _empty(network.states(), 6)
        for begin, end in ((0, 3), (3, 4), (4, 9)):
            logits, state = network.extend(target[:, begin:end], memory, state)
            torch.testing.assert_close(logits, expected[:, end - 1], atol=1e-5, rtol=1e-5)
            decoded = network.decode(network.encode(source, lengths)[rows], lengths[rows], target[:, :end])
            torch.testing.assert_close(decoded, expected[:, end - 1], atol=1e-5, rtol=1e-5)


def test_targets_begin_as_the_decoder_does(folder: Path) -> None:
    with pytest.raises(UsageError, match="begin with the token"):
        _network(folder, OUTPUT.model_copy(update={"begin": 2}))
