"""A small prepared dataset of real digits, in the layout that preprocessing leaves; scikit-learn is not imported."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.contracts.training_request import TrainRequest
from components.identity import manifest
from components.tasks.image_classification import ImageClassificationProcessor

CLASSES = [str(digit) for digit in range(10)]
TEXTBOOK = {"family": "cnn", "name": "textbook", "depth": 2, "width": 8, "convolutions": 1}


def prepare(folder: Path, train: int = 640, validation: int = 160, test: int = 160) -> manifest.Manifest:
    """Write and seal a prepared dataset."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, 64].astype(np.int64)
    begin = 0
    for name, count in (("train", train), ("validation", validation), ("test", test)):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "images.npy", images[begin : begin + count])
        np.save(folder / name / "labels.npy", labels[begin : begin + count])
        begin += count
    pixels = images[:train] / 255
    processor = ImageClassificationProcessor(
        height=8, width=8, channels=1, mean=[float(pixels.mean())], std=[float(pixels.std())], classes=CLASSES
    )
    processor.save(folder)
    index = []
    (folder / "golden").mkdir()
    for place in range(10):
        row = begin - test + place
        Image.fromarray(images[row, :, :, 0]).save(folder / "golden" / f"{place:03d}.png")
        entry = {"file": f"{place:03d}.png", "id": f"digit-{row}", "media": "image/png", "truth": CLASSES[labels[row]]}
        index.append(entry)
    (folder / "golden" / "index.json").write_text(json.dumps(index))
    facts = {
        "dataset": "digits",
        "task": "image-classification",
        "raw_digest": "0" * 64,
        "validated_digest": "0" * 64,
        "classes": CLASSES,
        "counts": {"train": train, "validation": validation, "test": test},
        "arrays": [spec.model_dump(mode="json") for spec in processor.arrays()],
    }
    return manifest.seal(folder, "prepared", facts)


def request(prepared: Path, run_folder: Path, *, model: dict[str, Any] | None = None, **train: Any) -> TrainRequest:
    """A request for a small textbook network on it, or for another one."""
    settings = {"epochs": 2, "batch_size": 64, "learning_rate": 0.005, "threads": 1, **train}
    return TrainRequest.model_validate(
        {
            "pipeline": "digits",
            "train_fingerprint": "ab" * 32,
            "data_digest": manifest.load(prepared, "prepared").digest,
            "prepared": str(prepared),
            "run_folder": str(run_folder),
            "package": str(run_folder / "package"),
            "model": model or TEXTBOOK,
            "train": settings,
            "lineage": {"code": "1" * 64},
        }
    )
