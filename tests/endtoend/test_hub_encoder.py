"""`modelyard run bert`, of a small model in the very layout of the hub, to what transformers loads again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from components.identity.package import Package
from components.inference.predictor import Predictor
from tests import hub_models
from tests.house import COMMAND, House

pytestmark = pytest.mark.slow

FILES = ("train.tsv", "dev.tsv", "test.tsv")
SMALL = ("train.epochs=1", "train.samples=256", "train.threads=1", "gates.accuracy.min=0.3")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror with the files of SST-2, without any model."""
    source = Path(os.environ.get("MODELYARD_MIRROR", "/nowhere")) / "sst2"
    if not source.is_dir():
        pytest.skip("no SST-2 below MODELYARD_MIRROR")
    (tmp_path / "mirror" / "sst2").mkdir(parents=True)
    for name in FILES:
        (tmp_path / "mirror" / "sst2" / name).symlink_to(source / name)
    return tmp_path / "mirror"


def _run(house: House, mirror: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"MODELYARD_MIRROR": str(mirror), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(mirror / "no-cache")}
    return subprocess.run(
        [*COMMAND, *words], cwd=house.root, env={**house.environment, **environment}, capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip


@pytest.mark.long  # tests/models/test_hub_encoder.py and the chat model of the hub stay
def test_bert_of_the_hub_is_trained_registered_and_loaded_by_transformers(house: House, mirror: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    missing = _run(house, mirror, "run", "bert", *settings)
    assert missing.returncode == 1, missing.stdout + missing.stderr
    said = missing.stdout + missing.stderr
    assert "cannot be fetched" in said
    assert "put these files as bert-base-uncased/ into $MODELYARD_MIRROR" in said
    assert not (house.root / "data" / "sst2-bert" / "raw").exists()  # refused before any work

    lines = (mirror / "sst2" / "train.tsv").read_text().splitlines()
    words = hub_models.tokenizer("wordpiece", [line.partition("\t")[0] for line in lines], 2000)
    folder = mirror / "models--google-bert--bert-base-uncased" / "snapshots" / ("c" * 40)
    hub_models.save(folder, "bert", words=words, shard="100KB", max_position_embeddings=80)
    done = _run(house, mirror, "run", "bert", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    again = _run(house, mirror, "run", "bert", *settings)
    assert "up to date" in again.stdout + again.stderr

    target = mirror / "exported"
    exported = _run(house, mirror, "export", "bert@1", "--format", "huggingface", "--out", str(target))
    assert exported.returncode == 0, exported.stdout + exported.stderr
    theirs = AutoModelForSequenceClassification.from_pretrained(target).eval()
    theirs_words = AutoTokenizer.from_pretrained(target)
    package = next(
        found
        for path in (house.root / ".modelyard" / "packages").iterdir()
        if (found := Package.open(path)).facts.pipeline == "bert"
    )
    predictor = Predictor(package)
    texts = ["a wonderful , moving film", "dull , slow and much too long .", "ÄRGER ☃"]
    for text, answer in zip(texts, predictor.predict(texts), strict=True):
        with torch.inference_mode():
            expected = theirs(**theirs_words(text, truncation=True, return_tensors="pt")).logits.softmax(-1)[0]
        ours = [answer["probabilities"][name] for name in ("negative", "positive")]
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)
