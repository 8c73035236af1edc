"""A small training of every kind of output: its task with settings, its model, how it trains, what it must reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts.training_request import TrainRequest
from components.identity import manifest

WORDS = {"tokenizer": {"kind": "words", "min_frequency": 1}, "max_length": 24}
BPE = {"tokenizer": {"kind": "bpe", "vocabulary": 320}, "max_length": 32}
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
        WORDS | {"tokenizer": {"kind": "words", "min_frequency": 1, "lower": False}},
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
        {"max_length": 40},
        {"family": "rnn", "name": "gru", "pooling": "attention", **SMALL},
        {"epochs": 5},
        0.9,
    ),
}


def request(place: Path, run_folder: Path, case: str, **train: Any) -> TrainRequest:
    """To train a case on what was prepared in `place`; `train` changes its settings."""
    _, _, model, settings, _ = CASES[case]
    digest = manifest.load(place, "prepared").digest
    document = {
        "pipeline": case,
        "train_fingerprint": "ab" * 32,
        "data_digest": digest,
        "prepared": str(place),
        "run_folder": str(run_folder),
        "package": str(run_folder / "package"),
        "model": model,
        "train": {"batch_size": 16, "learning_rate": 0.01, "threads": 1, **settings, **train},
        "lineage": {},
    }
    return TrainRequest.model_validate(document)
