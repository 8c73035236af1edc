"""The best figure of versions that have served, from what the champion gate recorded in the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts.gate_request import ServedFigure
from components.release.ledger import Ledger, Role
from components.release.production import PRODUCTION
from flows.releases import served_figures
from tests.release.small_ledger import side, write

DATA = "d" * 64


def compared(ledger: Ledger, versions: tuple[str, str], figures: tuple[float, float], end: str, **other: Any) -> None:
    """A release from one version to the next, with their figures in the champion gate."""
    role: Role = other.pop("role", "champion")
    before, after = versions
    found = {"metric": "accuracy", "test_data": DATA, "champion": figures[0], "candidate": figures[1], **other}
    name = f"release-{after}"
    write(ledger, name, before, after, "asked", role=role)
    ledger.append(
        "gated", release=name, role=role, before=side(before), after=side(after), asked_by="", facts={
            "figures": {"champion": found},
        },
    )  # fmt: skip
    write(ledger, name, before, after, end, role=role)  # type: ignore[arg-type]


def test_only_versions_that_served_and_were_compared_on_this_data_count(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "digits")

    def best(*, higher_is_better: bool = True) -> ServedFigure | None:
        return served_figures.best(ledger.entries(), "accuracy", higher_is_better=higher_is_better, test_data=DATA)

    write(ledger, "first", None, "1", "asked", "gated", "served")  # nothing to compare with
    assert best() is None
    compared(ledger, ("1", "2"), (0.95, 0.94), "served")
    assert best() == ServedFigure(version="1", figure=0.95)
    compared(ledger, ("2", "3"), (0.94, 0.99), "refused")
    compared(ledger, ("2", "4"), (0.94, 0.99), "returned")
    compared(ledger, ("2", "5"), (0.90, 0.99), "served", test_data="e" * 64)
    compared(ledger, ("2", "6"), (0.90, 0.99), "served", metric="macro_f1")
    compared(ledger, ("2", "7"), (0.90, 0.99), "served", role="challenger")
    assert best() == ServedFigure(version="1", figure=0.95)
    compared(ledger, ("2", "8"), (0.94, 0.96), "served")
    assert best() == ServedFigure(version="8", figure=0.96)
    assert best(higher_is_better=False) == ServedFigure(version="2", figure=0.94)
    facts = {"going_back": True, PRODUCTION: {}}
    ledger.append("asked", release="back", role="champion", before=side("8"), after=side("1"), asked_by="", facts=facts)
    assert best() == ServedFigure(version="1", figure=0.95)  # a person went back from 8
