"""Samples/s of two processes with one core each (DDP over gloo) against one process with two cores.

Both train the same network with the same global batch on the same invented images, as `modelyard run` does, in turns
within the same minutes, so that other work on the machine slows both. Counted are the samples from the begin of the
loop to its last event, not the start of the processes. The figure is the median over the rounds of the ratio of two
neighbouring runs.

    python -m benchmarks.distributed [--network resnet] [--rounds 5]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figure
from benchmarks.figure import Figure
from components.contracts.training_request import TrainRequest
from components.core import stage_process
from components.identity import manifest
from components.tasks.image_classification import ImageClassificationProcessor

NAME = "distributed"
ROOT = Path(__file__).parents[1]
HOST = stage_process.host_variable("training")
NETWORKS: dict[str, dict[str, Any]] = {
    "textbook": {"family": "cnn", "name": "textbook", "depth": 3, "width": 32},
    "resnet": {"family": "cnn", "name": "resnet", "depth": 20, "width": 16},
    "vit": {"family": "transformer", "name": "vit", "patch": 4, "depth": 4, "width": 128, "heads": 4},
}
SIDE, SAMPLES, TARGET = 32, 1280, 0.85


def measure(network: str = "resnet", rounds: int = 5, epochs: int = 3) -> list[Figure]:
    """The ratio, and the samples/s of both."""
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as name:
        folder = Path(name)
        digest = _prepare(folder / "prepared")
        with _Host(folder) as host:
            speeds: dict[int, list[float]] = {1: [], 2: []}
            for number in range(rounds):
                for processes in (1, 2) if number % 2 else (2, 1):  # neither always has the other's warm caches
                    run = folder / f"{number}-{processes}"
                    speeds[processes].append(_speed(_request(folder, digest, run, network, processes, epochs), host))
    ratio = statistics.median(two / one for one, two in zip(speeds[1], speeds[2], strict=True))
    return [
        Figure(NAME, f"{network}: two processes against one, by samples/s", ratio, "x", at_least=TARGET),
        Figure(NAME, f"{network}: one process with two cores, best", max(speeds[1]), "samples/s"),
        Figure(NAME, f"{network}: two processes with one core each, best", max(speeds[2]), "samples/s"),
    ]


class _Host:
    """A process that has imported torch, of which the stage and its ranks are forks, as in a run of a pipeline."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "host")

    def __enter__(self) -> str:
        words = [sys.executable, "-m", "components.core.stage_process", self._socket, "torch", "torch._dynamo"]
        self._process = subprocess.Popen(words, cwd=ROOT)
        while not Path(self._socket).exists():
            time.sleep(0.05)
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _speed(request: TrainRequest, host: str) -> float:
    """Samples/s from the begin of the loop to its last progress event."""
    path = Path(request.run_folder).with_suffix(".json")
    path.write_text(request.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "components.training", str(path)],
        cwd=ROOT,
        env={**os.environ, HOST: host, "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return float([event["samples_per_second"] for event in events if event["event"] == "progress"][-1])


def _request(folder: Path, digest: str, run: Path, network: str, processes: int, epochs: int) -> TrainRequest:
    train = {"epochs": epochs, "batch_size": 128, "threads": 2, "processes": processes}
    return TrainRequest.model_validate(
        {
            "pipeline": NAME,
            "train_fingerprint": "0" * 64,
            "data_digest": digest,
            "prepared": str(folder / "prepared"),
            "run_folder": str(run),
            "package": "",
            "model": NETWORKS[network],
            "train": train,
            "lineage": {},
            "parts": False,
        }
    )


def _prepare(folder: Path) -> str:
    """Invented images of ten classes; returns the digest."""
    rng = np.random.default_rng(0)
    classes = [str(number) for number in range(10)]
    for split, count in (("train", SAMPLES), ("validation", 64), ("test", 64)):
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))
        np.save(folder / split / "labels.npy", rng.integers(0, 10, count))
    processor = ImageClassificationProcessor(
        height=SIDE, width=SIDE, channels=3, mean=[0.5] * 3, std=[0.29] * 3, classes=classes
    )
    processor.save(folder)
    arrays = [spec.model_dump(mode="json") for spec in processor.arrays()]
    facts = {"dataset": NAME, "task": "image-classification", "classes": classes, "arrays": arrays}
    return manifest.seal(folder, "prepared", facts).digest


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--network", default="resnet", choices=sorted(NETWORKS))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=3)
    sys.exit(figure.command(measure, options))
