"""wav2vec 2.0 of the hub against transformers' own model and feature extractor, sounds of unequal lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.wav2vec2 import Wav2Vec2
from tests.models.export import Graph

WAVES = SeriesInput(channels=1, max_length=16_000, mean=[0.0], std=[1.0])


@pytest.fixture(scope="module", params=["group", "layer"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    place = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=[8, 8, 8],
        conv_kernel=[10, 3, 2], conv_stride=[5, 2, 2], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        classifier_proj_size=8, num_labels=3, feat_extract_norm=request.param, initializer_range=0.3,
        do_stable_layer_norm=request.param == "layer",
    )  # fmt: skip
    Wav2Vec2ForSequenceClassification(config).save_pretrained(place)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(place)
    return place


def _network(folder: Path, input_spec: SeriesInput = WAVES) -> Any:
    spec: Any = {"family": "transformer", "name": "wav2vec2", "config": f"folder:{folder}"}
    network = build(TypeAdapter(ModelSpec).validate_python(spec), input_spec, ClassesOutput(classes=3))
    fit = network.load_pretrained(folder)
    assert not fit.left
    assert not fit.new
    return network.eval()


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    lengths = torch.tensor([900, 377, 640])
    waves = torch.from_numpy(rng.normal(0.1, 0.3, (3, 900, 1)).astype(np.float32))
    return torch.where(torch.arange(900)[None, :, None] < lengths[:, None, None], waves, 0.0), lengths


def test_each_sound_of_a_batch_has_the_logits_that_transformers_gives_it_alone(folder: Path) -> None:
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    network, theirs = _network(folder), AutoModelForAudioClassification.from_pretrained(folder).eval()
    assert isinstance(network, Wav2Vec2)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    waves, lengths = _batch()
    with torch.inference_mode():
        found = network(waves, lengths)
        for row, length in enumerate(lengths.tolist()):
            inputs = extractor(waves[row, :length, 0].numpy(), sampling_rate=16_000, return_tensors="pt")
            expected = theirs(inputs["input_values"]).logits[0]
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)
        short = network(waves[:1, :7], torch.tensor([7]))  # less than one frame
    assert short.isfinite().all()


@pytest.mark.slow
def test_the_graph_gives_what_the_network_gives(folder: Path) -> None:
    waves, lengths = _batch()
    example = {"series": waves[:2, :500], "series_lengths": torch.tensor([500, 377])}
    graph = Graph(_network(folder), example, {"series": (0, 1), "series_lengths": (0,)})
    graph.agrees(waves, lengths)
    graph.agrees(waves[1:2, :377], lengths[1:2])


def test_frames_of_a_spectrogram_are_refused(folder: Path) -> None:
    bands = SeriesInput(channels=40, max_length=100, mean=[0.0] * 40, std=[1.0] * 40)
    with pytest.raises(UsageError, match="no waveforms"):
        _network(folder, bands)
