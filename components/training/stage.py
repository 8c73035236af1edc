"""`python -m components.training REQUEST.json`: verify the data, train or go on, leave the parts of the package."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import nn

from components.contracts.errors import Interrupted
from components.contracts.metric_sink import MetricSink
from components.contracts.stage_process import die_with_parent
from components.contracts.training_request import Finished, Started, TrainRequest
from components.models.build import build
from components.training.checkpoint import load_checkpoint, save_checkpoint
from components.training.class_weights import balanced_weights
from components.training.interruption import Interruption
from components.training.loop import Setting, fit
from components.training.optimizer import build_optimizer
from components.training.precision import choose_compile, choose_precision
from components.training.prepared import Prepared, open_prepared
from components.training.product import leave, standing
from components.training.randomness import seed_all
from components.training.report import Report
from components.training.run_lock import locked
from components.training.saver import Saver
from components.training.sinks import EventStream, Fanout, TensorBoardLog
from components.training.state import State
from components.training.voice import say


def main(arguments: list[str]) -> None:
    """Train what a request file asks for.

    Raises:
        UsageError: not one readable request file.
        TrainingError, CorruptArtifactError, NotFoundError, Interrupted: as `train` says.
    """
    die_with_parent()
    sink = Fanout([EventStream(sys.stdout)])
    train(TrainRequest.read(arguments), sink)


def train(request: TrainRequest, sink: MetricSink) -> None:
    """Train, or go on from a checkpoint, or return at once where the result stands already.

    Raises:
        NotFoundError, CorruptArtifactError: the prepared data is missing or damaged.
        TrainingError: wrong data, another trainer in the run folder, a loss that is not finite, no room.
        Interrupted: Ctrl-C or SIGTERM; the checkpoint is written.
    """
    run_folder = Path(request.run_folder)
    with locked(run_folder):
        if standing(run_folder / "trained", request.train_key):
            say(f"trained already: {run_folder / 'trained'}")
            return
        prepared = open_prepared(Path(request.prepared), request.data_digest)
        log = TensorBoardLog(run_folder / "tensorboard")
        try:
            state = _fit(request, prepared, Fanout([sink, log]))
        finally:
            log.close()
        network = fresh_network(request, prepared)
        network.load_state_dict(state.kept)
        leave(run_folder / "trained", request, prepared, network, state.history, state.kept_epoch)


def fresh_network(request: TrainRequest, prepared: Prepared) -> nn.Module:
    """The network of a request for the images of a dataset, on the CPU."""
    processor = prepared.processor
    return build(
        request.model,
        height=processor.height,
        width=processor.width,
        mean=processor.mean,
        std=processor.std,
        classes=len(prepared.classes),
    )


def _fit(request: TrainRequest, prepared: Prepared, sink: MetricSink) -> State:
    spec = request.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if spec.threads:  # else torch's own choice: all cores, or OMP_NUM_THREADS
        torch.set_num_threads(spec.threads)
    seed_all(spec.seed, deterministic=spec.deterministic)
    # Channels last: images lie so on disk, and convolutions are as fast or faster so (textbook of depth 3 and
    # width 32 at 28x28 on two AVX2 cores: 421 samples/s against 194; resnets equal).
    network = fresh_network(request, prepared).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub knows it not
    precision = choose_precision(spec.precision, device)
    state = State(network, build_optimizer(spec, network), precision.scaler())
    checkpoints = Path(request.run_folder) / "checkpoints"
    found = load_checkpoint(checkpoints, request.train_key)
    if found:
        state.restore(*found)
    weights = None
    if spec.class_weights == "balanced":
        weights = balanced_weights(torch.from_numpy(prepared.train.labels), len(prepared.classes)).to(device)

    def save() -> None:
        save_checkpoint(checkpoints, request.train_key, state.step, *state.dump())

    with Interruption() as interruption:
        setting = Setting(
            spec, prepared.train, prepared.validation, network, precision, weights, Saver(save), interruption.asked
        )
        compiled = choose_compile(spec.compile, device, setting.total_steps)
        if compiled:
            setting = setting._replace(forward=torch.compile(network))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        sink.emit(
            Started(
                epoch=state.epoch,
                step=state.step,
                total_epochs=spec.epochs,
                steps_per_epoch=setting.steps_per_epoch,
                parameters=parameters,
                device=_device_name(device),
                precision=precision.format,
                compiled=compiled,
                resumed=found is not None,
            )
        )
        say(
            f"{'going on' if found else 'training'}: {request.model.name}, {parameters:,} parameters, "
            f"{len(prepared.train):,} samples, {state.epoch} of {spec.epochs} epochs done, "
            f"{_device_name(device)}, {precision.format}"
        )
        begin = time.monotonic()
        before = state.seconds
        try:
            reason = fit(state, setting, Report(sink, state, setting.total_steps))
        except Interrupted as error:
            error.next_step = f"`modelyard run {request.pipeline}` goes on from here"
            raise
        seconds = before + time.monotonic() - begin
    sink.emit(Finished(epochs=state.epoch, kept_epoch=state.kept_epoch, reason=reason, seconds=seconds))
    last = state.history[state.kept_epoch - 1]
    say(
        f"trained {state.epoch} epochs in {seconds:.1f} s; epoch {state.kept_epoch} is kept, "
        f"validation accuracy {last['validation/accuracy']:.4f}"
    )
    return state


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
