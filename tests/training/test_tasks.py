"""The whole stage on a small dataset of every kind of output: it learns, exports, and its graphs answer as it does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from components.contracts import manifest
from components.contracts.errors import Interrupted, TrainingError
from components.contracts.package import Signature
from components.contracts.training_request import TrainRequest
from components.inference import body
from components.inference.difference import difference
from components.tasks import find
from components.training import stage
from components.training.export import export
from components.training.graphs import graphs
from components.training.interruption import Interruption
from components.training.prepared import open_prepared
from components.training.sinks import EventStream
from tests.training.prepared_task import prepare

pytestmark = pytest.mark.slow

WORDS = {"tokenizer": {"kind": "words", "least": 1}, "longest": 24}
BPE = {"tokenizer": {"kind": "bpe", "vocabulary": 320}, "longest": 32}
SMALL = {"width": 16, "dropout": 0.1}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], float]] = {
    # name: task, its settings, model, train, what the validation metric must reach (at least, or at most)
    "lstm": (
        "text-classification",
        WORDS,
        {"family": "rnn", "name": "lstm", "embedding": 16, "bidirectional": True, "depth": 2, **SMALL},
        {"epochs": 6},
        0.9,
    ),
    "encoder": (
        "token-classification",
        WORDS | {"tokenizer": {"kind": "words", "least": 1, "lower": False}},
        {"family": "transformer", "name": "encoder", "depth": 1, **SMALL},
        {"epochs": 4},
        0.95,
    ),
    "decoder": (
        "text-generation",
        WORDS,
        {"family": "transformer", "name": "decoder", "depth": 1, **SMALL, "width": 32},
        {"epochs": 6},
        0.75,
    ),
    "seq2seq": (
        "translation",
        BPE,
        {"family": "transformer", "name": "seq2seq-transformer", "depth": 1, **SMALL, "width": 32, "shared": True},
        {"epochs": 8, "label_smoothing": 0.1},
        0.3,
    ),
    "seq2seq-gru": (
        "translation",
        BPE,
        {"family": "rnn", "name": "seq2seq-gru", "width": 16, "embedding": 16, "dropout": 0.1, "shared": True},
        {"epochs": 6, "learning_rate": 0.02},
        0.25,
    ),
    "detector": (
        "object-detection",
        {"height": 32, "width": 32, "channels": 1},
        {"family": "cnn", "name": "center", "width": 8, "stages": 2, "features": 8, "kept": 20},
        {"epochs": 4, "augment": {"flip": True}},
        5.0,
    ),
    "unet": (
        "image-generation",
        {"height": 8, "width": 8, "channels": 1, "noise_steps": 100, "default_steps": 5},
        {"family": "diffusion", "name": "unet", "width": 8, "multipliers": [1, 2], "heads": 2, "groups": 4},
        {"epochs": 3, "learning_rate": 0.003},
        0.6,
    ),
    "forecast": (
        "forecasting",
        {"look_back": 24, "horizon": 6},
        {"family": "rnn", "name": "gru", "width": 16, "instance_norm": False},
        {"epochs": 6, "forecast_loss": "mse"},
        0.25,
    ),
    "series": (
        "series-classification",
        {"longest": 40},
        {"family": "rnn", "name": "gru", "pooling": "attention", **SMALL},
        {"epochs": 5},
        0.9,
    ),
}


def _request(place: Path, run_folder: Path, case: str, **train: Any) -> TrainRequest:
    _, _, model, settings, _ = CASES[case]
    digest = manifest.load(place, "prepared").digest
    document = {
        "pipeline": case,
        "train_key": "ab" * 32,
        "data_digest": digest,
        "prepared": str(place),
        "run_folder": str(run_folder),
        "package": str(run_folder / "package"),
        "model": model,
        "train": {"batch_size": 16, "learning_rate": 0.01, "threads": 1, **settings, **train},
        "lineage": {},
    }
    return TrainRequest.model_validate(document)


@pytest.fixture(scope="module", params=list(CASES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A case and a folder with its `prepared` and its finished `run`."""
    case = str(request.param)
    folder = tmp_path_factory.mktemp(case)
    prepare(folder / "prepared", *CASES[case][:2])
    before = torch.get_num_threads()
    stage.train(_request(folder / "prepared", folder / "run", case), EventStream(io.StringIO()))
    torch.set_num_threads(before)
    return case, folder


def test_it_learns(trained: tuple[str, Path]) -> None:
    case, folder = trained
    history = json.loads((folder / "run" / "trained" / "history.json").read_bytes())["epochs"]
    task, _, _, _, wanted = CASES[case]
    name = {"forecasting": "mse", "object-detection": "loss", "image-generation": "loss"}.get(task, "accuracy")
    reached = [row[f"validation/{name}"] for row in history]
    assert (max(reached) >= wanted) if name == "accuracy" else (min(reached) <= wanted), reached
    assert history[-1]["train/loss"] < history[0]["train/loss"]
    assert f"train/{name}" in history[0]


