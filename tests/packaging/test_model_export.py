"""A trained package in the form of other tools: transformers' own loading gives the answers of the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from components.contracts.training_request import TrainRequest
from components.core.errors import UsageError
from components.identity import manifest
from components.identity.calibration_facts import CalibrationFacts
from components.identity.package import Package, PackageFacts
from components.inference.predictor import Predictor
from components.packaging.model_export import export
from components.training import stage
from components.training.sinks import Fanout
from tests import hub_models, small_package
from tests.training import prepared_task

TEXTS = ["good house", "awful river tree tree cat", "The film is good, not bad at all.", "Ärger"]


def _train(root: Path, task: str, model: dict[str, Any], kind: str = "bert") -> Package:
    """One epoch from tiny weights of the hub, through the training stage; the package without an evaluation."""
    source = f"folder:{hub_models.save(root / 'hub', kind, shard='20KB')}"
    settings = {"tokenizer": {"kind": "pretrained", "source": source}, "max_length": 32}
    data = prepared_task.prepare(root / "prepared", task, settings, (32, 8, 8))
    model = {"family": "transformer", "name": "hub-encoder", "pretrained": source, **model}
    train = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "threads": 1}
    document = {
        "prepared": str(root / "prepared"), "data_digest": data, "run_folder": str(root / "run"),
        "train_fingerprint": "f" * 64, "model": model, "train": train, "pipeline": "tiny", "lineage": {},
        "package": str(root / "package"),
    }  # fmt: skip
    stage.train(TrainRequest.model_validate_json(json.dumps(document)), Fanout([]))
    folder = root / "run" / "trained"
    parts = manifest.verify(folder, "trained").facts
    (folder / "manifest.json").unlink()
    (folder / "README.md").write_text("# card\n")
    facts = PackageFacts(
        pipeline="tiny",
        task=task,
        train_fingerprint="f" * 64,
        data_digest=data,
        lineage=parts["lineage"],
        calibration=parts.get("calibration"),
    )
    manifest.seal(folder, "package", facts.model_dump(mode="json"))
    return Package.open(folder)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["none", "lora"])
def test_transformers_loads_what_is_served(policy: str, tmp_path: Path) -> None:
    """From shards, through a training of all weights or of adapters, to transformers' logits and onnxruntime's."""
    package = _train(tmp_path, "text-classification", {"transfer": {"policy": policy}})
    files = export(package, "huggingface", tmp_path / "out")
    expected = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert files == expected
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.id2label == {0: "bad", 1: "good"}
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = words(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        probabilities = theirs(**batch).logits.softmax(dim=-1).numpy()
    predictor = Predictor(package)
    for text, row in zip(TEXTS, probabilities, strict=True):
        scores = predictor.predict([text])[0]["probabilities"]
        np.testing.assert_allclose([scores["bad"], scores["good"]], row, atol=1e-5)
    read = predictor.read(TEXTS)
    assert predictor.processor.embed(predictor.run, read).shape == (len(TEXTS), 32)
    for text in [*hub_models.ODD, *TEXTS]:
        tokens = predictor.processor.read(text, max_pixels=1)["tokens"]
        assert tokens.tolist() == words(text, truncation=True)["input_ids"]


@pytest.mark.slow
def test_what_was_calibrated_is_so_for_transformers(tmp_path: Path) -> None:
    """The graph divides the logits by the temperature; in the export it is in the last layer."""
    package = _train(tmp_path, "text-classification", {})
    export(package, "huggingface", tmp_path / "plain")
    facts = package.facts.model_dump(mode="json")
    kept = CalibrationFacts(kept=True, reason="test", temperature=2.5, samples=40).model_dump(mode="json")
    (package.folder / "manifest.json").unlink()
    manifest.seal(package.folder, "package", facts | {"calibration": kept})
    export(Package.open(package.folder), "huggingface", tmp_path / "calibrated")
    logits = [_logits(tmp_path / name) for name in ("plain", "calibrated")]
    torch.testing.assert_close(logits[1], logits[0] / 2.5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_one_logit_for_two_classes(kind: str, tmp_path: Path) -> None:
    package = _train(tmp_path, "text-classification", {"head": "sigmoid"}, kind)
    export(package, "huggingface", tmp_path / "out")
    rows = _logits(tmp_path / "out").softmax(dim=-1)
    predictor = Predictor(package)
    for text, row in zip(TEXTS, rows, strict=True):
        scores = predictor.predict([text])[0]["probabilities"]
        np.testing.assert_allclose([scores["bad"], scores["good"]], row, atol=1e-5)


@pytest.mark.slow
def test_the_tokenizer_has_no_key_that_transformers_ignores(tmp_path: Path) -> None:
    export(_train(tmp_path, "text-classification", {}), "huggingface", tmp_path / "out")
    assert "__type" not in (tmp_path / "out" / "tokenizer_config.json").read_text()


def _logits(folder: Path) -> torch.Tensor:
    """transformers' logits for `TEXTS` by an export."""
    words = AutoTokenizer.from_pretrained(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits: torch.Tensor = theirs(**words(TEXTS, padding=True, truncation=True, return_tensors="pt")).logits
    return logits


@pytest.mark.slow
def test_tags_and_the_other_formats(tmp_path: Path) -> None:
    package = _train(tmp_path, "token-classification", {"transfer": {"policy": "head"}}, "deberta-v2")
    export(package, "huggingface", tmp_path / "out")
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path / "out").eval()
    assert sorted(theirs.config.label2id) == ["B-name", "O"]
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = words([["cat", "Ada"], ["dog"] * 9], is_split_into_words=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(**batch).logits.softmax(dim=-1)
    assert "model.onnx" in export(package, "onnx", tmp_path / "onnx")
    session = onnxruntime.InferenceSession((tmp_path / "onnx" / "model.onnx").read_bytes())
    mask = batch["attention_mask"]
    feed = {"tokens": batch["input_ids"].numpy(), "tokens_lengths": mask.sum(dim=1).numpy()}
    found = torch.from_numpy(session.run(None, feed)[0])
    torch.testing.assert_close(found[mask == 1], expected[mask == 1], atol=1e-5, rtol=0)
    assert {"model.json", "model.safetensors", "processor.json"} <= set(export(package, "safetensors", tmp_path / "st"))
    assert all(name.startswith("body.") for name in load_file(tmp_path / "st" / "model.safetensors"))


def test_what_has_no_form_in_transformers_is_refused_and_a_full_folder_kept(tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package")
    with pytest.raises(UsageError, match="none of transformers") as caught:
        export(package, "huggingface", tmp_path / "out")
    assert "--format onnx" in str(caught.value.next_step)
    assert not (tmp_path / "out").exists()
    for place in (tmp_path / "package" / "manifest.json" / "out", Path("/proc/none/out"), tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot be written"):
            export(package, "onnx", place)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(UsageError, match="has files"):
        export(package, "onnx", tmp_path / "full")
