"""Small conversations, and a training of a small language model of the hub on them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.contracts.training_request import TrainRequest
from components.evaluation import stage as evaluation
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_task import GERMAN, NOUNS, Samples, prepare


def conversations(count: int, rng: np.random.Generator) -> Samples:
    """Word by word translations, some after a first question and answer."""
    found = []
    for _ in range(count):
        messages = []
        for _ in range(rng.integers(1, 3)):
            words = rng.integers(0, 6, rng.integers(1, 5))
            asked = "Translate to German: " + " ".join(NOUNS[word] for word in words)
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": " ".join(GERMAN[word] for word in words)})
        found.append({"messages": messages})
    return found


def train(folder: Path, settings: dict[str, Any], model: dict[str, Any], **spec: Any) -> Path:
    """Prepare, train and evaluate in a folder; the folder of the run, with its `trained` and `package`."""
    digest = prepare(folder / "prepared", "chat-completion", settings, (32, 8, 8), maker=conversations)
    document = {
        "pipeline": "small",
        "train_fingerprint": "ab" * 32,
        "data_digest": digest,
        "prepared": str(folder / "prepared"),
        "run_folder": str(folder / "run"),
        "package": str(folder / "run" / "package"),
        "model": {"family": "transformer", **model},
        "train": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "threads": 1, **spec},
        "lineage": {},
    }
    request = TrainRequest.model_validate(document)
    before = torch.get_num_threads()
    training.train(request, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (folder / "request.json").write_text(request.model_dump_json())
    evaluation.main([str(folder / "request.json")])
    return folder / "run"


def history(run: Path) -> list[dict[str, float]]:
    """Figures of the epochs."""
    rows: list[dict[str, float]] = json.loads((run / "trained" / "history.json").read_bytes())["epochs"]
    return rows
