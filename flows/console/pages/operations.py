"""The pages of what goes on: runs with their stages, schedules, disk by kind."""

from __future__ import annotations

from typing import Any

from flows.console.sources import Sources
from flows.platform import connections

WAIT_SECONDS = 0.8


def runs(sources: Sources) -> dict[str, Any]:
    """The last runs of Prefect."""
    found = sources.runs.get(WAIT_SECONDS)
    return {
        "runs": found.value or [],
        "pending": found.pending and found.value is None,
        "url": connections.of(sources.project).prefect.page,
        "problems": [f"Prefect does not answer: {found.error}"] if found.error else [],
    }


def schedules(sources: Sources) -> dict[str, Any]:
    """The schedules that Prefect has of this project."""
    found = sources.deployments.get(WAIT_SECONDS)
    return {
        "schedules": found.value or [],
        "pending": found.pending and found.value is None,
        "problems": [f"Prefect does not answer: {found.error}"] if found.error else [],
    }


def disk(sources: Sources) -> dict[str, Any]:
    """What is on the disk, by kind."""
    found = sources.disk.get(WAIT_SECONDS)
    kinds = (found.value or {"kinds": []})["kinds"]
    return {
        "kinds": kinds,
        "bytes": sum(one["bytes"] for one in kinds),
        "largest": max((one["bytes"] for one in kinds), default=0),
        "age_seconds": found.age_seconds,
        "pending": found.pending and found.value is None,
        "problems": [f"The disk could not be read: {found.error}"] if found.error else [],
    }
