"""Samples/s of the training loop, as the stage runs it, against a bare hand-written loop and Hugging Face's Trainer.

The bare loop: the same network, the same fused optimizer of torch, the very same batches, which lie ready as tensors in
memory; no augmentation, metrics, checkpoints or events. Ours: memory-mapped arrays, gathered and padded batch by batch,
metrics of every batch, an event stream, TensorBoard, a checkpoint an epoch. Both in this process, in turns; the
validation pass is not counted. digits and fashion on invented images; any other pipeline on its prepared dataset.

The Trainer: the same network, loss, fused optimizer and rate, no logging and no checkpoints. It gets its batches from
our arrays, which is faster than a dataset of single samples, in an order that does not look at lengths, as is its
default.

    python -m benchmarks.training_throughput [--pipeline digits] [--rounds 7] [--trainer]
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
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import figure
from benchmarks.figure import Figure
from components.contracts.architectures.architecture import WholeTransfer
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.core.located_yaml import read
from components.identity import manifest
from components.models.build import build
from components.preprocessing.stored import StoredSplit
from components.tasks.image_classification import ImageClassificationProcessor
from components.training import transfer
from components.training.allocator import keep_freed_memory
from components.training.batches import Batch, epoch_batches, on_device, sample_sizes
from components.training.checkpoint import save_checkpoint
from components.training.loop import TrainingContext, train_epoch
from components.training.objectives.classification import ClassificationObjective
from components.training.objectives.objective import Objective, open_objective
from components.training.optimizer import build_optimizer
from components.training.precision import choose_precision
from components.training.prepared import Prepared, open_prepared
from components.training.randomness import seed_all
from components.training.report import ProgressReporter
from components.training.saver import Saver
from components.training.sinks import EventStream, Fanout, TensorBoardLog
from components.training.state import EpochTotals, State

NAME = "training_throughput"
ROOT = Path(__file__).parents[1]
INVENTED = {"digits": (8, 8, 1), "fashion": (28, 28, 1)}
SAMPLES = {"digits": 5120, "fashion": 1280}
CPU = torch.device("cpu")


class First(StoredSplit):
    """The first samples of a split."""

    def __init__(self, split: StoredSplit, samples: int) -> None:
        self.__dict__ |= split.__dict__
        self._samples = min(samples, StoredSplit.__len__(split))

    def __len__(self) -> int:
        return self._samples


def measure(pipeline: str = "digits", rounds: int = 7, samples: int = 0, *, trainer: bool = False) -> list[Figure]:
    """Samples/s of each and the median of the rounds' ratios; 0 samples: 5120 of digits, else 1280 an epoch."""
    spec = read(ROOT / "pipelines" / f"{pipeline}.yaml", PipelineSpec)
    samples = samples or SAMPLES.get(pipeline, 1280)
    train = spec.train.model_copy(update={"augment": AugmentSpec(), "epochs": 10_000})
    torch.set_num_threads(train.threads or torch.get_num_threads())
    keep_freed_memory()  # as the stage does; the bare loop has it too
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if pipeline in INVENTED:
            invented = _invent(folder / "prepared", INVENTED[pipeline], samples)
            prepared = open_prepared(folder / "prepared", invented)
        else:
            place = ROOT / "data" / spec.dataset / "prepared"
            prepared = open_prepared(place, manifest.load(place, "prepared").digest)
        split = First(prepared.train, samples)
        runs = {"ours": _ours(spec, train, prepared, split, folder), "bare": _bare(spec, train, prepared, split)}
        if trainer:
            runs["trainer"] = _trainer(spec, train, prepared, split, folder)
        for run in runs.values():
            run()
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds):
            for name in runs if turn % 2 else reversed(runs):
                begin = time.perf_counter()
                runs[name]()
                seconds[name].append(time.perf_counter() - begin)
    speed = {name: round(len(split) / statistics.median(values)) for name, values in seconds.items()}
    figures = [
        Figure(NAME, f"bare loop, {pipeline}, batches of {spec.train.batch_size}", speed["bare"], "samples/s"),
        Figure(NAME, "our training loop", speed["ours"], "samples/s"),
        Figure(NAME, "ratio", _ratio(seconds, "bare"), "x", at_least=0.97),
    ]
    if trainer:
        figures += [
            Figure(NAME, f"Hugging Face's Trainer, {pipeline}", speed["trainer"], "samples/s"),
            Figure(NAME, "ratio to it", _ratio(seconds, "trainer"), "x", at_least=1.2),
        ]
    return figures


def _ratio(seconds: dict[str, list[float]], other: str) -> float:
    return round(statistics.median(b / o for o, b in zip(seconds["ours"], seconds[other], strict=True)), 3)


def _invent(folder: Path, shape: tuple[int, int, int], samples: int) -> str:
    """A prepared dataset of noise in ten classes; its digest."""
    rng = np.random.default_rng(0)
    classes = [str(number) for number in range(10)]
    processor = ImageClassificationProcessor(
        height=shape[0], width=shape[1], channels=1, mean=[0.3], std=[0.35], classes=classes
    )  # fmt: skip
    for name in ("train", "validation"):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "images.npy", rng.integers(0, 256, (samples, *shape), dtype=np.uint8))
        np.save(folder / name / "labels.npy", rng.integers(0, 10, samples))
    processor.save(folder)
    arrays = [spec.model_dump(mode="json") for spec in processor.arrays()]
    facts = {"task": "image-classification", "classes": classes, "arrays": arrays}
    return manifest.seal(folder, "prepared", facts).digest


