"""Trainers as processes, killed and stopped in mid-epoch: what comes out is the same, bit for bit."""

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

from components.core import stage_process
from components.core.errors import Interrupted, ModelyardError
from components.identity import manifest
from components.identity.package import Package
from tests.training.prepared_digits import prepare, request

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
EPOCHS, STEPS = 4, 40
HOST = stage_process.host_variable("training")


def _request(place: Path, run_folder: Path) -> Path:
    augment = {"shift_pixels": 1, "rotate_degrees": 10.0, "erase": 0.1, "rand_augment": {}, "mixup": 0.2, "cutmix": 1.0}
    asked = request(place / "prepared", run_folder, epochs=EPOCHS, batch_size=16, threads=2, augment=augment)
    path = run_folder.with_suffix(".json")
    path.write_text(asked.model_dump_json())
    return path


def _start(path: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "components.training", str(path)],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_until_step(process: subprocess.Popen[str], step: int) -> dict[str, object]:
    """The first event at or after a step; the process goes on."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, object] = json.loads(line)
        if event["event"] == "progress" and int(str(event["step"])) >= step:
            return event
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def _finish(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    said, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A process that has imported torch ahead and forks the stage."""
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/host"
        words = [sys.executable, "-m", "components.core.stage_process", place, "torch"]
        process = subprocess.Popen(words, cwd=ROOT)
        try:
            while not Path(place).exists():
                time.sleep(0.02)
            yield place
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, host: str) -> Path:
    """A folder with prepared data and `through`, a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("resume")
    prepare(folder / "prepared")
    _finish(_start(_request(folder, folder / "through"), **{HOST: host}))
    return folder


def test_killed_then_stopped_then_finished_in_a_host_is_as_if_nothing_had_happened(
    place: Path, host: str, tmp_path: Path
) -> None:
    through = place / "through"
    broken = place / "broken"
    path = _request(place, broken)
    process = _start(path)
    seen = _read_until_step(process, STEPS + STEPS // 2)
    process.kill()
    process.communicate()
    assert not (broken / "trained").exists()

    error_file = tmp_path / "error.json"
    process = _start(path, **{stage_process.ERROR_FILE: str(error_file)})
    first = json.loads(str(process.stdout and process.stdout.readline()))
    assert first["resumed"]
    assert 1 <= first["epoch"] <= int(str(seen["epoch"]))
    _read_until_step(process, first["step"] + 5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == Interrupted.exit_code
    error = ModelyardError.from_dict(json.loads(error_file.read_text()))
    assert isinstance(error, Interrupted)
    assert error.next_step == "`modelyard run digits` resumes from the checkpoint"
    stopped_at = int(str(error.where).rsplit(" ", 1)[1])

    events = _finish(_start(path, **{HOST: host}))
    assert events[0]["resumed"]
    assert events[0]["step"] == stopped_at
    assert events[-1]["event"] == "finished"
    assert manifest.verify(broken / "trained", "trained") == manifest.verify(through / "trained", "trained")


def test_the_trainer_imports_torch_and_nothing_else_that_is_heavy() -> None:
    heavy = ["torchvision", "sklearn", "pandas", "matplotlib", "tensorboard"]
    code = f"import sys, components.training.stage; print([name for name in {heavy} if name in sys.modules])"
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_evaluation_never_loads_torch(place: Path) -> None:
    code = "import sys; from components.evaluation.stage import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    words = [sys.executable, "-c", code, str(place / "through.json")]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
    assert Package.open(place / "through" / "package").metrics()["samples"] == 160
