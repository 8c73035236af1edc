"""The device and the threads that graphs run on; no machine of the tests has a GPU: its absence is tested."""

import json
import logging
from pathlib import Path

import pytest

from components.core.errors import ServingError
from components.inference import runtime
from components.inference.predictor import Predictor
from serving import loaded
from serving.settings import ServingSettings
from tests import small_package
from tests.serving.service import running


def test_auto_falls_back_to_the_processor_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    package = small_package.build(tmp_path / "package")
    with caplog.at_level(logging.INFO, "bentoml.modelyard"):
        predictor = Predictor(package, device="auto", threads=2)
    assert predictor.device == "cpu"
    assert "serving.device is auto: the processor is used, this onnxruntime has only" in caplog.text


def test_the_options_of_a_session(tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package")
    options = runtime.session(package.graph(), threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_cuda_that_is_not_there_ends_the_start_with_what_to_do(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "1")
    settings = json.loads((tmp_path / "serving.json").read_text())
    (tmp_path / "serving.json").write_text(json.dumps({**settings, "device": "cuda"}))
    with pytest.raises(ServingError, match="there is no CUDA here") as caught:
        loaded.own(tmp_path)
    assert "CPUExecutionProvider" in str(caught.value.got)
    assert "serving.device: auto" in str(caught.value.next_step)


def test_a_provider_that_does_not_start_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own check drops a provider that it lacks, as it drops one whose CUDA libraries are missing."""
    package = small_package.build(tmp_path / "package")
    monkeypatch.setattr(runtime.onnxruntime, "get_available_providers", lambda: [runtime.CUDA, runtime.CPU])
    monkeypatch.setattr(runtime.onnxruntime, "preload_dlls", lambda: None)
    assert dict(runtime._cuda("cuda", 512))[runtime.CUDA]["gpu_mem_limit"] == str(512 * 1024 * 1024)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert Predictor(package, device="auto").device == "cpu"
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(ServingError, match="no CUDA here"):
        Predictor(package, device="cuda")


def test_the_service_uses_its_settings_and_says_its_device(tmp_path: Path) -> None:
    small_package.bundle(tmp_path, "1")
    settings = json.loads((tmp_path / "serving.json").read_text())
    assert ServingSettings.load(tmp_path).threads == 1  # bundles of before
    (tmp_path / "serving.json").write_text(json.dumps({**settings, "threads": 2, "batch_size": 3}))
    predictor = loaded.own(tmp_path).predictor
    assert predictor._graphs["model"]._session.get_session_options().intra_op_num_threads == 2
    with running(tmp_path, None) as service:
        document = service.client.get("/model").json()
        champion = service.worker.slot_manager.current.champion
    assert champion is not None
    assert champion.batcher is not None
    assert champion.batcher._most == 3
    assert (document["device"], document["graphs_are_int8"]) == ("cpu", False)
