"""A small prepared dataset of any task: invented samples, made into arrays by the task's own code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from components import tasks
from components.contracts.array_spec import ArraySpec
from components.identity import manifest
from components.ingestion import png
from components.tasks.task import RawSample

Samples = list[dict[str, Any]]
NOUNS = ("cat", "dog", "house", "river", "tree", "bird")
GERMAN = ("katze", "hund", "haus", "fluss", "baum", "vogel")
GOOD, BAD = ("good", "fine", "lovely"), ("bad", "awful", "poor")


def text_classification(count: int, rng: np.random.Generator) -> Samples:
    """Sentences of one to twenty words, good ones and bad ones."""
    found = []
    for _ in range(count):
        label = str(rng.choice(["good", "bad"]))
        words = [*rng.choice(NOUNS, rng.integers(0, 20)), rng.choice(GOOD if label == "good" else BAD)]
        rng.shuffle(words)
        found.append({"text": " ".join(map(str, words)), "label": label})
    return found


def token_classification(count: int, rng: np.random.Generator) -> Samples:
    """Words of which those with a capital are names."""
    found = []
    for _ in range(count):
        words = [str(word) for word in rng.choice([*NOUNS, "Ada", "Kurt"], rng.integers(1, 15))]
        found.append({"tokens": words, "tags": ["B-name" if word[0].isupper() else "O" for word in words]})
    return found


def text_generation(count: int, rng: np.random.Generator) -> Samples:
    """Words that follow each other in one order, from any begin."""
    begins, sizes = rng.integers(0, 6, count), rng.integers(2, 25, count)
    return [
        {"text": " ".join(NOUNS[(begin + step) % 6] for step in range(size))}
        for begin, size in zip(begins, sizes, strict=True)
    ]


def translation(count: int, rng: np.random.Generator) -> Samples:
    """Word by word."""
    drawn = [rng.integers(0, 6, rng.integers(1, 10)) for _ in range(count)]
    return [
        {"source": " ".join(NOUNS[word] for word in words), "target": " ".join(GERMAN[word] for word in words)}
        for words in drawn
    ]


def forecasting(count: int, rng: np.random.Generator) -> Samples:
    """Two waves with a little noise, one row an hour."""
    hours = np.arange(count)
    values = np.stack([np.sin(hours / 4), 3 + np.cos(hours / 7)], axis=1) + rng.normal(0, 0.05, (count, 2))
    return [{"time": f"2020-01-01T{hour % 24:02d}:00", "values": row} for hour, row in zip(hours, values, strict=True)]


def series_classification(count: int, rng: np.random.Generator) -> Samples:
    """Series of 4 to 40 steps that rise or fall."""
    found = []
    for _ in range(count):
        label = str(rng.choice(["rise", "fall"]))
        slope = np.linspace(0, 1 if label == "rise" else -1, rng.integers(4, 41))
        found.append({"values": slope + rng.normal(0, 0.1, len(slope)), "label": label})
    return found


def image_generation(count: int, rng: np.random.Generator) -> Samples:
    """Bright squares and dark ones."""
    found = []
    for _ in range(count):
        label = str(rng.choice(["bright", "dark"]))
        levels = rng.integers(180, 256, (8, 8)) if label == "bright" else rng.integers(0, 76, (8, 8))
        found.append({"image": png.encode(levels.astype(np.uint8)), "label": label})
    return found


def object_detection(count: int, rng: np.random.Generator) -> Samples:
    """One to three bright boxes on a dark ground, wide ones and high ones."""
    found = []
    for _ in range(count):
        levels = rng.integers(0, 40, (32, 32)).astype(np.uint8)
        boxes = []
        for _ in range(rng.integers(1, 4)):
            width, height = (12, 5) if rng.random() < 0.5 else (5, 12)
            left, top = int(rng.integers(0, 32 - width)), int(rng.integers(0, 32 - height))
            levels[top : top + height, left : left + width] = 220
            corners = {"xmin": left, "ymin": top, "xmax": left + width, "ymax": top + height}
            boxes.append({"label": "wide" if width > height else "high", **corners})
        found.append({"image": png.encode(levels), "boxes": boxes})
    return found


MAKERS = {
    "image-generation": image_generation,
    "object-detection": object_detection,
    "text-classification": text_classification,
    "token-classification": token_classification,
    "text-generation": text_generation,
    "translation": translation,
    "forecasting": forecasting,
    "series-classification": series_classification,
}


def prepare(
    folder: Path,
    name: str,
    settings: dict[str, Any],
    counts: tuple[int, int, int] = (320, 48, 32),
    maker: Callable[[int, np.random.Generator], Samples] | None = None,
) -> str:
    """Write and seal a prepared dataset of the samples that `maker`, or that of the task, makes; its digest."""
    task: Any = tasks.find(name)
    rng = np.random.default_rng(0)
    chosen = task.settings.model_validate(settings)
    made = (maker or MAKERS[name])(sum(counts), rng)
    raws = [RawSample(values, task.decode(values, chosen)) for values in made]
    classes = sorted({label for values in made for label in task.labels(values)})
    processor = task.fit(chosen, iter(raws[: counts[0]]), classes)
    folder.mkdir(parents=True)
    processor.save(folder)
    begin = 0
    for split, count in zip(("train", "validation", "test"), counts, strict=True):
        _write(folder / split, processor.arrays(), processor.encode(raws[begin : begin + count]))
        begin += count
    _golden(folder / "golden", task, made[-counts[2] :], processor)
    facts = {
        "dataset": "small",
        "task": name,
        "raw_digest": "0" * 64,
        "validated_digest": "0" * 64,
        "classes": classes,
        "counts": dict(zip(("train", "validation", "test"), counts, strict=True)),
        "arrays": [spec.model_dump(mode="json") for spec in processor.arrays()],
    }
    return manifest.seal(folder, "prepared", facts).digest


def _write(folder: Path, specs: tuple[ArraySpec, ...], samples: Samples) -> None:
    folder.mkdir()
    for spec in specs:
        parts = [sample[spec.of or spec.name] for sample in samples]
        if spec.layout == "ragged":
            np.save(folder / f"{spec.name}.npy", np.concatenate(parts).astype(spec.type))
            np.save(folder / f"{spec.name}.offsets.npy", np.cumsum([0, *map(len, parts)], dtype=np.int64))
        else:
            np.save(folder / f"{spec.of or spec.name}.npy", np.stack(parts).astype(spec.type))


def _golden(folder: Path, task: Any, samples: Samples, processor: Any) -> None:
    folder.mkdir()
    if hasattr(task, "window_example"):
        examples = [task.window_example(samples[begin:], processor.look_back) for begin in range(4)]
    else:
        examples = [task.example(values) for values in samples[:8]]
    index = []
    for place, example in enumerate(examples):
        name = f"{place:03d}{example.suffix}"
        (folder / name).write_bytes(example.content)
        index.append({"file": name, "id": str(place), "media": example.media, "truth": example.truth})
    (folder / "index.json").write_text(json.dumps(index))
