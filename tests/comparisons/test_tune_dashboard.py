"""optuna-dashboard on a study, behind the door."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from components.access import project_door, secret
from components.core.errors import StackError
from components.core.project import Project
from components.tuning.record import StudyRecord
from flows.comparisons.tuning import dashboard


@pytest.mark.slow
def test_the_owner_sees_the_studies_and_nobody_else(tmp_path: Path) -> None:
    project = Project(tmp_path)
    url = f"sqlite:///{tmp_path / 's.db'}"
    record = StudyRecord(url, "a-study", ["maximize"])
    record.close()
    with pytest.raises(StackError):
        dashboard.application(project, url)
    secret.create(project_door.secret_file(project))
    known = project_door.secret_of(project)
    assert known is not None
    client = TestClient(dashboard.application(project, url), base_url="http://127.0.0.1")
    assert client.get("/api/studies").status_code == httpx.codes.UNAUTHORIZED
    answer = client.get("/api/studies", headers=secret.Credentials("me", known).headers)
    assert [study["study_name"] for study in answer.json()["study_summaries"]] == ["a-study"]
