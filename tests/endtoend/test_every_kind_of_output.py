"""The stages on a small dataset of every kind of output: it learns, exports, answers from its graphs, is scored."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from components.evaluation import stage as evaluation
from components.evaluation.comparison import compare
from components.evaluation.test_split import FrozenSplit
from components.gates.integrity import check_metrics
from components.gates.scoring import ScoringFailure, score
from components.identity import manifest
from components.identity.package import Package, Signature
from components.inference import body
from components.inference.difference import difference
from components.tasks import find
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_task import prepare
from tests.training.small_cases import CASES
from tests.training.small_cases import request as asked_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=list(CASES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A case and a folder with its `prepared` and its finished, evaluated `run`."""
    case = str(request.param)
    folder = tmp_path_factory.mktemp(case)
    prepare(folder / "prepared", *CASES[case][:2])
    asked = asked_of(folder / "prepared", folder / "run", case)
    before = torch.get_num_threads()
    training.train(asked, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (folder / "request.json").write_text(asked.model_dump_json())
    evaluation.main([str(folder / "request.json")])
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
        rows = len(feed[spec.inputs[0].name])
        empty = {
            tensor.name: np.zeros([rows if size == "batch" else size for size in spec.zeros(tensor.name)], tensor.type)
            for tensor in spec.inputs
            if tensor.name in spec.optional
        }
        inputs = {tensor.name: {**empty, **feed}[tensor.name] for tensor in spec.inputs}
        return dict(zip(spec.answers, sessions[name].run(spec.answers, inputs), strict=True))

    golden = json.loads((parts / "golden" / "outputs.json").read_bytes())["examples"]
    wire = processor.endpoint(signature.classes)
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
    kept = {kind: ["batch", 4, "past", 8] for kind in ("key_0", "value_0")}
    following: dict[str, list[Any]] = {f"next_{kind}": ["batch", 4, "next_past", 8] for kind in kept}
    source, target = {"source": ["batch", "length"], "source_lengths": ["batch"]}, ["batch", "target_length"]

    def translates(
        memory: dict[str, list[Any]], state: dict[str, list[Any]], following: dict[str, list[Any]], first: bool
    ) -> dict[str, dict[str, list[Any]]]:
        """Of the encoder and the decoder, from the sizes after the batch of what the one hands to the other."""
        given = {name: ["batch", *sizes] for name, sizes in memory.items()}
        taken = {name: ["sources", *sizes] for name, sizes in memory.items()}
        decoder = {"target": target, **taken, **state, "logits": ["batch", vocabulary], **following}
        return {"encoder": {**source, **given, **(state if first else {})}, "decoder": decoder}

    attention: dict[str, list[Any]] = {
        "cross_bias": [1, 1, "length"], "cross_key_0": [4, "length", 8], "cross_value_0": [4, "length", 8],
    }  # fmt: skip
    bahdanau: dict[str, list[Any]] = {"memory": ["length", 32], "keys": ["length", 16], "inside": ["length"]}
    hidden = {"state": ["batch", 16]}
    expected: dict[str, dict[str, dict[str, list[Any]]]] = {
        "lstm": {"model": {**words, "probabilities": ["batch", 2], "embedding": ["batch", 32]}},
        "encoder": {"model": {**words, "probabilities": ["batch", "length", 2]}},
        "decoder": {
            "model": {
                **words,
                "logits_from": [1],
                **{"bias": ["batch", "past"], "count": ["batch"], **kept},
                "logits": ["batch", "length", 10],
                **{"next_bias": ["batch", "next_past"], "next_count": ["batch"], **following},
            }
        },
        "seq2seq": translates(attention, kept, following, False),
        "seq2seq-gru": translates(bahdanau, hidden, {"next_state": ["batch", 16]}, True),
        "detector": {"model": {"images": ["batch", 32, 32, 1], "boxes": ["batch", 20, 4], "scores": ["batch", 20, 2]}},
        "unet": {
            "model": {"noisy": ["batch", 1, 8, 8], "step": ["batch"], "label": ["batch"], "noise": ["batch", 1, 8, 8]}
        },
        "forecast": {"model": {"past": ["batch", 24, 2], "values": ["batch", 6, 2, 3]}},
        "series": {
            "model": {
                **{"series": ["batch", "length", 1], "series_lengths": ["batch"]},
                **{"probabilities": ["batch", 2], "embedding": ["batch", 16]},
            }
        },
    }
    assert shapes == expected[case]


def test_the_package_has_every_metric_of_its_task_pictures_and_a_card(trained: tuple[str, Path]) -> None:
    _, place = trained
    package = Package.open(place / "run" / "package")
    frozen = FrozenSplit.open(place / "prepared", manifest.load(place / "prepared", "prepared").facts)
    metrics = package.metrics()
    assert metrics["overall"].keys() >= frozen.task.metrics.keys()
    assert metrics["samples"] > 0
    assert len(list((place / "run" / "plots").glob("*.png"))) >= 2
    card = (package.folder / "README.md").read_text()
    for name, value in metrics["overall"].items():
        assert f"| {name.replace('_', ' ')} | {value:.4f} |" in card
    assert json.loads((package.folder / "metrics.json").read_bytes()) == metrics


def test_scored_afresh_it_is_as_it_says_and_no_worse_than_itself(trained: tuple[str, Path]) -> None:
    _, place = trained
    package = Package.open(place / "run" / "package")
    frozen = FrozenSplit.open(place / "prepared", manifest.load(place / "prepared", "prepared").facts)
    first, second = score(package, frozen, "one"), score(package, frozen, "the same")
    assert not isinstance(first, ScoringFailure), first.reason
    assert not isinstance(second, ScoringFailure)
    assert check_metrics(package, first) == []
    for metric, facts in frozen.task.metrics.items():
        higher = facts.higher_is_better
        found = compare(first, second, metric, higher_is_better=higher, min_effect=-0.9, confidence=0.95)
        assert found.gain == 0
        assert found.passed
        again = compare(first, second, metric, higher_is_better=higher, min_effect=0.0, confidence=0.95)
        assert not again.passed
