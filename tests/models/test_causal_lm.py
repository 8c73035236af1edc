"""Language models of the hub against transformers' own, before and after export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.causal_lm import SUPPORTED
from components.models.incremental import IncrementalDecoder
from components.training import pretrained
from tests import hub_generators
from tests.models.test_incremental import _empty

INPUT = TokensInput(vocabulary=300, max_length=16)


def _spec(**settings: Any) -> Any:
    return TypeAdapter(ModelSpec).validate_python({"family": "transformer", "name": "causal-lm", **settings})


def _network(folder: Path, input_spec: TokensInput = INPUT) -> Any:
    spec = _spec(config=f"folder:{folder}")
    network = build(spec, input_spec, NextTokenOutput(vocabulary=input_spec.vocabulary)).eval()
    fit = pretrained.fit(network, pretrained.read(folder / "model.safetensors"), "test")
    assert not fit.left
    assert not fit.new
    return network


@pytest.fixture(scope="module", params=SUPPORTED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_generators.causal_lm(tmp_path_factory.mktemp(request.param), request.param)


def _theirs(folder: Path) -> nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def _tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(4, 300, (rows, length), generator=torch.Generator().manual_seed(1))


def test_logits_are_those_of_transformers_in_one_run_and_in_several(folder: Path) -> None:
    network, theirs = _network(folder), _theirs(folder)
    assert isinstance(network, IncrementalDecoder)
    tokens, lengths = _tokens(3, 12), torch.tensor([12, 5, 8])
    with torch.inference_mode():
        mask = torch.arange(12) < lengths[:, None]
        expected = theirs(input_ids=tokens, attention_mask=mask.long()).logits
        whole = network(tokens, lengths)
        first = torch.tensor([4, 2, 8])
        _, state = network.extend(tokens[:, :8], first, torch.tensor([0]), _empty(network.states(), 3))
        rest = tokens.gather(1, (torch.arange(8) + first[:, None]).clamp(max=11))
        logits, _ = network.extend(rest, lengths - first, torch.tensor([0]), state)
    for row, (begin, end) in enumerate(zip(first.tolist(), lengths.tolist(), strict=True)):
        torch.testing.assert_close(whole[row, :end], expected[row, :end], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits[row, : end - begin], expected[row, begin:end], atol=1e-5, rtol=1e-5)


def test_texts_in_one_row_do_not_see_each_other(folder: Path) -> None:
    network, theirs = _network(folder), _theirs(folder)
    tokens = _tokens(1, 12)
    segments = torch.tensor([[0] * 5 + [1] * 4 + [2] * 3])
    with torch.inference_mode():
        packed = network(tokens, torch.tensor([12]), segments)
        alone = [theirs(input_ids=tokens[:, begin:end]).logits for begin, end in ((0, 5), (5, 9), (9, 12))]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)


def test_what_the_network_cannot_read_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="more tokens than the embedding"):
        _network(folder, TokensInput(vocabulary=5000, max_length=16))
    with pytest.raises(UsageError, match="longer than the positions"):
        _network(folder, TokensInput(vocabulary=300, max_length=161))


def test_a_model_too_large_for_the_machine_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8192, "num_hidden_layers": 2, "num_attention_heads": 64, "vocab_size": 10**10}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **sizes}))
    with pytest.raises(UsageError, match="too large"):
        build(_spec(config=f"folder:{tmp_path}"), INPUT, NextTokenOutput(vocabulary=300))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(UsageError, match="not supported"):
        build(_spec(config=f"folder:{tmp_path}"), INPUT, NextTokenOutput(vocabulary=300))
    small = {**hub_generators.ROTARY, "vocab_size": 320}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mistral", "sliding_window": 8, **small}))
    with pytest.raises(UsageError, match="sliding window"):
        build(_spec(config=f"folder:{tmp_path}"), INPUT, NextTokenOutput(vocabulary=300))
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **small, "rope_parameters": rope}))
    with pytest.raises(UsageError, match="rotary"):
        build(_spec(config=f"folder:{tmp_path}"), INPUT, NextTokenOutput(vocabulary=300))


def test_a_spec_needs_a_config_and_a_policy_that_trains() -> None:
    with pytest.raises(ValidationError, match="needs config"):
        _spec()
    with pytest.raises(ValidationError, match="no new head"):
        _spec(pretrained="hub:some/model", transfer={"policy": "head"})
