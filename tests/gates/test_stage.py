"""The stage as the flow calls it, with real endpoints: a good package passes, each planted fault is refused."""

from __future__ import annotations

import html.parser
import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.contracts.budget_spec import BudgetSpec
from components.contracts.gate_request import GateEvidence, GateRequest, GateResult
from components.contracts.pipeline import LatencySpec
from components.gates import evidence, stage
from tests.gates.small_release import SmallRelease

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def refused_by_parity(request: GateRequest) -> GateResult:
    (result,) = stage.check(request).results
    assert result.gate == "parity"
    assert not result.passed
    assert result.next_step
    return result


def test_a_good_package_passes_every_gate_and_leaves_its_evidence(served: SmallRelease, tmp_path: Path) -> None:
    champion = served.bundle("champion", "1", train_fingerprint="9" * 64)
    request = served.request(
        served.bundle("good"),
        champion,
        ("integrity", "floors", "champion", "parity", "latency", "budget"),
        latency=LatencySpec(p99_ms=30_000, max_ratio=1_000, connections=2, seconds=1),
    ).model_copy(update={"budget": BudgetSpec(latency_ms=30_000, bundle_mb=100)})
    (tmp_path / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.gates", str(tmp_path / "request.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "every gate passed" in done.stderr
    folder = Path(request.folder)
    document = GateEvidence.model_validate_json((folder / "evidence.json").read_bytes())
    assert document.passed
    assert document.key == evidence.key(request)
    results = {result.gate: result for result in document.results}
    assert list(results) == request.asked
    assert float(results["parity"].figures["max_difference"]) < 1e-5
    assert results["parity"].figures["answers"] == 12  # three golden examples of one size, four ways
    assert int(results["latency"].figures["candidate_requests"]) > 0
    assert int(results["latency"].figures["champion_requests"]) > 0
    assert results["budget"].figures["latency_p99_ms"] == results["latency"].figures["candidate_p99_ms"]
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / document.report).read_text()
    html.parser.HTMLParser().feed(page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png;base64") == 2


def test_wrong_normalisation_in_the_graph_is_refused(served: SmallRelease) -> None:
    request = served.request(served.bundle("dark", graph_scale=1 / 2550), None, ("parity",))
    result = refused_by_parity(request)
    assert "otherwise than in training" in result.reason


def test_wrong_label_order_is_refused(served: SmallRelease) -> None:
    request = served.request(served.bundle("swapped", signature_classes=["light", "dark", "left"]), None, ("parity",))
    result = refused_by_parity(request)
    assert "light is the training's dark" in result.reason


def test_answers_that_are_no_numbers_are_refused(served: SmallRelease) -> None:
    request = served.request(served.bundle("nan", nan_above=0.2), None, ("floors", "parity"))
    floors, parity = stage.check(request).results
    assert floors.passed  # the test split has no image as bright as the golden ones
    assert not parity.passed
    assert "finite" in parity.reason


def test_a_tampered_bundle_is_refused_before_anything_of_it_runs(served: SmallRelease, tmp_path: Path) -> None:
    candidate = served.bundle("tampered")
    trace = tmp_path / "ran"
    service = Path(candidate.bundle) / "src" / "serving" / "service.py"
    service.write_text(f"open({str(trace)!r}, 'w').close()\n" + service.read_text())
    request = served.request(candidate)
    findings = stage.check(request)
    stage.write(request, findings)
    assert [(result.gate, result.passed) for result in findings.results] == [("integrity", False)]
    assert "serving/service.py" in findings.results[0].reason
    assert not trace.exists()
    written = json.loads((Path(request.folder) / "evidence.json").read_bytes())
    assert [result["gate"] for result in written["results"]] == ["integrity"]
