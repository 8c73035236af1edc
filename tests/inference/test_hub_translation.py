"""Translators of the hub, fine-tuned: their packages translate as transformers' `generate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from components.contracts.training_request import TrainRequest
from components.evaluation import stage as evaluation
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.models.seq2seq_lm import SUPPORTED
from components.tasks.translation import TranslationParameters
from components.training import pretrained
from components.training import stage as training
from components.training.sinks import EventStream
from tests import hub_generators
from tests.training.prepared_task import prepare

pytestmark = pytest.mark.slow

TEXTS = ["cat dog house", "river tree", "Grüße, 你好", "bird cat dog river house tree bird"]
TOKENS = 20


def train(folder: Path, kind: str) -> tuple[Path, Package]:
    """A small model, and the package of its training."""
    place = hub_generators.translator(folder / "model", kind)
    own = {"kind": "pretrained", "source": f"folder:{place}"}
    settings = {"tokenizer": own, "max_length": 48, "source_prefix": "say: "}
    digest = prepare(folder / "prepared", "translation", settings, (16, 4, 4))
    model = {
        "family": "transformer", "name": "seq2seq-lm", "config": f"folder:{place}",
        "pretrained": f"file:{place}/model.safetensors", "transfer": {"policy": "lora", "rank": 2},
        "pretrained_sha256": pretrained.find(f"file:{place}/model.safetensors").digest,
    }  # fmt: skip
    document: dict[str, Any] = {
        "pipeline": "small", "train_fingerprint": "ab" * 32, "data_digest": digest, "lineage": {}, "model": model,
        "prepared": str(folder / "prepared"), "run_folder": str(folder / "run"), "package": str(folder / "package"),
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "threads": 1},
    }  # fmt: skip
    request = TrainRequest.model_validate(document)
    before = torch.get_num_threads()
    training.train(request, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (folder / "request.json").write_text(request.model_dump_json())
    evaluation.main([str(folder / "request.json")])
    return place, Package.open(folder / "package")


@pytest.mark.parametrize("kind", SUPPORTED)
def test_translations_are_those_of_generate(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    place, package = train(tmp_path, kind)
    network, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(place).eval(), AutoTokenizer.from_pretrained(place)
    fit = pretrained.fit(network, pretrained.read(package.folder / "model.safetensors"), "package")
    assert not fit.left
    predictor = Predictor(package)
    for beams in (1, 3):
        # Without a length penalty, both searches rank by the sum of the log-probabilities.
        chosen = TranslationParameters(beams=beams, length_penalty=0, max_length=TOKENS)
        answers = predictor.predict(TEXTS, chosen)
        for text, answer in zip(TEXTS, answers, strict=True):
            inputs = tokenizer(f"say: {text}", return_tensors="pt")
            assert predictor.read([text])[0]["source"].tolist() == inputs["input_ids"][0].tolist()
            with torch.inference_mode():
                found = network.generate(
                    **inputs, max_new_tokens=TOKENS, num_beams=beams, do_sample=False, length_penalty=0.0,
                    return_dict_in_generate=True, output_scores=True,
                )  # fmt: skip
            assert answer["text"] == tokenizer.decode(found.sequences[0], skip_special_tokens=True).strip()
            if beams > 1:
                assert answer["score"] == pytest.approx(float(found.sequences_scores[0]), abs=1e-3)
