"""Tokens/s of text generation and translation with keys and values kept, against the same packages without, in turns.

Networks of the sizes of `pipelines/writer.yaml` and `pipelines/multi30k.yaml` with random weights, over a tokenizer of
invented words: which words come does not change how long they take, and no text ends before 128 tokens. Seconds are of
the processor, of one thread, the best of the rounds, so that other work on the machine counts little. Beside it: the
same network as a package of earlier versions, whose graphs cannot keep anything; and what the graphs take on the disk.

    python -m benchmarks.generation [--rounds 5]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.pipeline import PipelineSpec
from components.core.located_yaml import read
from components.inference.predictor import Predictor
from components.tasks.task import Prediction
from components.tasks.text_generation import TextGenerationParameters
from components.tasks.translation import TranslationParameters
from components.training.prepared import Prepared, open_prepared
from tests import generation_package
from tests.training import prepared_task

NAME = "generation"
ROOT = Path(__file__).parents[1]
TOKENS = 128
WINDOW = 192  # of the network: a prompt and what follows
VOCABULARIES = {"writer": 8000, "multi30k": 5000}  # of their datasets
BATCHES = (1, 8)
TARGET = 4.0


def measure(rounds: int = 5) -> list[Figure]:
    """Ratios of tokens/s, and of the sizes of the graphs."""
    found: list[Figure] = []
    for name, vocabulary in VOCABULARIES.items():
        config = read(ROOT / "pipelines" / f"{name}.yaml", PipelineSpec)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
            tell(f"{name}: a package with random weights")
            made = _prepared(Path(folder) / "prepared", config.task, vocabulary)
            model = config.model.model_dump(mode="json")
            packages = [
                generation_package.build(Path(folder) / kind, model, made, state=kind == "new")
                for kind in ("new", "old")
            ]
            new, old = map(Predictor, packages)
            sizes = [sum(path.stat().st_size for path in package.folder.glob("*.onnx")) for package in packages]
            for batch in BATCHES:
                found += _figures(f"{name}, {batch} at once", new, old, batch, rounds)
            found.append(Figure(NAME, f"{name}: size of the graphs against those of before", sizes[0] / sizes[1], "x"))
    return found


def _figures(words: str, new: Predictor, old: Predictor, batch: int, rounds: int) -> list[Figure]:
    samples = new.read([f"{letter} prompt of few words" for letter in "abcdefgh"[:batch]])
    chosen: Any = TextGenerationParameters(max_tokens=TOKENS)
    if new.task.name == "translation":
        chosen = TranslationParameters(max_length=TOKENS)
    ways: dict[str, Callable[[], list[Prediction]]] = {
        "kept": lambda: new.answer(samples, chosen),
        "not kept": lambda: new.processor.answer(new.run, samples, [], chosen),
        "before": lambda: old.answer(samples, chosen),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, list[str]] = {}
    for turn in range(rounds + 1):
        for way, answer in ways.items():
            # The first turn warms up; without a state, several texts take so long that one turn is a measure.
            if way == "kept" or turn == 1 or (turn and batch == 1):
                begin = time.process_time()
                texts[way] = [str(one["text"]) for one in answer()]
                seconds[way].append(time.process_time() - begin)
    assert texts["kept"] == texts["not kept"] == texts["before"], "the ways give other texts"
    rates = {way: batch * TOKENS / min(found) for way, found in seconds.items()}
    said = f"{words}: tokens/s, {TOKENS} tokens, keys and values kept ({rates['kept']:.0f}) against not kept"
    return [
        Figure(NAME, f"{said} ({rates['not kept']:.0f})", rates["kept"] / rates["not kept"], "x", at_least=TARGET),
        Figure(NAME, f"{words}: ... against a package of before", rates["kept"] / rates["before"], "x"),
    ]


def _prepared(folder: Path, task: str, vocabulary: int) -> Prepared:
    """A prepared dataset of invented words, enough of them for the vocabulary."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 9))) for _ in range(12_000)]
    fields = ("source", "target") if task == "translation" else ("text",)

    def maker(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        return [{field: " ".join(rng.choice(words, rng.integers(5, 12))) for field in fields} for _ in range(count)]

    settings = {"tokenizer": {"kind": "bpe", "vocabulary": vocabulary, "min_frequency": 1}, "max_length": WINDOW}
    return open_prepared(folder, prepared_task.prepare(folder, task, settings, (4000, 8, 8), maker))


if __name__ == "__main__":
    parser = figure.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    sys.exit(figure.command(measure, parser))
