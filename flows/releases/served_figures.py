"""The best figure that a version which has served reached in the champion gate, from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from components.contracts.gate_request import ServedFigure
from components.release import history
from components.release.ledger import Entry


def best(entries: Sequence[Entry], metric: str, *, higher_is_better: bool, test_data: str) -> ServedFigure | None:
    """The best of the versions that were compared by this metric on this test data and have served as champion.

    A version that production was rolled back from does not count: a person found it bad, whatever its figure.

    Args:
        test_data: digest of the prepared data.
    """
    releases = history.releases(list(entries))
    left = {release.before.version for release in releases if release.before is not None and _is_rollback(release)}
    found = [
        figure
        for release in releases
        if release.role == "champion" and (gated := release.entry("gated")) is not None
        for figure in _figures(gated, release, metric, test_data)
        if figure.version not in left
    ]
    sign = 1 if higher_is_better else -1
    return max(found, key=lambda served: sign * served.figure, default=None)


def _is_rollback(release: history.Release) -> bool:
    return release.is_direct and bool(release.entries[0].facts.get("going_back"))


def _figures(gated: Entry, release: history.Release, metric: str, test_data: str) -> Iterator[ServedFigure]:
    """The figures of a comparison: of what served, and of the candidate if it came to serve."""
    compared: dict[str, Any] = (gated.facts.get("figures") or {}).get("champion") or {}
    if (compared.get("metric"), compared.get("test_data")) != (metric, test_data):
        return
    if release.before is not None:
        yield ServedFigure(version=release.before.version, figure=compared["champion"])
    if release.end is not None and release.end.event == "served" and release.after is not None:
        yield ServedFigure(version=release.after.version, figure=compared["candidate"])
