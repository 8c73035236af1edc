"""Everything a training needs, made from its request: network, optimizer, objective, data, precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from components.contracts.training_request import TrainRequest
from components.core.errors import UsageError
from components.models.build import build
from components.training import hub_tokenizer, pretrained, replication, transfer
from components.training.activation_checkpointing import checkpoint_blocks
from components.training.batches import sample_sizes
from components.training.ema import WeightAverage
from components.training.loop import TrainingContext
from components.training.objectives.objective import Objective, open_objective, training_split
from components.training.optimizer import build_optimizer
from components.training.precision import choose_compile, choose_precision
from components.training.prepared import Prepared
from components.training.randomness import seed_all
from components.training.ranked_objective import RankedObjective
from components.training.ranks import ALONE, Ranks
from components.training.sampling import classes_to_balance
from components.training.saver import Saver
from components.training.schedule import check_warmup
from components.training.state import State
from components.training.synced_batch_norm import synchronise


def assemble(
    request: TrainRequest, prepared: Prepared, stopping: Callable[[], bool], ranks: Ranks = ALONE
) -> tuple[State, TrainingContext, dict[str, Any] | None]:
    """The state before the first batch, what does not change, and facts of the pretrained weights.

    Args:
        stopping: whether the training should stop.
        ranks: the processes of the training, each of which calls this.
    """
    spec = request.train
    device = ranks.device()
    threads = ranks.threads(spec.threads, request.cores)
    if threads is not None:
        torch.set_num_threads(threads)  # else torch's default: all cores, or OMP_NUM_THREADS
    objective = open_objective(prepared.task.objective, spec, prepared)
    seed_all(spec.seed, deterministic=spec.deterministic)
    network = fresh_network(request, prepared)
    hub_tokenizer.check(request.model, prepared.processor)
    input_spec = prepared.processor.input_spec()
    start = pretrained.start(request.model, network, request.pretrained_folder, input_spec)
    policy = transfer.begin(request.model.transfer, network)
    if spec.gradient_checkpointing:
        checkpoint_blocks(network)
    network = network.to(device)
    if ranks.several:
        synchronise(network, ranks.total)
    if spec.sharding == "fsdp2":
        replication.shard(network, ranks, device)
    elif input_spec.channels_last:
        # Images have this format on disk, and convolutions are as fast or faster (textbook of depth 3 and width 32 at
        # 28x28 on two AVX2 cores: 421 samples/s against 194; resnets equal).
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    precision = choose_precision(spec.precision, device)
    state = State(network, build_optimizer(spec, network, policy.factors()), precision.scaler())
    if spec.ema is not None:
        state.average = WeightAverage(spec.ema, network)
    inputs = prepared.processor.inputs()
    train_split = training_split(objective, prepared.train, "train")
    validation_split = training_split(objective, prepared.validation, "validation")
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
        saver=Saver(_unsaved),
        stopping=stopping,
        classes=classes_to_balance(spec, train_split),
    )
    check_warmup(spec, setting.total_steps)
    if choose_compile(spec.compile, device, setting.total_steps):
        setting = setting._replace(forward=torch.compile(network))
    if ranks.several:
        setting = _shared(setting, ranks)
    return state, setting, start


def _shared(setting: TrainingContext, ranks: Ranks) -> TrainingContext:
    """The setting of one of several ranks.

    Raises:
        UsageError: the train split has fewer samples than ranks.
    """
    if len(setting.train) < ranks.size:
        raise UsageError(
            "the train split has fewer samples than the training has processes",
            where="train.processes",
            got=ranks.size,
            expected=f"at most {len(setting.train)}",
            next_step="lower train.processes",
        )
    if setting.spec.sharding == "none":
        network = cast(nn.Module, setting.forward)  # or its compiled form
        setting = setting._replace(forward=replication.replicate(network, setting.precision.device))
    return setting._replace(objective=cast(Objective, RankedObjective(setting.objective, ranks)), ranks=ranks)


def fresh_network(request: TrainRequest, prepared: Prepared) -> nn.Module:
    """The network of a request for a dataset, on the CPU, with random weights."""
    return build(request.model, prepared.processor.input_spec(), prepared.processor.output_spec())


def device_name(device: torch.device) -> str:
    """A device's name for messages."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _unsaved() -> None:
    """Before a training has a place for its checkpoints, nothing is saved."""
