"""Embeddings of texts: of packages whose network makes one vector of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.core.errors import InferenceError
from components.inference.predictor import Predictor
from components.preprocessing.batch import collate
from components.training.prepared import Prepared, open_prepared
from tests import generation_package
from tests.preprocessing.wav_files import wav
from tests.training import prepared_task

pytestmark = pytest.mark.slow

WORDS = {"tokenizer": {"kind": "words", "min_frequency": 1}, "max_length": 24}
MODELS: dict[str, dict[str, Any]] = {
    "encoder": {"family": "transformer", "name": "encoder", "width": 16, "depth": 1, "pooling": "attention"},
    "lstm": {"family": "rnn", "name": "lstm", "width": 8, "embedding": 8, "bidirectional": True},
    "bert": {
        "family": "transformer",
        "name": "bert",
        "width": 16,
        "depth": 1,
        "heads": 2,
        "inner": 16,
        "positions": 64,
    },
    "mamba": {"family": "state-space", "name": "mamba", "width": 16, "depth": 1},
}
TEXTS = ["good cat", "", "bad house river tree"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return generation_package.prepared(tmp_path_factory.mktemp("embedding") / "data", "text-classification", WORDS)


@pytest.mark.parametrize("name", MODELS)
def test_a_text_is_what_the_last_layer_reads(name: str, made: Prepared, tmp_path: Path) -> None:
    network: Any = generation_package.network(MODELS[name], made.processor)
    predictor = Predictor(generation_package.build(tmp_path / "package", MODELS[name], made))
    samples = predictor.read(TEXTS)
    assert predictor.embeds
    found = predictor.embed(samples)
    feed = collate(made.processor.arrays(), samples, ("tokens",))
    with torch.inference_mode():
        expected = network.pooled(torch.from_numpy(feed["tokens"]), torch.from_numpy(feed["tokens_lengths"]))
    assert (found.dtype, found.shape) == (np.float32, (3, network.head.in_features))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    for sample, row in zip(samples, found, strict=True):
        np.testing.assert_allclose(predictor.embed([sample])[0], row, atol=1e-4)
    assert list(predictor.run("model", feed)) == ["probabilities"]


def rows(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    made = rng.normal(size=(count, 2))
    return [{"row": {"a": float(a), "b": str(b > 0)}, "label": "yes" if a > 0 else "no"} for a, b in made]


def sounds(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    lengths = rng.integers(800, 2000, count)
    return [
        {"sound": wav((8000 * rng.normal(size=length)).astype(np.int16), 4000), "label": "ab"[length % 2]}
        for length in lengths
    ]


OTHERS: dict[str, tuple[str, dict[str, Any], dict[str, Any], Any]] = {
    "kim": ("text-classification", WORDS, {"family": "cnn", "name": "kim", "embedding": 8, "filters": 4}, None),
    "textbook": (
        "image-classification", {"height": 8, "width": 8, "channels": 1},
        {"family": "cnn", "name": "textbook", "depth": 2, "width": 4}, prepared_task.image_generation,
    ),
    "resnet": (
        "image-classification", {"height": 8, "width": 8, "channels": 1},
        {"family": "cnn", "name": "resnet", "depth": 8, "width": 4}, prepared_task.image_generation,
    ),
    "vit": (
        "image-classification", {"height": 8, "width": 8, "channels": 1},
        {"family": "transformer", "name": "vit", "depth": 1, "width": 16, "heads": 2, "patch": 4},
        prepared_task.image_generation,
    ),
    "series": (
        "series-classification", {"max_length": 40}, {"family": "rnn", "name": "gru", "width": 8}, None,
    ),
    "spectrogram": (
        "sound-classification", {"rate": 4000, "bands": 16, "max_seconds": 0.5},
        {"family": "cnn", "name": "spectrogram-cnn", "width": 4}, sounds,
    ),
    "mlp": ("tabular-classification", {}, {"family": "mlp", "name": "mlp", "width": 8}, rows),
    "ft-transformer": (
        "tabular-classification", {},
        {"family": "transformer", "name": "ft-transformer", "depth": 1, "width": 8, "heads": 2}, rows,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_sample_of_any_kind_is_what_the_last_layer_reads(name: str, tmp_path: Path) -> None:
    task, settings, model, maker = OTHERS[name]
    digest = prepared_task.prepare(tmp_path / "data", task, settings, (64, 8, 8), maker)
    made = open_prepared(tmp_path / "data", digest)
    network: Any = generation_package.network(model, made.processor, scale=1.5)
    predictor = Predictor(generation_package.build(tmp_path / "package", model, made))
    samples = [made.validation.sample(number) for number in range(4)]
    assert predictor.embeds
    found = predictor.embed(samples)
    assert found.dtype == np.float32
    assert len(found) == 4
    assert np.ptp(found, axis=0).max() > 0
    own = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    assert found.shape == (4, own.in_features)
    for sample, row in zip(samples, found, strict=True):
        np.testing.assert_allclose(predictor.embed([sample])[0], row, atol=1e-4)
    (answer,) = predictor.answer(samples[:1])
    assert answer.keys() >= {"label", "probabilities"}
    assert list(predictor.signature.graphs["model"].model_dump()["on_request"]) == ["embedding"]


def test_a_network_without_a_vector_of_the_sample_gives_none(tmp_path: Path) -> None:
    """Of tokens there is a label each, and no vector of the text."""
    model = {"family": "transformer", "name": "encoder", "width": 16, "depth": 1}
    made = generation_package.prepared(tmp_path / "data", "token-classification", WORDS)
    predictor = Predictor(generation_package.build(tmp_path / "package", model, made))
    assert not predictor.embeds
    with pytest.raises(InferenceError, match="no embedding"):
        predictor.embed([made.validation.sample(0)])
    assert predictor.package.signature().graphs["model"].model_dump().keys() == {"inputs", "outputs"}
