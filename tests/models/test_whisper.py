"""Whisper of the hub against transformers' own, in one run and in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import SpectrogramInput, TranscriptOutput
from components.core.errors import UsageError
from components.models.build import build
from components.models.incremental import IncrementalTranslator
from tests import hub_speech
from tests.models.test_incremental import _empty


def frames(bands: int = 16, window: int = 200) -> SpectrogramInput:
    return SpectrogramInput(channels=bands, max_length=window, mean=[0.0] * bands, std=[1.0] * bands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_speech.whisper(tmp_path_factory.mktemp("whisper") / "model")


def _network(folder: Path, input_spec: SpectrogramInput, **changed: Any) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    output = {"vocabulary": config.vocab_size, "max_length": 40, "begin": (config.decoder_start_token_id,), "end": 0}
    spec: Any = {"family": "transformer", "name": "whisper", "config": f"folder:{folder}"}
    return build(TypeAdapter(ModelSpec).validate_python(spec), input_spec, TranscriptOutput(**{**output, **changed}))


def test_logits_are_those_of_transformers_in_one_run_and_in_several(folder: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    network, theirs = _network(folder, frames()).eval(), WhisperForConditionalGeneration.from_pretrained(folder).eval()
    fit = network.load_pretrained(folder)
    assert not fit.left
    assert not fit.new
    incremental: Any = network  # a protocol has no call
    assert isinstance(incremental, IncrementalTranslator)
    draw = torch.Generator().manual_seed(1)
    series, lengths = torch.randn(3, 90, 16, generator=draw), torch.tensor([90, 31, 64])
    whole = torch.stack([
        torch.cat([one[:length], one[length - 1 : length].expand(200 - length, 16)])
        for one, length in zip(series, lengths.tolist(), strict=True)
    ])  # fmt: skip
    start = theirs.config.decoder_start_token_id
    words = torch.randint(3, 250, (6, 8), generator=draw)
    target = torch.cat([torch.full((6, 1), start), words], dim=1)
    rows = torch.arange(3).repeat_interleave(2)
    with torch.inference_mode():
        expected = theirs(input_features=whole.transpose(1, 2)[rows], decoder_input_ids=target).logits
        found = network(series[rows], lengths[rows], target)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        memory, state = network.remember(series, lengths), _empty(network.states(), 6)
        for begin, end in ((0, 3), (3, 4), (4, 9)):
            logits, state = network.extend(target[:, begin:end], memory, state)
            torch.testing.assert_close(logits, expected[:, end - 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("input_spec", "changed", "message"),
    [
        (frames(bands=80), {}, "another number of bands"),
        (frames(window=3000), {}, "another number of frames"),
        (frames(), {"max_length": 49}, "longer than the positions"),
        (frames(), {"vocabulary": 10_000}, "more tokens than the embedding"),
        (frames(), {"begin": (5,)}, "do not begin with the token"),
    ],
)
def test_what_the_weights_do_not_take_is_refused(
    folder: Path, input_spec: SpectrogramInput, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _network(folder, input_spec, **changed)
