"""Trainings in several processes: real ranks over gloo, killed, interrupted, and moved to another number of ranks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from components.contracts.training_request import TrainRequest
from components.core import stage_process
from components.core.errors import Interrupted, ModelyardError, StageKilled
from components.identity import manifest
from tests.training.prepared_digits import TEXTBOOK, prepare, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
HOST = stage_process.host_variable("training")
STEPS = 11  # of an epoch: the last batch has 10 samples, five for each of two ranks
MARK = "MODELYARD_TEST_REQUEST"  # tells the ranks of one training from those of others on the machine
PLAIN = {**TEXTBOOK, "dropout": 0.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with prepared data; the processes of the module fork from one that has imported torch."""
    folder = tmp_path_factory.mktemp("processes")
    prepare(folder / "prepared")
    with tempfile.TemporaryDirectory() as sockets, pytest.MonkeyPatch.context() as patch:
        socket = f"{sockets}/host"
        host = subprocess.Popen(
            [sys.executable, "-m", "components.core.stage_process", socket, "torch._dynamo"], cwd=ROOT
        )
        patch.setenv(HOST, socket)
        try:
            while not Path(socket).exists():
                time.sleep(0.02)
            yield folder
        finally:
            host.terminate()
            host.wait()


def _request(place: Path, name: str, **train: object) -> Path:
    settings = {"epochs": 4, "batch_size": 63, "threads": 2, "model": PLAIN, **train}
    asked: TrainRequest = request(place / "prepared", place / name, **settings)  # type: ignore[arg-type]
    path = place / f"{name}.json"
    path.write_text(asked.model_dump_json())
    return path


def _start(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "components.training", str(path)],
        cwd=ROOT,
        env={**os.environ, stage_process.ERROR_FILE: str(path.with_suffix(".error")), MARK: str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _train(path: Path) -> list[dict[str, object]]:
    output, messages = (process := _start(path)).communicate(timeout=120)
    assert process.returncode == 0, messages
    return [json.loads(line) for line in output.splitlines()]


def _error(path: Path) -> ModelyardError:
    return ModelyardError.from_dict(json.loads(path.with_suffix(".error").read_text()))


def _history(path: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((path.with_suffix("") / "trained" / "history.json").read_text())["epochs"]
    return rows


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path.with_suffix("") / "trained" / "model.safetensors")


def _assert_same_training(path: Path, other: Path) -> None:
    for row, expected in zip(_history(path), _history(other), strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=2e-3)
    for name, value in _weights(other).items():
        torch.testing.assert_close(_weights(path)[name], value, rtol=1e-2, atol=2e-3, msg=name)


def _wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] >= step:
            return
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def _ranks(path: Path) -> list[int]:
    """The process ids of the ranks of a training, in their order."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
            variables = (folder / "environ").read_text().split("\0")
        except OSError:
            continue
        if "components.training.rank_process" not in words:
            continue
        values = dict(variable.partition("=")[::2] for variable in variables)
        if values.get(MARK) == str(path):
            found[int(values["RANK"])] = int(folder.name)
    return [found[rank] for rank in sorted(found)]


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    """A training in one process, with class weights."""
    path = _request(place, "alone", class_weights="balanced")
    _train(path)
    return path


def test_two_processes_train_as_one(place: Path, alone: Path) -> None:
    path = _request(place, "two", class_weights="balanced", processes=2)
    events = _train(path)
    assert [event["event"] for event in events].count("started") == 1
    assert events[0]["steps_per_epoch"] == STEPS
    _assert_same_training(path, alone)


def test_a_checkpoint_of_two_with_split_weights_goes_on_in_one_and_back(place: Path, alone: Path) -> None:
    path = _request(place, "moved", class_weights="balanced", processes=2, sharding="fsdp2")
    process = _start(path)
    _wait_for_step(process, 3)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == Interrupted.exit_code, messages
    assert isinstance(_error(path), Interrupted)

    _request(place, "moved", class_weights="balanced")
    process = _start(path)
    assert process.stdout is not None
    process.stdout.readline()  # it has begun; what is left may take less than the time between two progress events
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert isinstance(_error(path), Interrupted)

    _request(place, "moved", class_weights="balanced", processes=2, sharding="fsdp2")
    events = _train(path)
    assert events[0]["resumed"]
    _assert_same_training(path, alone)


def test_a_killed_rank_ends_the_training_and_the_next_goes_on_bit_for_bit(place: Path) -> None:
    settings = {"processes": 2, "epochs": 8, "augment": {"shift_pixels": 1}, "model": TEXTBOOK}
    through = _request(place, "through", **settings)
    _train(through)
    path = _request(place, "broken", **settings)
    process = _start(path)
    _wait_for_step(process, 2 * STEPS)
    os.kill(_ranks(path)[1], signal.SIGKILL)
    begin = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    error = _error(path)
    assert isinstance(error, StageKilled)
    assert error.lines()[:2] == ["process 1 of 2 of the training was killed", "  got:      SIGKILL"]
    assert not _ranks(path)

    assert _train(path)[0]["resumed"]
    assert manifest.verify(path.with_suffix("") / "trained", "trained") == manifest.verify(
        through.with_suffix("") / "trained", "trained"
    )


def test_torchrun_itself_may_start_the_ranks(place: Path) -> None:
    path = _request(place, "torchrun", processes=2, epochs=1)
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "0"]
    subprocess.run(
        [sys.executable, "-m", *words, "-m", "components.training.rank_process", str(path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert len(_history(path)) == 1
