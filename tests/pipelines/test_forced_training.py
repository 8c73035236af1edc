"""Which call goes on with a forced training that was interrupted."""

from __future__ import annotations

from pathlib import Path

from components.contracts.training_request import TrainRequest
from flows.pipelines import stage_requests


def test_only_a_forced_training_without_its_result_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    assert not stage_requests.forced_and_interrupted(folder)  # nothing began here
    document = {
        "pipeline": "digits", "train_fingerprint": "ab" * 32, "data_digest": "0" * 64, "lineage": {}, "prepared": "p",
        "run_folder": "r", "package": "k", "model": {"family": "cnn", "name": "textbook"}, "train": {},
    }  # fmt: skip
    for forced in (False, True):
        whole = TrainRequest.model_validate({**document, "forced": forced})
        (folder / "request.json").write_text(whole.model_dump_json())
        assert ("forced" in whole.model_dump()) is forced  # a plain request is as it was
        assert not stage_requests.forced_and_interrupted(folder)  # without a checkpoint there is nothing to go on from
    (folder / "checkpoints" / "step-1.json").touch()
    assert stage_requests.forced_and_interrupted(folder)
    (folder / "trained").mkdir()
    (folder / "trained" / "manifest.json").touch()
    assert not stage_requests.forced_and_interrupted(folder)