def _network(spec: PipelineSpec, prepared: Prepared) -> nn.Module:
    seed_all(0, deterministic=True)
    network = build(spec.model, prepared.processor.input_spec(), prepared.processor.output_spec())
    if prepared.processor.input_spec().channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub knows it not
    return network


def _ours(
    spec: PipelineSpec, train: TrainSpec, prepared: Prepared, split: StoredSplit, folder: Path
) -> Callable[[], None]:
    network = _network(spec, prepared)
    precision = choose_precision("fp32", CPU)
    state = State(network, build_optimizer(train, network), precision.scaler())
    sink = Fanout([EventStream(io.StringIO()), TensorBoardLog(folder / "tensorboard")])
    objective = open_objective(prepared.task.objective, train, prepared)

    def save() -> None:
        save_checkpoint(folder / "checkpoints", "benchmark", state.step, *state.dump())

    sizes = _sizes(prepared, split)
    setting = TrainingContext(
        spec=train,
        train=split,
        validation=split,
        sizes=sizes,
        validation_sizes=sizes,
        objective=objective,
        forward=network,
        precision=precision,
        transfer=transfer.begin(WholeTransfer(), network),
        saver=Saver(save),
        stopping=lambda: False,
    )
    report = ProgressReporter(sink, state, objective.metric, setting.total_steps)

    def run() -> None:
        train_epoch(state, setting, report)
        state.epoch, state.batch, state.totals = state.epoch + 1, 0, EpochTotals()
        setting.saver.after_epoch()

    return run


def _bare(spec: PipelineSpec, train: TrainSpec, prepared: Prepared, split: StoredSplit) -> Callable[[], None]:
    network = _network(spec, prepared)
    epoch = epoch_batches(len(split), train.batch_size, 0, 0, _sizes(prepared, split))
    batches = [on_device(split.batch(epoch.batch(number)), CPU) for number in range(len(epoch))]
    objective = open_objective(prepared.task.objective, train, prepared)
    generator = torch.Generator()
    optimizer = _optimizer(train, network)

    def run() -> None:
        network.train()
        for batch in batches:
            optimizer.zero_grad()
            _loss(network, objective, batch, prepared.processor.inputs(), generator).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            if train.clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
            optimizer.step()

    return run


def _optimizer(train: TrainSpec, network: nn.Module) -> torch.optim.Optimizer:
    if train.optimizer == "adamw":
        return torch.optim.AdamW(
            network.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, fused=True
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=train.learning_rate,
        momentum=train.momentum,
        nesterov=train.momentum > 0,
        weight_decay=train.weight_decay,
        fused=True,
    )


class _WithLoss(nn.Module):
    """What the Trainer trains: a network whose output begins with its loss."""

    def __init__(self, network: nn.Module, objective: Objective, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self._objective, self._inputs = network, objective, inputs
        self._generator = torch.Generator()

    def forward(self, **batch: Tensor) -> tuple[Tensor]:
        return (_loss(self.network, self._objective, batch, self._inputs, self._generator),)


class _Numbers(torch.utils.data.Dataset[int]):
    """The numbers of samples, of which the collator makes batches."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


def _trainer(
    spec: PipelineSpec, train: TrainSpec, prepared: Prepared, split: StoredSplit, folder: Path
) -> Callable[[], None]:
    from transformers import Trainer, TrainingArguments

    network = _network(spec, prepared)
    objective = open_objective(prepared.task.objective, train, prepared)
    model = _WithLoss(network, objective, prepared.processor.inputs())
    optimizer = _optimizer(train, network)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=train.batch_size,
        num_train_epochs=1,
        max_grad_norm=train.clip_norm or 0.0,
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        dataloader_pin_memory=False,
    )

    def run() -> None:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=_Numbers(len(split)),
            data_collator=lambda numbers: on_device(split.batch(np.asarray(numbers)), CPU),
            optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)),
        )
        trainer.train()

    return run


def _loss(
    network: nn.Module, objective: Objective, batch: Batch, inputs: tuple[str, ...], generator: torch.Generator
) -> Tensor:
    if isinstance(objective, ClassificationObjective):
        return functional.cross_entropy(network(*(batch[name] for name in inputs)), batch["labels"])
    return objective.step(network, batch, generator, training=True).loss


def _sizes(prepared: Prepared, split: StoredSplit) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    sizes = sample_sizes(prepared.train, prepared.processor.inputs())
    return None if sizes is None else sizes[: len(split)]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    names = sorted(path.stem for path in (ROOT / "pipelines").glob("*.yaml"))
    options.add_argument("--pipeline", default="digits", choices=names)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--samples", type=int, default=0, help="samples an epoch (default: digits 5120, others 1280)")
    options.add_argument("--trainer", action="store_true", help="measure Hugging Face's Trainer too")
    sys.exit(figure.command(measure, options))
