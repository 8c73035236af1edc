"""What the controller asks of a service that does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from components.contracts.serving_spec import ServiceStatus
from components.core.project import Project
from flows.releases import observation
from flows.releases.observation import Observer
from flows.serving_targets.local_target import LocalServingTarget


class Silent(LocalServingTarget):
    """A service that answers when it is told to; notes for how long it was waited for."""

    asked: ClassVar[list[float]] = []
    answer: ServiceStatus | None = None

    def status(self, timeout_seconds: float = 5.0) -> ServiceStatus | None:
        """The answer."""
        self.asked.append(timeout_seconds)
        return self.answer


def test_other_models_wait_once_for_a_service_that_is_silent(tmp_path: Path) -> None:
    project = Project(tmp_path)
    observer = Observer(project, "digits")
    service = Silent(project, "digits")
    observer._service = (0, service)  # there is no modelyard.toml
    for _ in range(3):
        assert observer.situation({}).observed is None
    assert service.asked == [observation.STATUS_SECONDS, *[observation.SILENT_STATUS_SECONDS] * 2]
    Silent.answer = ServiceStatus(model="digits", expected=1, workers=[])
    observer.situation({})
    observer.situation({})
    assert service.asked[-2:] == [observation.SILENT_STATUS_SECONDS, observation.STATUS_SECONDS]
