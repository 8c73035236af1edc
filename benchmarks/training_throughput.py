"""Samples/s of the training loop, as the stage runs it, against a bare hand-written loop.

The bare loop: the same network in channels-last form, the same fused optimizer of torch, tensors in memory, a random
order an epoch; no augmentation, metrics, checkpoints or events. Ours: memory-mapped arrays, metrics of every batch, an
event stream, TensorBoard, a checkpoint an epoch. Both in this process, in turns; the validation pass is not counted.

    python -m benchmarks.training_throughput [--pipeline digits] [--rounds 7]
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks import figure
from benchmarks.figure import Figure
from components.contracts.located_yaml import read
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import AugmentSpec
from components.models.build import build
from components.training.batches import Split
from components.training.checkpoint import save_checkpoint
from components.training.loop import Setting, train_epoch
from components.training.optimizer import build_optimizer
from components.training.precision import choose_precision
from components.training.randomness import seed_all
from components.training.report import Report
from components.training.saver import Saver
from components.training.sinks import EventStream, Fanout, TensorBoardLog
from components.training.state import EpochTotals, State

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

NAME = "training_throughput"
SHAPES = {"digits": (8, 8, 1), "fashion": (28, 28, 1)}


def measure(pipeline: str = "digits", rounds: int = 7, samples: int = 0) -> list[Figure]:
    """Samples/s of both and the median of the rounds' ratios; 0 samples: digits 5120, fashion 1280 an epoch."""
    samples = samples or {"digits": 5120, "fashion": 1280}[pipeline]
    spec = read(Path(__file__).parents[1] / "pipelines" / f"{pipeline}.yaml", PipelineSpec)
    torch.set_num_threads(spec.train.threads or torch.get_num_threads())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (samples, *SHAPES[pipeline]), dtype=np.uint8)
    labels = rng.integers(0, 10, samples)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = _ours(spec, images, labels, Path(folder)), _bare(spec, images, labels)
        for run in (ours, bare):
            run()
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for turn in range(rounds):
            pair = [("ours", ours), ("bare", bare)]
            for name, run in pair if turn % 2 else reversed(pair):
                begin = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begin)
    ratio = statistics.median(b / o for o, b in zip(seconds["ours"], seconds["bare"], strict=True))
    speed = {name: round(samples / statistics.median(values)) for name, values in seconds.items()}
    return [
        Figure(NAME, f"bare loop, {pipeline}, batches of {spec.train.batch_size}", speed["bare"], "samples/s"),
        Figure(NAME, "our training loop", speed["ours"], "samples/s"),
        Figure(NAME, "ratio", round(ratio, 3), "x", at_least=0.97),
    ]


def _network(spec: PipelineSpec, shape: tuple[int, ...]) -> torch.nn.Module:
    seed_all(0, deterministic=True)
    network = build(spec.model, height=shape[0], width=shape[1], mean=[0.3], std=[0.35], classes=10)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub knows it not
    return network


def _ours(spec: PipelineSpec, images: Images, labels: Labels, folder: Path) -> Callable[[], None]:
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    split = Split(np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "labels.npy"))
    train = spec.train.model_copy(update={"augment": AugmentSpec(), "epochs": 10_000})
    network = _network(spec, images.shape[1:])
    precision = choose_precision("fp32", torch.device("cpu"))
    state = State(network, build_optimizer(train, network), precision.scaler())
    sink = Fanout([EventStream(io.StringIO()), TensorBoardLog(folder / "tensorboard")])

    def save() -> None:
        save_checkpoint(folder / "checkpoints", "benchmark", state.step, *state.dump())

    setting = Setting(train, split, split, network, precision, None, Saver(save), lambda: False)
    report = Report(sink, state, setting.total_steps)

    def run() -> None:
        train_epoch(state, setting, report)
        state.epoch, state.batch, state.totals = state.epoch + 1, 0, EpochTotals()
        setting.saver.after_epoch()

    return run


def _bare(spec: PipelineSpec, images: Images, labels: Labels) -> Callable[[], None]:
    pixels, truth = torch.from_numpy(images), torch.from_numpy(labels)
    network = _network(spec, images.shape[1:])
    rate = spec.train.learning_rate
    optimizer: torch.optim.Optimizer
    if spec.train.optimizer == "adamw":
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=spec.train.weight_decay, fused=True)
    else:
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=rate,
            momentum=spec.train.momentum,
            nesterov=spec.train.momentum > 0,
            weight_decay=spec.train.weight_decay,
            fused=True,
        )

    def run() -> None:
        network.train()
        order = torch.randperm(len(truth))
        for begin in range(0, len(truth), spec.train.batch_size):
            index = order[begin : begin + spec.train.batch_size]
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels[index]), truth[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return run


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--pipeline", default="digits", choices=sorted(SHAPES))
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--samples", type=int, default=0, help="samples an epoch (default: digits 5120, fashion 1280)")
    sys.exit(figure.command(measure, options))
