"""A registry that is away does not stop a training; what it missed is kept, and said at the end."""

from __future__ import annotations

import pytest

from components.contracts.errors import RegistryError
from components.contracts.training_request import Metrics
from components.registry.api import Api
from components.registry.tracking import Run, RunSink


def test_metrics_are_kept_while_the_registry_is_away() -> None:
    with Api("http://127.0.0.1:9", patience_seconds=0.2) as api:
        sink = RunSink(api, Run("r", "1", "", "RUNNING", 0), interval_seconds=0)
        for step in range(2):
            sink.emit(Metrics(step=step, epoch=0, values={"train/loss": 1.0}))
        with pytest.raises(RegistryError, match="does not answer"):
            sink.close()
