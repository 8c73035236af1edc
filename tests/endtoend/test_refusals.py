"""A failing suite stops the pipeline with exit 3, keeps what was good, and leaves a report that shows the samples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.house import House
from tests.prefect_api import ask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def outcome(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.json("run", "digits")
    return found


def manifests(house: House) -> dict[str, str]:
    folder = house.project.dataset("digits")
    return {kind: (folder / kind / "manifest.json").read_text() for kind in ("raw", "validated", "prepared")}


@pytest.mark.parametrize(
    ("part", "expectation"),
    [
        ("raw", {"type": "expect_column_values_to_be_between", "kwargs": {"column": "mean", "max_value": 90}}),
        ("prepared", {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "label", "value_set": ["0"]}}),
    ],
)
def test_red_data_is_refused_and_shown(
    house: House, outcome: dict[str, Any], part: str, expectation: dict[str, Any]
) -> None:
    suite = house.root / "data" / "digits" / "expectations.json"
    before, stood = suite.read_text(), manifests(house)
    document = json.loads(before)
    document[part].append({**expectation, "description": "a test's own expectation"})
    suite.write_text(json.dumps(document))
    try:
        done = house.run("run", "digits", check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert f"expectations of {part} data are not met" in done.stderr
        assert manifests(house) == stood
        report = (house.project.reports("digits") / f"{part}.html").read_text()
        assert "own expectation" in report
        assert "data:image/png;base64," in report
        assert "<script" not in report
        artifact = latest_report(house)
        assert "NOT met" in artifact
        assert "Failing samples" in artifact
    finally:
        suite.write_text(before)
    after = house.json("run", "digits")
    assert (after["version"], after["package"]) == (outcome["version"], outcome["package"])


def latest_report(house: House) -> str:
    services = {service["name"]: service for service in house.json_of_status()}
    asked = {"artifacts": {"key": {"any_": ["digits-data-report"]}}, "sort": "CREATED_DESC", "limit": 1}
    found = ask(house, "POST", f"{services['prefect']['url']}/api/artifacts/filter", asked)
    return str(found[0]["data"])
