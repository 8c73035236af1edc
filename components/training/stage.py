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
from components.contracts.training_request import (
    AUGMENTED_FILE,
    FIGURES_FILE,
    Finished,
    Metrics,
    Started,
    TrainingFigures,
    TrainRequest,
)
from components.core import atomic
from components.core.errors import Interrupted
from components.core.stage_process import die_with_parent
from components.training import (
    common_checkpoint,
    energy,
    memory_errors,
    rank_launcher,
    rate_range,
    slurm_rank_launcher,
    subset,
    tensorboard_details,
    transfer,
)
from components.training.agreement import AgreedSaver, Agreement
from components.training.allocator import keep_freed_memory
from components.training.assembly import assemble, device_name, fresh_network
from components.training.batches import on_device
from components.training.checkpoint import save_checkpoint
from components.training.interruption import StopSignals
from components.training.loop import TrainingContext, augmented, fit
from components.training.messages import log
from components.training.objectives.objective import selection
from components.training.precision import choose_compile
from components.training.prepared import Prepared, open_prepared
from components.training.product import finished_parts, read_golden, write_parts
from components.training.profiling import StepProfile
from components.training.ranks import ALONE, Ranks
from components.training.replication import align_buffers
from components.training.report import ProgressReporter
from components.training.run_lock import locked
from components.training.saver import Saver
from components.training.sinks import EventStream, Fanout, TensorBoardLog
from components.training.state import State
from components.training.tensorboard_details import TrainingDetails
from components.training.wandb_log import wandb_sinks


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
        if request.rates is not None:
            rate_range.run(request, _open_data(request))
            return
        if not request.parts and _has_figures(run_folder, request.train_fingerprint):
            log(f"trained already: {run_folder}")
            return
        if request.train.processes > 1 and slurm_rank_launcher.nodes() > 1:
            slurm_rank_launcher.launch(request)
        elif request.train.processes > 1:
            rank_launcher.launch(request)
        else:
            train_rank(request, sink)


def train_rank(request: TrainRequest, sink: MetricSink, ranks: Ranks = ALONE) -> None:
    """Train, or resume from a checkpoint, in a run folder that is locked; the first rank writes the result.

    Raises:
        ModelyardError: as of `train`.
    """
    run_folder = Path(request.run_folder)
    prepared = _open_data(request)
    tensorboard = TensorBoardLog(run_folder / "tensorboard")
    sinks = Fanout([sink, *wandb_sinks(request, run_folder)] if ranks.first else [sink])
    try:
        state, facts = _fit(request, prepared, sinks, tensorboard, ranks)
        ranks.leave()
        if ranks.first:
            _write(request, prepared, state, facts, tensorboard)
    finally:
        sinks.close()
        tensorboard.close()


def _write(
    request: TrainRequest, prepared: Prepared, state: State, facts: dict[str, Any] | None, tensorboard: TensorBoardLog
) -> None:
    """Write the figures and the parts of the package."""
    run_folder = Path(request.run_folder)
    network = fresh_network(request, prepared)
    transfer.begin(request.model.transfer, network)
    network.load_state_dict(state.kept)
    transfer.finish(network)
    _write_figures(run_folder, request.train_fingerprint, state, network)
    if not request.parts:
        return
    trained = run_folder / "trained"
    write_parts(trained, request, prepared, network, state.history, state.kept_epoch, facts)
    tensorboard_details.add_answers(tensorboard, read_golden(trained), state.step)


def _open_data(request: TrainRequest) -> Prepared:
    """The prepared data of a request, with the part of the train split that it asks for."""
    prepared = open_prepared(Path(request.prepared), request.data_digest)
    return subset.limit(prepared, request.train.samples, request.train.seed)


def _write_figures(run_folder: Path, train_fingerprint: str, state: State, network: nn.Module) -> None:
    figures = TrainingFigures(
        train_fingerprint=train_fingerprint,
        history=state.history,
        kept_epoch=state.kept_epoch,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        seconds=state.seconds,
    )
    atomic.write_text(run_folder / FIGURES_FILE, figures.model_dump_json())


