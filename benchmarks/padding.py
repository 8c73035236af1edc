"""How much of a network's input is padding: of the batches of the first epoch, against batches as chance has it.

Of every pipeline whose samples are of unequal lengths and whose dataset is prepared here (`modelyard run PIPELINE`, or
`dvc repro prepare@DATASET`); of pairs of texts the side with more.

    python -m benchmarks.padding
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import figure
from benchmarks.figure import Figure
from components.contracts.pipeline import PipelineSpec
from components.core.located_yaml import read
from components.identity import manifest
from components.training.batches import Epoch, epoch_batches, sample_sizes
from components.training.prepared import open_prepared

NAME = "padding"
ROOT = Path(__file__).parents[1]


def measure() -> list[Figure]:
    """Shares of all places in the batches, the largest of the sample's texts."""
    found = []
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        config = read(path, PipelineSpec)
        folder = ROOT / "data" / config.dataset / "prepared"
        if not folder.exists():
            figure.tell(f"{config.name}: {config.dataset} is not prepared here")
            continue
        prepared = open_prepared(folder, manifest.load(folder, "prepared").digest)
        sizes = sample_sizes(prepared.train, prepared.processor.inputs())
        if sizes is None:
            continue
        ours, plain = (
            _padding(epoch_batches(len(sizes), config.train.batch_size, config.train.seed, 0, input_spec), sizes)
            for input_spec in (sizes, None)
        )
        words = f"{config.name}: of batches of {config.train.batch_size}"
        found.append(Figure(NAME, words, round(100 * ours, 1), "%", at_most=10))
        found.append(Figure(NAME, "... as chance has it", round(100 * plain, 1), "%"))
    return found


def _padding(epoch: Epoch, sizes: NDArray[np.int64]) -> float:
    """The share of padding of an epoch's batches, the largest of the keys of sizes (samples, keys)."""
    batches = [sizes[epoch.batch(number)] for number in range(len(epoch))]  # (N, keys) each
    places = sum(len(batch) * batch.max(axis=0) for batch in batches)
    filled = sum(batch.sum(axis=0) for batch in batches)
    return float(np.max(1 - filled / places))


if __name__ == "__main__":
    sys.exit(figure.command(measure, figure.parser(__doc__)))
