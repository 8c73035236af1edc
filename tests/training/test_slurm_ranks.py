"""What the ranks of several nodes are told, what srun says of them, and which error is shown; no Slurm is needed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.contracts.runner_spec import NODES_VARIABLE, SlurmSpec
from components.contracts.training_request import TrainRequest
from components.core.errors import Interrupted, ModelyardError, StageKilled, TrainingError, UsageError
from components.core.stage_process import ERROR_FILE, OUTPUT_FILE
from components.training import common_checkpoint, slurm_rank_launcher, slurm_rank_process
from components.training.checkpoint import save_checkpoint
from components.training.rank_files import error_file, log_file
from components.training.ranks import ALONE, PEER_LOST, Ranks
from components.training.srun_output import SrunOutput
from flows.runners.slurm_engine import SlurmEngine
from tests.training.prepared_digits import TEXTBOOK

SLURM = {
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1", slurm_rank_process.PORT: "4000",
}  # fmt: skip


def test_a_rank_has_the_variables_of_torchrun(tmp_path: Path) -> None:
    found = slurm_rank_process.environment(tmp_path, SLURM)
    assert {name: found[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")} == {
        "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2",
    }  # fmt: skip
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("127.0.0.1", "4000")
    assert found[ERROR_FILE] == str(error_file(tmp_path, 3))
    assert found[OUTPUT_FILE] == str(log_file(tmp_path, 3))
    assert OUTPUT_FILE not in slurm_rank_process.environment(tmp_path, {**SLURM, "SLURM_PROCID": "0"})
    site = slurm_rank_process.environment(tmp_path, {**SLURM, "GLOO_SOCKET_IFNAME": "ib0"})
    assert "GLOO_SOCKET_IFNAME" not in site  # what a cluster's administrator has set stays


def test_an_interface_that_leads_to_another_node_comes_before_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil
    from psutil._ntuples import snicaddr

    def interfaces() -> dict[str, list[snicaddr]]:
        return {
            "lo": [snicaddr(socket.AF_INET, "127.0.0.1", None, None, None)],
            "ib0": [snicaddr(socket.AF_INET, "10.0.0.7", None, None, None)],
        }

    sources = {"node1": "127.0.1.1", "node2": "10.0.0.7", "127.0.0.1": "127.0.0.1"}
    monkeypatch.setattr(psutil, "net_if_addrs", interfaces)
    monkeypatch.setattr(slurm_rank_process, "_source", sources.get)
    assert slurm_rank_process.interface(["127.0.0.1", "node1", "node2"]) == "ib0"
    assert slurm_rank_process.interface(["127.0.0.1"]) == "lo"
    assert slurm_rank_process.interface(["nowhere"]) is None


def test_the_process_of_a_rank_starts_without_torch() -> None:
    code = "import sys, components.training.slurm_rank_process; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def _output(*lines: str) -> SrunOutput:
    output = SrunOutput(lambda _: None)
    for line in lines:
        output.take(line)
    return output


def test_srun_says_how_ranks_have_ended_in_the_order_of_their_ends() -> None:
    said: list[str] = []
    output = SrunOutput(said.append)
    for line in (
        "training: textbook",
        "srun: cluster configuration lacks support for cpu binding",
        "srun: error: n2: task 5: Segmentation fault (core dumped)",
        "srun: launch/slurm: _step_signal: Terminating StepId=1.0",
        "slurmstepd-n1: error: *** STEP 1.0 ON n1 CANCELLED AT 2026-11-30T06:18:26 ***",
        "srun: error: n1: tasks 0,2-3: Killed",
        "srun: error: n3: task 7: Exited with exit code 3",
        "srun: error: n3: task 8: Out Of Memory",
        "srun: error: Node failure on n4",
    ):
        output.take(line)
    assert said == ["training: textbook"]
    assert [(end.rank, end.node, end.code) for end in output.ends] == [
        (5, "n2", -11), (0, "n1", -9), (2, "n1", -9), (3, "n1", -9), (7, "n3", 3), (8, "n3", -9),
    ]  # fmt: skip
    assert [end.rank for end in output.ends if end.is_out_of_memory] == [8]
    assert output.failed_nodes == ["n4"]


@pytest.mark.parametrize(
    ("lines", "errors", "kind", "what", "where"),
    [
        (["n2: task 1: Killed", "n1: task 0: Killed"], {}, StageKilled,
         "process 1 of 2 of the training was killed", "node n2"),
        (["n1: task 0: Exited with exit code 1", "n2: task 1: Killed"], {0: TrainingError(PEER_LOST)}, StageKilled,
         "process 1 of 2 of the training was killed", "node n2"),
        (["n1: task 0: Exited with exit code 9", "n2: task 1: Killed"], {}, ModelyardError,
         "process 0 of 2 of the training failed", "node n1"),
        (["n2: task 1: Exited with exit code 1"], {1: TrainingError("not finite"), 0: TrainingError(PEER_LOST)},
         TrainingError, "not finite", None),
        (["n2: task 1: Out Of Memory", "n1: task 0: Killed"], {}, TrainingError,
         "the training is out of memory", "node n2"),
        (["Node failure on n2", "n1: task 0: Killed"], {}, StageKilled, "a node of the training failed", "node n2"),
        (["Unable to create step for job 1: Invalid"], {}, StageKilled,
         "the processes of the training did not run", None),
    ],
)  # fmt: skip
def test_the_error_is_that_of_the_first_rank_that_failed(
    tmp_path: Path, lines: list[str], errors: dict[int, ModelyardError], kind: type, what: str, where: str | None
) -> None:
    for rank, error in errors.items():
        error_file(tmp_path, rank).write_text(json.dumps(error.to_dict()))
    output = _output(*(f"srun: error: {line}" for line in lines))
    found = slurm_rank_launcher._error(_request(), tmp_path, output, 137, is_interrupted=False)
    assert (type(found), found.what, found.where) == (kind, what, where)


def test_a_stop_is_an_interruption_even_if_the_ranks_were_killed(tmp_path: Path) -> None:
    output = _output("srun: error: n2: task 1: Killed")
    found = slurm_rank_launcher._error(_request(), tmp_path, output, 137, is_interrupted=True)
    assert isinstance(found, Interrupted)


def test_processes_that_cannot_be_shared_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slurm_rank_launcher.nodes() == 1
    monkeypatch.setenv(NODES_VARIABLE, "3")
    with pytest.raises(UsageError, match="each node has as many"):
        slurm_rank_launcher.launch(_request())


def test_sbatch_is_asked_for_nodes_and_for_the_devices_of_each(tmp_path: Path) -> None:
    options = SlurmEngine(SlurmSpec(runner="slurm", nodes=2, gpus=4, cpus=8))._options(tmp_path, "job")
    assert {"--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=8", "--gpus-per-node=4"} <= set(options)
    alone = SlurmEngine(SlurmSpec(runner="slurm", gpus=4))._options(tmp_path, "job")
    assert "--gpus=4" in alone
    assert not any(option.startswith(("--nodes", "--ntasks", "--gpus-per-node")) for option in alone)


class _Second(Ranks):
    """A rank whose first rank has found a step."""

    def __init__(self, step: int, meanwhile: Callable[[], None]) -> None:
        super().__init__(1, 2)
        self._step, self._meanwhile = step, meanwhile

    def of_first(self, number: int) -> int:
        self._meanwhile()
        return self._step


def test_a_rank_waits_for_the_checkpoint_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_checkpoint, "POLL_SECONDS", 0.01)

    def save(step: int) -> None:
        save_checkpoint(tmp_path, "a", step, {}, {"step": step})

    assert common_checkpoint.load(tmp_path, "a", ALONE) is None
    save(5)
    found = common_checkpoint.load(tmp_path, "a", _Second(7, lambda: save(7)))
    assert found is not None
    assert found[1]["step"] == 7
    with pytest.raises(TrainingError, match="does not see the checkpoint") as caught:
        common_checkpoint.load(tmp_path, "a", _Second(9, lambda: None), wait_seconds=0.05)
    assert (caught.value.got, caught.value.expected) == ("step 7", "step 9")


def _request() -> TrainRequest:
    return TrainRequest.model_validate(
        {
            "pipeline": "digits", "train_fingerprint": "ab" * 32, "data_digest": "0" * 64, "prepared": "prepared",
            "run_folder": "run", "package": "package", "model": TEXTBOOK, "lineage": {},
            "train": {"processes": 2},
        }
    )  # fmt: skip
