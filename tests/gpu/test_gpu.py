"""Trainings on one GPU: every family in bf16 with export and parity, compiled, resumed, moved, without memory.

`make test-gpu` runs these in a few minutes. Without a GPU they are skipped; MODELYARD_TEST_DEVICE=cpu runs the same
tests on the CPU, in about five minutes, which checks the tests themselves.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from components.contracts.training_request import Started, TrainRequest
from components.core.errors import Interrupted, TrainingError
from components.identity import manifest
from components.training import stage
from components.training.interruption import StopSignals
from components.training.objectives.classification import ClassificationObjective
from components.training.sinks import EventStream
from tests.training import prepared_digits, prepared_task, small_cases

ON_CPU = os.environ.get("MODELYARD_TEST_DEVICE") == "cpu"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ON_CPU and not torch.cuda.is_available(),
        reason="no GPU is here; MODELYARD_TEST_DEVICE=cpu runs the test on the CPU",
    ),
]
DIGITS: dict[str, dict[str, Any]] = {
    "textbook": prepared_digits.TEXTBOOK,
    "resnet": {"family": "cnn", "name": "resnet", "depth": 8, "width": 8},
    "resnet-imagenet": {"family": "cnn", "name": "resnet-imagenet", "depth": 18},
    "convnext": {"family": "cnn", "name": "convnext", "depths": [1, 1], "widths": [8, 16], "patch": 2},
    "vit": {"family": "transformer", "name": "vit", "patch": 2, "depth": 2, "width": 16, "heads": 2},
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "kim": ("lstm", {"family": "cnn", "name": "kim", "embedding": 16, "filters": 8}),
    "bert": ("lstm", {"family": "transformer", "name": "bert", "depth": 2, "width": 16, "heads": 2}),
    "mamba": ("lstm", {"family": "state-space", "name": "mamba", "depth": 1, "width": 16}),
    "yolos": (
        "detector",
        {"family": "transformer", "name": "yolos", "patch": 8, "depth": 2, "width": 16, "heads": 2, "tokens": 8},
    ),
    "patchtst": ("forecast", {"family": "transformer", "name": "patchtst", "patch": 8, "stride": 4, "width": 16}),
    "dlinear": ("forecast", {"family": "linear", "name": "dlinear"}),
    "series-cnn": ("series", {"family": "cnn", "name": "series-cnn"}),
}
FAMILIES = (*DIGITS, *small_cases.CASES, *OTHERS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The prepared dataset of a case, made once."""
    folder = tmp_path_factory.mktemp("data")

    def prepared(case: str) -> Path:
        if not (folder / case).exists():
            if case == "digits":
                prepared_digits.prepare(folder / case)
            else:
                prepared_task.prepare(folder / case, *small_cases.CASES[case][:2])
        return folder / case

    return prepared


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Threads and determinism as they were."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def _request(data: Callable[[str], Path], family: str, run: Path, **train: Any) -> TrainRequest:
    if family in DIGITS:
        return prepared_digits.request(data("digits"), run, model=DIGITS[family], **train)
    case, model = OTHERS.get(family, (family, None))
    asked = small_cases.request(data(case), run, case, **train)
    if model is None:
        return asked
    return TrainRequest.model_validate({**asked.model_dump(mode="json"), "model": model})


def _train(request: TrainRequest) -> dict[str, Tensor]:
    """The trained weights; the graphs have been compared with the network."""
    stream = io.StringIO()
    stage.train(request, EventStream(stream))
    started = Started.model_validate_json(stream.getvalue().splitlines()[0])
    assert (started.device == "cpu") is not torch.cuda.is_available()
    if request.train.precision != "auto":
        assert started.precision == request.train.precision
    trained = Path(request.run_folder) / "trained"
    manifest.verify(trained, "trained")
    for row in json.loads((trained / "history.json").read_text())["epochs"]:
        assert all(math.isfinite(value) for value in row.values())
    return safetensors.torch.load_file(trained / "model.safetensors")


def _stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    asked = iter(range(1, 1_000_000))
    patch.setattr(StopSignals, "received", lambda _: next(asked) == steps)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_in_bf16_and_its_export_agrees(
    family: str, data: Callable[[str], Path], tmp_path: Path
) -> None:
    """With reproducible kernels alone, the default: an operation without one raises RuntimeError."""
    _train(_request(data, family, tmp_path / "run", epochs=1, precision="bf16"))


@pytest.mark.parametrize("family", ["textbook", "encoder", "yolos"])
def test_fp16_with_scaled_gradients(family: str, data: Callable[[str], Path], tmp_path: Path) -> None:
    _train(_request(data, family, tmp_path / "run", epochs=1, precision="fp16"))


def test_compiled_is_the_same_training(data: Callable[[str], Path], tmp_path: Path) -> None:
    settings = {"epochs": 1, "precision": "fp32"}
    plain = _train(_request(data, "textbook", tmp_path / "plain", compile="off", **settings))
    compiled = _train(_request(data, "textbook", tmp_path / "compiled", compile="on", **settings))
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=0.05, atol=0.02, msg=name)


@pytest.mark.parametrize("family", ["textbook", "decoder", "detector"])
def test_stopped_and_resumed_is_the_same_bit_for_bit(
    family: str, data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So two trainings with one seed are the same too: the switch `deterministic`."""
    through = _train(_request(data, family, tmp_path / "through", epochs=2))
    broken = _request(data, family, tmp_path / "broken", epochs=2)
    with monkeypatch.context() as patch:
        _stop_after(patch, 13)
        with pytest.raises(Interrupted):
            _train(broken)
    torch.rand(17, device="cpu" if ON_CPU else "cuda")
    resumed = _train(broken)
    assert all(torch.equal(resumed[name], value) for name, value in through.items())


@pytest.mark.parametrize("begin_on_gpu", [True, False])
def test_a_checkpoint_moves_between_gpu_and_cpu(
    begin_on_gpu: bool, data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _request(data, "textbook", tmp_path / "run", epochs=2, precision="fp32")

    def go(on_gpu: bool) -> None:
        with monkeypatch.context() as patch:
            if not on_gpu:
                patch.setattr(torch.cuda, "is_available", lambda: False)
            if on_gpu is begin_on_gpu:
                _stop_after(patch, 13)
                with pytest.raises(Interrupted):
                    _train(request)
            else:
                _train(request)

    go(begin_on_gpu)
    go(not begin_on_gpu)
    reference = _train(_request(data, "textbook", tmp_path / "reference", epochs=2, precision="fp32"))
    found = safetensors.torch.load_file(tmp_path / "run" / "trained" / "model.safetensors")
    if ON_CPU:
        assert all(torch.equal(found[name], value) for name, value in reference.items())
    assert found.keys() == reference.keys()


def test_without_memory_the_error_names_a_smaller_batch(
    data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An allocation in the step that the device refuses."""
    step = ClassificationObjective.step

    def greedy(self: ClassificationObjective, forward: Any, batch: dict[str, Tensor], *rest: Any, **named: Any) -> Any:
        torch.ones(1 << 46, device=batch["images"].device)  # 256 TiB
        return step(self, forward, batch, *rest, **named)

    monkeypatch.setattr(ClassificationObjective, "step", greedy)
    with pytest.raises(TrainingError, match="out of memory") as found:
        _train(_request(data, "textbook", tmp_path / "run", batch_size=64))
    if torch.cuda.is_available():
        assert isinstance(found.value.__cause__, torch.OutOfMemoryError)
    assert "train.batch_size: 32" in str(found.value.next_step)
