"""Where a batch is scored: as the pipeline says, else modelyard.toml; what cannot be is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import SpecError
from components.core.project import Project
from flows.scoring import placement

ROOT = Path(__file__).resolve().parents[2]
NIGHTLY = {"input": "rows.csv", "out": "scores/{date}", "schedule": {"cron": "0 2 * * *", "timezone": "UTC"}}


def spec(**overrides: Any) -> PipelineSpec:
    return located_yaml.read(ROOT / "pipelines" / "adult.yaml", PipelineSpec, overrides)


def test_the_pipeline_comes_before_the_settings_and_processes_before_both(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert placement.cluster(project, spec(), None) is None
    (tmp_path / "modelyard.toml").write_text("[run.score]\nrunner = 'dask'\nworkers = 3\n")
    found = placement.cluster(project, spec(), None)
    assert found is not None
    assert (found.cluster.workers, found.code) == (3, None)
    own = placement.cluster(project, spec(**{"run.score": {"runner": "dask", "workers": 2}}), None)
    assert own is not None
    assert own.cluster.workers == 2
    assert placement.cluster(project, spec(**{"run.score": {"runner": "local"}}), None) is None
    assert placement.cluster(project, spec(), 4) is None


def test_where_it_is_scored_changes_no_fingerprint() -> None:
    assert "score" not in spec().run.model_dump()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"run.score": {"runner": "pool", "pool": "a"}}, "runner: pool cannot run score; allowed: local, dask"),
        ({"run.score": {"runner": "dask", "partition_rows": 2048}}, "partition_rows is of prepare"),
        ({"run.score": {"runner": "dask"}, "score": {**NIGHTLY, "processes": 2}}, "name one of them"),
    ],
)
def test_what_cannot_be_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**overrides)
    assert message in "\n".join(caught.value.lines())
