"""The schedule of `score:`: the folder of a night, the last output, and the deployments."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.score_spec import ScoreOptions, ScoreSpec
from components.core import located_yaml
from components.core.errors import SpecError
from components.core.project import Project
from components.identity import manifest
from flows.scoring import nightly, schedule
from tests.pipelines.test_schedules import Busy, of

PIPELINE = (
    "name: d\ntask: image-classification\ndataset: digits\nmodel: {family: cnn, name: textbook}\n"
    "score: {input: in, out: 'scores/{date}', schedule: {cron: '0 2 * * *', timezone: Europe/Berlin}, max_errors: 5%}\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "pipelines" / "d.yaml").write_text(PIPELINE)
    return Project(tmp_path)


def spec_of(project: Project) -> ScoreSpec:
    found = located_yaml.read(project.pipeline_file("d"), PipelineSpec).score
    assert found is not None
    return found


def test_a_night_is_a_day_of_its_time_zone_and_the_last_whole_output_is_found(project: Project) -> None:
    spec = spec_of(project)
    out = nightly.folder(project, spec, datetime(2026, 11, 28, 23, 30, tzinfo=UTC))
    assert out == project.root / "scores" / "2026-11-29"
    for day in ("2026-11-26", "2026-11-27", "2026-11-28"):
        folder = project.root / "scores" / day
        folder.mkdir(parents=True)
        if day != "2026-11-28":  # killed
            manifest.seal(folder, "predictions", {})
    assert nightly.last(project, spec, out) == project.root / "scores" / "2026-11-27"
    assert nightly.last(project, spec, project.root / "scores" / "2026-11-27") == project.root / "scores" / "2026-11-26"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("scores/{date}", "scores", "{date}"),
        ("5%", "many", "share"),
        ("0 2 * * *", "0 26 * * *", "cron"),
        ("input: in", "input: []", "names nothing"),
        ("input: in", "inputs: in", "unknown key"),
    ],
)
def test_what_does_not_fit_is_refused(before: str, after: str, told: str, project: Project) -> None:
    project.pipeline_file("d").write_text(PIPELINE.replace(before, after))
    with pytest.raises(SpecError, match="problem") as caught:
        spec_of(project)
    assert told in str(caught.value)


def test_limits_of_errors_are_numbers_or_shares() -> None:
    limits = {ScoreOptions(max_errors=value).allowed_errors(1000) for value in ("1%", 10, "10", "1.0 %")}
    assert limits == {10}
    assert ScoreOptions(max_errors=0).allowed_errors(10) == 0
    assert ScoreOptions().allowed_errors(99) == 0


def test_a_pipeline_without_score_has_the_same_document_as_before(project: Project) -> None:
    text = PIPELINE.partition("score:")[0]
    project.pipeline_file("d").write_text(text)
    document = located_yaml.read(project.pipeline_file("d"), PipelineSpec).model_dump(mode="json")
    assert "score" not in document


def test_deployments_are_registered_and_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    with Busy() as busy:
        thread = threading.Thread(target=busy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            (added,) = schedule.SCHEDULE.register(project, of(busy))
            assert (added.pipeline, added.cron, added.timezone, added.done) == (
                "d (score)", "0 2 * * *", "Europe/Berlin", "added",
            )  # fmt: skip
            known: dict[str, Any] = {"id": "1", "parameters": {"name": "d"}, "schedules": []}
            busy.present["d"] = known
            project.pipeline_file("d").write_text(PIPELINE.partition("score:")[0])
            (removed,) = schedule.SCHEDULE.register(project, of(busy))
            assert removed.done == "removed"
            assert "DELETE /deployments/1" in busy.requests
        finally:
            busy.shutdown()
            thread.join()
