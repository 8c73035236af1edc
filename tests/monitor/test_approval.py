"""An order that waits is carried out for the version that it is about, and for no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError, UsageError
from components.core.project import Project
from components.monitoring import orders, policy
from components.monitoring.policy import MonitorAlarm, MonitorOrder
from components.registry.api import Api
from components.release.production import PRODUCTION, Pin, Production
from flows.monitoring import look as looks
from flows.monitoring.context import MonitorContext

ROOT = Path(__file__).resolve().parents[2]
ALARM = MonitorAlarm("drift", "2026-11-29T13", "words have changed", "e" * 64)


@pytest.fixture
def context(tmp_path: Path) -> MonitorContext:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "digits.yaml").write_bytes((ROOT / "pipelines" / "digits.yaml").read_bytes())
    (tmp_path / "dvc.yaml").touch()
    project = Project(tmp_path)
    spec = located_yaml.read(project.pipeline_file("digits"), PipelineSpec)
    return MonitorContext(project, spec, Api("http://127.0.0.1:1", patience_seconds=0), lambda _: None, "anna")


def serve(context: MonitorContext, version: str) -> str:
    """A decision of the ledger that this version serves; the digest of its package."""
    pin = Pin(version=version, package_digest=version * 64, bundle=f"digits:{version}", bundle_digest=None)
    production = Production(champion=pin).model_dump(mode="json")
    context.ledger.append(
        "switching", release=f"r{version}", role="champion", before=None, after=pin.side, asked_by="anna",
        facts={PRODUCTION: production},
    )  # fmt: skip
    return pin.package_digest


def propose(context: MonitorContext, **facts: str) -> str:
    order = MonitorOrder(policy.order_id("digits", ALARM, "roll_back"), "roll_back", ALARM, "propose")
    context.record(orders.facts(order, "proposed", **facts))
    return order.id


def test_an_order_about_an_earlier_version_is_refused(context: MonitorContext) -> None:
    order = propose(context, package=serve(context, "1"))
    serve(context, "2")
    with pytest.raises(UsageError, match="about a version that serves no longer") as caught:
        looks.approve(context, order)
    assert "version 2" in str(caught.value.expected)
    assert [facts["state"] for _, facts in context.entries()] == ["proposed"]


def test_an_order_of_an_earlier_modelyard_is_held_against_its_window(context: MonitorContext) -> None:
    first = serve(context, "1")
    order = propose(context)
    window = context.project.monitoring("digits") / ALARM.window
    window.mkdir(parents=True)
    (window / "verdict.json").write_text(f'{{"package": "{first}"}}')
    serve(context, "2")
    with pytest.raises(UsageError, match="serves no longer"):
        looks.approve(context, order)


def test_one_about_the_present_version_is_carried_out_and_its_failure_is_recorded(context: MonitorContext) -> None:
    order = propose(context, package=serve(context, "1"))
    outcome = looks.approve(context, order)  # there is nothing to go back to
    assert outcome.failed
    states = [facts["state"] for _, facts in context.entries()]
    assert states == ["proposed", "ordered", "failed"]
    assert "attempt 1 of 3, the next look makes another" in outcome.text


def test_an_order_that_nobody_made(context: MonitorContext) -> None:
    with pytest.raises(NotFoundError, match="made no order"):
        looks.approve(context, "0" * 16)