def test_the_graphs_give_the_golden_answers_alone_and_together(trained: tuple[str, Path]) -> None:
    case, folder = trained
    parts = folder / "run" / "trained"
    signature = Signature.model_validate_json((parts / "signature.json").read_bytes())
    processor = find(CASES[case][0]).load(parts)
    sessions = {name: onnxruntime.InferenceSession(parts / f"{name}.onnx") for name in signature.graphs}

    def run(name: str, feed: dict[str, Any]) -> dict[str, Any]:
        spec = signature.graphs[name]
        names = [tensor.name for tensor in spec.outputs]
        inputs = {tensor.name: feed[tensor.name] for tensor in spec.inputs}
        return dict(zip(names, sessions[name].run(names, inputs), strict=True))

    golden = json.loads((parts / "golden" / "outputs.json").read_bytes())["examples"]
    wire = processor.wire(signature.classes)
    samples = []
    for example in golden:
        content = (parts / "golden" / example["file"]).read_bytes()
        [item] = body.read(processor, wire, content, example["media"]).items
        samples.append(processor.read(item, max_pixels=10**6))
    together = processor.answer(run, samples, signature.classes, None)
    for example, sample, answer in zip(golden, samples, together, strict=True):
        [alone] = processor.answer(run, [sample], signature.classes, None)
        assert difference(example["answer"], answer) < 1e-4
        assert difference(example["answer"], alone) < 1e-4


def test_the_signature_names_free_sizes(trained: tuple[str, Path]) -> None:
    case, folder = trained
    signature = Signature.model_validate_json((folder / "run" / "trained" / "signature.json").read_bytes())
    shapes = {
        graph: {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)}
        for graph, spec in signature.graphs.items()
    }
    vocabulary = shapes.get("decoder", {}).get("logits", ["", 0])[-1]
    words = {"tokens": ["batch", "length"], "tokens_lengths": ["batch"]}
    expected: dict[str, dict[str, dict[str, list[Any]]]] = {
        "lstm": {"model": {**words, "probabilities": ["batch", 2]}},
        "encoder": {"model": {**words, "probabilities": ["batch", "length", 2]}},
        # What is real never sees padding: the lengths change nothing, and the graph does not take them.
        "decoder": {"model": {"tokens": ["batch", "length"], "logits": ["batch", "length", 10]}},
        "seq2seq": {
            "encoder": {"source": ["batch", "length"], "source_lengths": ["batch"], "memory": ["batch", "length", 32]},
            "decoder": {
                "memory": ["batch", "length", 32],
                "source_lengths": ["batch"],
                "target": ["batch", "target_length"],
                "logits": ["batch", vocabulary],
            },
        },
        "seq2seq-gru": {
            "encoder": {"source": ["batch", "length"], "source_lengths": ["batch"], "memory": ["batch", "length", 32]},
            "decoder": {
                "memory": ["batch", "length", 32],
                "source_lengths": ["batch"],
                "target": ["batch", "target_length"],
                "logits": ["batch", vocabulary],
            },
        },
        "detector": {"model": {"images": ["batch", 32, 32, 1], "boxes": ["batch", 20, 4], "scores": ["batch", 20, 2]}},
        "unet": {
            "model": {"noisy": ["batch", 1, 8, 8], "step": ["batch"], "label": ["batch"], "noise": ["batch", 1, 8, 8]}
        },
        "forecast": {"model": {"past": ["batch", 24, 2], "values": ["batch", 6, 2, 3]}},
        "series": {
            "model": {"series": ["batch", "length", 1], "series_lengths": ["batch"], "probabilities": ["batch", 2]}
        },
    }
    assert shapes == expected[case]


@pytest.mark.parametrize("case", ["lstm", "seq2seq"])
@pytest.mark.parametrize("stop_after", [1, 20, 33])
def test_batches_by_length_go_on_bit_for_bit(
    case: str, stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 batches an epoch: in the first, at its end, in the second."""
    prepare(tmp_path / "prepared", *CASES[case][:2])
    steps = 0

    def asked(self: Interruption) -> bool:
        nonlocal steps
        steps += 1
        return steps == stop_after

    through = _request(tmp_path / "prepared", tmp_path / "through", case, epochs=2)
    stage.train(through, EventStream(io.StringIO()))
    broken = _request(tmp_path / "prepared", tmp_path / "broken", case, epochs=2)
    with monkeypatch.context() as patched:
        patched.setattr(Interruption, "asked", asked)
        with pytest.raises(Interrupted):
            stage.train(broken, EventStream(io.StringIO()))
    torch.rand(17)
    np.random.rand(3)
    stage.train(broken, EventStream(io.StringIO()))
    found = [manifest.load(tmp_path / name / "trained", "trained").digest for name in ("through", "broken")]
    assert found[0] == found[1]


class _SeesPadding(torch.nn.Module):
    """The mean over all places of a batch, padding too: what must not be."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(vocabulary, 2)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.table(tokens).mean(dim=1)


def test_a_network_that_sees_padding_is_refused(tmp_path: Path) -> None:
    digest = prepare(tmp_path / "prepared", *CASES["lstm"][:2])
    prepared = open_prepared(tmp_path / "prepared", digest)
    torch.manual_seed(0)
    network = _SeesPadding(prepared.processor.given().vocabulary)  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match="depend on padding"):
        export(graphs(network, prepared.processor), prepared.validation, tmp_path, prepared.classes)
