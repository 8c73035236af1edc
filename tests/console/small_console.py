"""A console over a small project whose every text is hostile, without servers beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from components.access import project_door, secret
from components.core.project import Project
from components.release.ledger import Event, Ledger, VersionRef
from flows.console import app

HOSTILE = '<script>document.title="caught"</script>"\'><img src=x onerror=alert(1)>'
MODEL = "digits"
PIPELINE = "name: {name}\ntask: image-classification\ndataset: digits\nmodel: {{family: cnn, name: textbook}}\n"


def make_project(root: Path) -> Project:
    """Two pipelines, one with releases; texts of people and gates are `HOSTILE`."""
    project = Project(root)
    project.pipelines.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    for name in (MODEL, "quiet"):
        project.pipeline_file(name).write_text(PIPELINE.format(name=name))
    project.state.mkdir(mode=0o700)
    secret.create_once(project_door.secret_file(project))
    ledger = Ledger(project.ledger, MODEL)
    release(
        ledger, "0123456789aa", None, "1", "asked", "verified", "bundled", "gated", "switching", "switched", "served"
    )
    release(
        ledger, "0123456789ab", "1", "2", "asked", "verified", "bundled", "gated", "switching", "switched", "served"
    )
    release(ledger, "0123456789ac", "2", "3", "asked", "refusing", "refused")
    dataset = project.dataset("digits")
    dataset.mkdir(parents=True)
    (dataset / "dataset.yaml").write_text(json.dumps({"title": HOSTILE, "task": "image-classification"}))
    reports = project.reports("digits")
    reports.mkdir(parents=True)
    (reports / "raw.json").write_text(json.dumps({"results": [{"success": True}, {"success": False}]}))
    (reports / "raw.html").write_text(f"<h1>report</h1>{HOSTILE}")
    window = project.state / "monitoring" / MODEL / "2026-11-29T13"
    window.mkdir(parents=True)
    column = {"column": HOSTILE, "test": "ks", "p_value": 0.001, "psi": 0.3, "jensen_shannon": 0.1}
    (window / "verdict.json").write_text(json.dumps({"alarms": [HOSTILE], "columns": [column]}))
    return project


def release(ledger: Ledger, identity: str, before: str | None, after: str, *events: Event) -> None:
    """The entries of one release, with what a real one has in its facts."""
    pin = {"version": after, "package_digest": after * 64, "bundle": f"{ledger.model}:{after * 12}",
           "bundle_digest": after * 64}  # fmt: skip
    facts = {
        "asked": {"how": HOSTILE, "known_by": HOSTILE, "flow_run": "javascript:alert(1)"},
        "gated": {"evidence": after * 64, "figures": {"accuracy": {"reason": HOSTILE, "limit": "at least 0.9"}}},
        "switching": {"production": {"champion": pin}},
        "refusing": {"results": [{"gate": "parity", "passed": False, "reason": HOSTILE, "limit": "1e-4"}]},
        "refused": {"reason": HOSTILE, "report": "javascript:alert(1)"},
    }
    for event in events:
        ledger.append(
            event,
            release=identity,
            role="champion",
            before=None if before is None else VersionRef(version=before, package_digest=before * 64),
            after=VersionRef(version=after, package_digest=after * 64),
            asked_by=HOSTILE,
            facts=facts.get(event, {}),
        )


@contextmanager
def opened(project: Project) -> Iterator[TestClient]:
    """A client of the console without its door; redirects are not followed."""
    known = project_door.secret_of(project)
    assert known is not None
    with TestClient(app.application_of(project, known), follow_redirects=False) as client:
        yield client
