"""What the ranks of a training share out, without starting any."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.distributed.elastic.multiprocessing.api import ProcessFailure, RunProcsResult

from components.contracts.train_spec import TrainSpec
from components.core.errors import Interrupted, ModelyardError, StageKilled, TrainingError, UsageError
from components.training import rank_launcher
from components.training.batches import epoch_batches, steps_per_epoch
from components.training.objectives.objective import StepResult
from components.training.ranked_objective import RankedObjective
from components.training.ranks import ALONE, PEER_LOST, Ranks, check_devices
from components.training.replication import _blocks


def test_the_shares_of_a_batch_are_the_batch() -> None:
    index = np.arange(11)
    shares = [Ranks(rank, 3).share(index) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == index.tolist()
    assert {len(share) for share in shares} == {3, 4}
    assert ALONE.share(index) is index


@pytest.mark.parametrize("batches", [1, 2, 5, 6])
def test_every_batch_of_an_evaluation_counts_once_and_the_ranks_compute_as_many(batches: int) -> None:
    begins = range(0, 10 * batches, 10)
    turns = [list(Ranks(rank, 3).turns(begins)) for rank in range(3)]
    assert len({len(own) for own in turns}) == 1
    assert sorted(begin for own in turns for begin, weight in own if weight) == list(begins)
    assert list(ALONE.turns(begins)) == [(begin, 1.0) for begin in begins]


def test_a_last_batch_that_leaves_a_rank_without_samples_is_left_out() -> None:
    assert steps_per_epoch(10, 8) == steps_per_epoch(10, 8, processes=2) == 2
    assert steps_per_epoch(10, 8, processes=3) == 1
    assert len(epoch_batches(10, 8, 0, 0, processes=3)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 8, "batch_size": 4}, "8 processes cannot share a batch_size of 4"),
        ({"sharding": "fsdp2"}, "sharding needs several processes"),
        ({"sharding": "fsdp2", "processes": 2, "precision": "fp16"}, "use bf16"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate(settings)


def test_one_process_is_in_no_fingerprint() -> None:
    assert not {"processes", "sharding"} & TrainSpec().model_dump().keys()
    assert TrainSpec(processes=2).model_dump()["processes"] == 2


def test_fewer_gpus_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_devices(1)
    with pytest.raises(UsageError, match="fewer GPUs"):
        check_devices(2)


def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.training.ranks.usable_cores", lambda: 8)
    assert Ranks(0, 2).threads() == 4
    assert Ranks(0, 2).threads(6, 7) == 3
    assert Ranks(0, 16).threads() == 1
    assert ALONE.threads() is None
    assert ALONE.threads(3, 2) == 2


def test_threads_are_those_of_all_ranks_and_cores_those_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.training.ranks.usable_cores", lambda: 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of four, on two machines
    assert Ranks(0, 4).threads() == 4
    assert Ranks(0, 4).threads(4) == 1
    assert Ranks(0, 4).threads(64, 6) == 3


def test_the_gradients_average_is_that_of_the_whole_batch_with_unequal_shares() -> None:
    """Two ranks in turn: the sums of both are known from a first pass, as an all-reduce gives them."""

    class MeanOfTokens:
        def step(
            self, forward: nn.Module, batch: dict[str, torch.Tensor], generator: torch.Generator, *, training: bool
        ) -> StepResult:
            losses = forward(batch["x"])[batch["counted"]].square()
            count = batch["counted"].sum()
            return StepResult(losses.mean(), losses.detach().sum(), count)

    torch.manual_seed(0)
    network, x, counted = nn.Linear(3, 1), torch.randn(7, 3), torch.tensor([1, 0, 1, 1, 1, 0, 1], dtype=torch.bool)
    expected = network(x)[counted].square().mean()
    expected.backward()  # type: ignore[no-untyped-call]
    reference = network.weight.grad.clone()  # type: ignore[union-attr]
    seen: list[torch.Tensor] = []
    gradients = []
    for add in (seen.append, None):
        for rank in range(2):
            ranks = Ranks(rank, 2)
            ranks.total = lambda sums: add(sums) or sums if add else seen[0] + seen[1]  # type: ignore[method-assign]  # noqa: B023
            network.zero_grad()
            batch = {"x": x[rank::2], "counted": counted[rank::2]}
            objective = RankedObjective(MeanOfTokens(), ranks)  # type: ignore[arg-type]
            step = objective.step(network, batch, torch.Generator(), training=True)
            step.loss.backward()  # type: ignore[no-untyped-call]
            gradients.append(network.weight.grad.clone())  # type: ignore[union-attr]
    torch.testing.assert_close((gradients[2] + gradients[3]) / 2, reference)
    assert step.loss.item() == pytest.approx(expected.item())
    assert step.count == 5


def test_the_ranks_draw_other_numbers_and_each_the_same_again() -> None:
    draws = []
    for rank in (0, 1, 0):
        Ranks(rank, 2).seed(7)
        draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_what_is_split_over_the_ranks_block_by_block_shares_no_weight() -> None:
    network = nn.ModuleDict({"layers": nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in range(3))})
    network["head"] = nn.Linear(2, 2)
    network["head"].weight = network["layers"][2][0].weight  # type: ignore[index]
    assert _blocks(network) == list(network["layers"])[:2]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("codes", "errors", "kind", "what"),
    [
        ({1: -9, 0: 1}, {0: TrainingError(PEER_LOST)}, StageKilled, "process 1 of 2 of the training was killed"),
        ({1: 137, 0: 130}, {0: Interrupted("stopped")}, StageKilled, "process 1 of 2 of the training was killed"),
        ({0: 1, 1: 1}, {1: TrainingError("not finite"), 0: TrainingError(PEER_LOST)}, TrainingError, "not finite"),
        ({0: 1, 1: -15}, {}, ModelyardError, "process 0 of 2 of the training failed"),
    ],
)  # fmt: skip
def test_the_error_is_that_of_the_rank_that_failed_first(
    tmp_path: Path, codes: dict[int, int], errors: dict[int, ModelyardError], kind: type[ModelyardError], what: str
) -> None:
    for rank, error in errors.items():
        (tmp_path / f"error-{rank}.json").write_text(json.dumps(error.to_dict()))
    failures = {rank: ProcessFailure(rank, 100 + rank, code, "") for rank, code in codes.items()}
    found = rank_launcher._error(RunProcsResult(failures=failures), tmp_path, 2, is_interrupted=False)
    assert type(found) is kind
    assert found.what == what


def test_a_signal_is_forwarded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(rank_launcher.os, "kill", lambda process, number: sent.append((process, number)))
    results = [None, None, RunProcsResult()]
    context = SimpleNamespace(wait=lambda **_: results.pop(0), pids=lambda: {0: 5, 1: 6})
    rank_launcher._wait(context, SimpleNamespace(received=lambda: True))  # type: ignore[arg-type]
    assert sent == [(5, signal.SIGINT), (6, signal.SIGINT)]
