"""`python -m components.training REQUEST.json`: verify the data, train or resume, write the parts of the package."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components.contracts.metric_sink import MetricSink
from components.contracts.training_request import Finished, Metrics, Started, TrainRequest
from components.core.errors import Interrupted
from components.core.stage_process import die_with_parent
from components.models.build import build
from components.training import energy, pretrained, subset, transfer
from components.training.allocator import keep_freed_memory
from components.training.batches import sample_sizes
from components.training.checkpoint import load_checkpoint, save_checkpoint
from components.training.interruption import StopSignals
from components.training.loop import TrainingContext, fit
from components.training.messages import log
from components.training.objectives.objective import open_objective, selection, training_split
from components.training.optimizer import build_optimizer
from components.training.precision import choose_compile, choose_precision
from components.training.prepared import Prepared, open_prepared
from components.training.product import finished_parts, write_parts
from components.training.randomness import seed_all
from components.training.report import ProgressReporter
from components.training.run_lock import locked
from components.training.saver import Saver
from components.training.sinks import EventStream, Fanout, TensorBoardLog
from components.training.state import State


def main(arguments: list[str]) -> None:
    """Run the training of a request file.

    Raises:
        UsageError: not one readable request file.
        TrainingError, CorruptArtifactError, NotFoundError, SourceError, Interrupted: as of `train`.
    """
    die_with_parent()
    keep_freed_memory()
    sink = Fanout([EventStream(sys.stdout)])
    train(TrainRequest.read(arguments), sink)


def train(request: TrainRequest, sink: MetricSink) -> None:
    """Train, or resume from a checkpoint, or return at once if the result exists.

    Raises:
        NotFoundError, CorruptArtifactError: the prepared data is missing or damaged.
        UsageError, SourceError: the specs do not fit each other or the data, or pretrained weights are missing.
        TrainingError: other data, another process in the run folder, a loss that is not finite, a full disk.
        Interrupted: Ctrl-C or SIGTERM; the checkpoint is written.
    """
    run_folder = Path(request.run_folder)
    with locked(run_folder):
        if finished_parts(run_folder / "trained", request.train_fingerprint):
            log(f"trained already: {run_folder / 'trained'}")
            return
        prepared = open_prepared(Path(request.prepared), request.data_digest)
        prepared = subset.limit(prepared, request.train.samples, request.train.seed)
        tensorboard = TensorBoardLog(run_folder / "tensorboard")
        try:
            state, facts = _fit(request, prepared, Fanout([sink, tensorboard]))
        finally:
            tensorboard.close()
        network = fresh_network(request, prepared)
        transfer.begin(request.model.transfer, network)
        network.load_state_dict(state.kept)
        transfer.finish(network)
        write_parts(run_folder / "trained", request, prepared, network, state.history, state.kept_epoch, facts)


def fresh_network(request: TrainRequest, prepared: Prepared) -> nn.Module:
    """The network of a request for a dataset, on the CPU, with random weights."""
    return build(request.model, prepared.processor.input_spec(), prepared.processor.output_spec())


def _fit(request: TrainRequest, prepared: Prepared, sink: MetricSink) -> tuple[State, dict[str, Any] | None]:
    """The final state of the training, and facts of the pretrained weights."""
    spec = request.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if spec.threads:  # else torch's default: all cores, or OMP_NUM_THREADS
        torch.set_num_threads(spec.threads)
    objective = open_objective(prepared.task.objective, spec, prepared)
    seed_all(spec.seed, deterministic=spec.deterministic)
    network = fresh_network(request, prepared)
    input_spec = prepared.processor.input_spec()
    start = pretrained.start(request.model, network, request.pretrained_folder, input_spec)
    policy = transfer.begin(request.model.transfer, network)
    network = network.to(device)
    if prepared.processor.input_spec().channels_last:
        # Images have this format on disk, and convolutions are as fast or faster (textbook of depth 3 and width 32 at
        # 28x28 on two AVX2 cores: 421 samples/s against 194; resnets equal).
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    precision = choose_precision(spec.precision, device)
    state = State(network, build_optimizer(spec, network, policy.factors()), precision.scaler())
    checkpoints = Path(request.run_folder) / "checkpoints"
    found = load_checkpoint(checkpoints, request.train_fingerprint)
    if found:
        state.restore(*found)

    def save() -> None:
        save_checkpoint(checkpoints, request.train_fingerprint, state.step, *state.dump())

    inputs = prepared.processor.inputs()
    train_split = training_split(objective, prepared.train, "train")
    validation_split = training_split(objective, prepared.validation, "validation")
    with StopSignals() as interruption:
        setting = TrainingContext(
            spec=spec,
            train=train_split,
            validation=validation_split,
            sizes=sample_sizes(train_split, inputs),
            validation_sizes=sample_sizes(validation_split, inputs),
            objective=objective,
            forward=network,
            precision=precision,
            transfer=policy,
            saver=Saver(save),
            stopping=interruption.received,
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
        log(
            f"{'resuming' if found else 'training'}: {request.model.name}, {parameters:,} parameters, "
            f"{len(train_split):,} samples, {state.epoch} of {spec.epochs} epochs done, "
            f"{_device_name(device)}, {precision.format}"
        )
        begin = time.monotonic()
        before = state.seconds
        earlier = dict(state.watt_hours)
        with energy.EnergyMeter(_gpu_counter(device)) as meter:
            state.measure_energy = lambda: _added(earlier, meter.watt_hours())
            try:
                reason = fit(state, setting, ProgressReporter(sink, state, objective.metric, setting.total_steps))
            except Interrupted as error:
                error.next_step = f"`modelyard run {request.pipeline}` resumes from the checkpoint"
                raise
            seconds = before + time.monotonic() - begin
            watt_hours = _added(earlier, meter.watt_hours())
    used = {f"energy_wh/{source}": value for source, value in watt_hours.items()}
    sink.emit(Metrics(step=state.step, epoch=state.epoch, values={**used, "peak_memory_mb": _peak_memory_mb(device)}))
    sink.emit(Finished(epochs=state.epoch, kept_epoch=state.kept_epoch, reason=reason, seconds=seconds))
    last, metric = state.history[state.kept_epoch - 1], selection(objective).metric
    log(
        f"trained {state.epoch} epochs in {seconds:.1f} s; epoch {state.kept_epoch} is kept, "
        f"validation {metric.replace('_', ' ')} {last[f'validation/{metric}']:.4f}; {energy.text(watt_hours)}"
    )
    return state, start


def _gpu_counter(device: torch.device) -> Callable[[], float] | None:
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else energy.gpu_counter(f"GPU-{uuid}")


def _peak_memory_mb(device: torch.device) -> float:
    """The most memory that the process has had, in megabytes, and that of the GPU."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (host + (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0)) / 1e6


def _added(earlier: dict[str, float], since: dict[str, float]) -> dict[str, float]:
    """The energy by source, with that from before an interruption."""
    return {name: earlier.get(name, 0.0) + since.get(name, 0.0) for name in {**earlier, **since}}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
