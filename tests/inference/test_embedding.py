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
from components.training.prepared import Prepared
from tests import generation_package

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


def test_a_network_without_a_vector_of_the_text_gives_none(made: Prepared, tmp_path: Path) -> None:
    kim = {"family": "cnn", "name": "kim", "embedding": 8, "filters": 4}
    predictor = Predictor(generation_package.build(tmp_path / "package", kim, made))
    assert not predictor.embeds
    with pytest.raises(InferenceError, match="no embedding"):
        predictor.embed(predictor.read(TEXTS))
    assert predictor.package.signature().graphs["model"].model_dump().keys() == {"inputs", "outputs"}