def _has_figures(run_folder: Path, train_fingerprint: str) -> bool:
    try:
        figures = TrainingFigures.model_validate_json((run_folder / FIGURES_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return figures.train_fingerprint == train_fingerprint


def _fit(
    request: TrainRequest, prepared: Prepared, sink: MetricSink, tensorboard: TensorBoardLog, ranks: Ranks
) -> tuple[State, dict[str, Any] | None]:
    """The final state of the training, and facts of the pretrained weights."""
    checkpoints = Path(request.run_folder) / "checkpoints"
    device = device_name(ranks.device())
    with StopSignals() as interruption, memory_errors.reported(request.train, device):
        agreement = Agreement(ranks, interruption.received)
        stopping = agreement.stopping if ranks.several else interruption.received
        state, setting, start = assemble(request, prepared, stopping, ranks)
        found = common_checkpoint.load(checkpoints, request.train_fingerprint, ranks)
        if found:
            state.restore(*found)

        def save() -> None:
            align_buffers(state.network, ranks)
            dumped = state.dump()
            if ranks.first:
                save_checkpoint(checkpoints, request.train_fingerprint, state.step, *dumped)

        setting = setting._replace(saver=AgreedSaver(save, agreement) if ranks.several else Saver(save))
        if ranks.first:
            if not found:
                tensorboard_details.add_request(tensorboard, request)
                tensorboard_details.add_inputs(tensorboard, setting, prepared, state.step)
            # Weights that are split over the ranks can be read by all of them together alone.
            is_whole = request.train.sharding == "none"
            details = [TrainingDetails(tensorboard, state.network, request)] if is_whole else []
            sink = Fanout([sink, tensorboard, *details])
        _say_start(request, state, setting, sink, resumed=found is not None)
        if setting.spec.augment.active and request.parts:
            _draw_first_batch(Path(request.run_folder) / AUGMENTED_FILE, prepared, setting)
        begin = time.monotonic()
        before = state.seconds
        earlier = dict(state.watt_hours)
        with energy.EnergyMeter(_gpu_counter(setting.precision.device)) as meter:
            state.measure_energy = lambda: _added(earlier, _energy(meter, ranks))
            profile = _profile(request, setting) if ranks.first else None
            if profile is not None:
                setting = setting._replace(profile=profile)
            try:
                progress = ProgressReporter(sink, state, setting.objective.metric, setting.total_steps)
                reason = fit(state, setting, progress)
            except Interrupted as error:
                words = f"modelyard run {request.pipeline}{' --force train' if request.forced else ''}"
                error.next_step = f"`{words}` resumes from the checkpoint"
                raise
            finally:
                if profile is not None:
                    profile.close()
            seconds = state.seconds = before + time.monotonic() - begin
            watt_hours = _added(earlier, _energy(meter, ranks))
            if not request.parts:
                save()  # the state after the last epoch, from which a later request goes on
    used = {f"energy_wh/{source}": value for source, value in watt_hours.items()}
    used |= ranks.totals({"peak_memory_mb": _peak_memory_mb(setting.precision.device)})
    sink.emit(Metrics(step=state.step, epoch=state.epoch, values=used))
    sink.emit(Finished(epochs=state.epoch, kept_epoch=state.kept_epoch, reason=reason, seconds=seconds))
    last, metric = state.history[state.kept_epoch - 1], selection(setting.objective).metric
    log(
        f"trained {state.epoch} epochs in {seconds:.1f} s; epoch {state.kept_epoch} is kept, "
        f"validation {metric.replace('_', ' ')} {last[f'validation/{metric}']:.4f}; {energy.text(watt_hours)}"
    )
    return state, start


def _profile(request: TrainRequest, setting: TrainingContext) -> StepProfile | None:
    if not request.profile:
        return None
    folder, device = Path(request.run_folder), setting.precision.device
    return StepProfile(folder, device, setting.steps_per_epoch, setting.total_steps)


def _say_start(
    request: TrainRequest, state: State, setting: TrainingContext, sink: MetricSink, *, resumed: bool
) -> None:
    parameters = sum(parameter.numel() for parameter in state.network.parameters())
    device = device_name(setting.precision.device)
    sink.emit(
        Started(
            epoch=state.epoch,
            step=state.step,
            total_epochs=setting.spec.epochs,
            steps_per_epoch=setting.steps_per_epoch,
            parameters=parameters,
            device=device,
            precision=setting.precision.format,
            compiled=choose_compile(setting.spec.compile, setting.precision.device, setting.total_steps),
            resumed=resumed,
            history=state.history,
        )
    )
    log(
        f"{'resuming' if resumed else 'training'}: {request.model.name}, {parameters:,} parameters, "
        f"{len(setting.train):,} samples, {state.epoch} of {setting.spec.epochs} epochs done, "
        f"{f'{setting.ranks.size} x ' if setting.ranks.several else ''}{device}, {setting.precision.format}"
    )


def _draw_first_batch(path: Path, prepared: Prepared, setting: TrainingContext) -> None:
    """A picture of the first batch before and after its augmentation, if it has images or spectrograms."""
    from components.training.augmentation import preview  # with PIL, which nothing else here needs

    index = setting.epoch_batches(0).batch(0)
    batch = on_device(setting.train.batch(index), setting.precision.device)
    processor = prepared.processor
    if preview.draw(path, batch, augmented(batch, setting, 0), processor.inputs(), processor.input_spec()):
        log(f"the first batch before and after augmentation: {path}")


def _gpu_counter(device: torch.device) -> Callable[[], float] | None:
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else energy.gpu_counter(f"GPU-{uuid}")


def _energy(meter: energy.EnergyMeter, ranks: Ranks) -> dict[str, float]:
    """The energy of all ranks; a counter of a whole machine is read by the first rank there."""
    found = meter.watt_hours()
    own = {name: value if name != "rapl" or ranks.local_rank == 0 else 0.0 for name, value in found.items()}
    return ranks.totals(own)


def _peak_memory_mb(device: torch.device) -> float:
    """The most memory that the process has had, in megabytes, and that of the GPU."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (host + (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0)) / 1e6


def _added(earlier: dict[str, float], since: dict[str, float]) -> dict[str, float]:
    """The energy by source, with that from before an interruption."""
    return {name: earlier.get(name, 0.0) + since.get(name, 0.0) for name in {**earlier, **since}}
