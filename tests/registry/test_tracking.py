"""Runs that are logged side by side."""

from __future__ import annotations

from typing import Any, cast

import pytest

from components.registry import tracking
from components.registry.api import Api, TakenError


class Racing:
    """A registry in which another run logs the dataset a moment earlier, so many times."""

    def __init__(self, races: int) -> None:
        self.races = races
        self.logged: list[Any] = []

    def post(self, path: str, body: Any) -> dict[str, Any]:
        assert path == "runs/log-inputs"
        if self.races:
            self.races -= 1
            raise TakenError("UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest")
        self.logged.append(body)
        return {}


def test_a_dataset_that_another_run_logs_at_the_same_moment_is_logged_all_the_same() -> None:
    run = tracking.Run("r", "1", "mlflow-artifacts:/", "RUNNING", 0)
    registry = Racing(races=1)
    tracking.log_dataset(cast("Api", registry), run, "digits", "d" * 64, {"path": "p"}, "{}")
    assert [one["run_id"] for one in registry.logged] == ["r"]
    with pytest.raises(TakenError):
        tracking.log_dataset(cast("Api", Racing(races=2)), run, "digits", "d" * 64, {"path": "p"}, "{}")
