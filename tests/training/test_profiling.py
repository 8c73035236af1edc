"""A profiled training: the same package, a trace with the parts of the steps, and a table whose shares add up."""

import gzip
import io
import json
from pathlib import Path

import pytest
import torch

from components.identity import manifest
from components.training import stage
from components.training.profiling import StepProfile
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", ["never", "always"])
def test_the_profile_says_where_the_time_goes_and_changes_nothing(
    tmp_path: Path, prefetch: str, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "prepared")
    for name, profile in (("plain", False), ("profiled", True)):
        own = request(tmp_path / "prepared", tmp_path / name, prefetch=prefetch, augment={"flip": True})
        stage.train(own.model_copy(update={"profile": profile}), EventStream(io.StringIO()))
    digests = [manifest.load(tmp_path / name / "trained", "trained").digest for name in ("plain", "profiled")]
    assert digests[0] == digests[1]
    assert not (tmp_path / "plain" / "profile").exists()
    folder = tmp_path / "profiled" / "profile"
    trace = json.loads(gzip.decompress((folder / "trace.json.gz").read_bytes()))
    events = [event.get("name") for event in trace["traceEvents"]]
    assert {"forward", "backward", "optimizer"} <= set(events)
    assert events.count("forward") == 5
    assert "aten::" in (folder / "operators.txt").read_text()
    assert list((tmp_path / "profiled" / "tensorboard").glob("*.pt.trace.json.gz"))
    document = json.loads((folder / "sections.json").read_text())
    rows = {row["section"]: row for row in document["sections"] if row["share"] is not None}
    assert {"waiting for data", "forward", "backward", "optimizer", "evaluation", "other"} <= rows.keys()
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1, abs=0.02)
    assert rows["forward"]["share"] + rows["backward"]["share"] > 0.1
    beside = {row["section"] for row in document["sections"] if row["share"] is None}
    assert beside == ({"data", "augmentation"} if prefetch == "always" else set())
    assert (rows.keys() >= {"data", "augmentation"}) is (prefetch == "never")
    assert "where the time goes" in capfd.readouterr().err


def test_a_training_of_few_steps_has_a_profile_too(tmp_path: Path) -> None:
    profile = StepProfile(tmp_path, torch.device("cpu"), steps_per_epoch=2, total_steps=2)
    for _ in range(2):
        with profile.section("forward"):
            torch.ones(3).sum()
        profile.step()
    profile.close()
    assert json.loads((tmp_path / "profile" / "sections.json").read_text())["steps"] == 1
