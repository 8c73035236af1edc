"""The report of a refusal: says why and what to do, stands alone, and trusts no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.gate_request import GateEvidence, GateResult
from components.contracts.pipeline import FloorSpec
from components.evaluation.comparison import ChampionComparison, Pairs, SliceDifference
from components.gates import report, stage
from components.gates.findings import Findings
from components.gates.floors import Floor
from components.gates.latency import EndpointLatency
from components.gates.parity import Parity, ParityRow
from tests.gates.small_release import SmallRelease


@pytest.mark.slow
def test_a_refusal_says_why_and_what_to_do(release: SmallRelease) -> None:
    request = release.request(release.bundle("bad", seed=3), release.bundle("one", "1"), ("floors", "champion"))
    findings = stage.check(request)
    stage.write(request, findings)
    page = (Path(request.folder) / "report.html").read_text()
    evidence = GateEvidence.model_validate_json((Path(request.folder) / "evidence.json").read_bytes())
    assert not evidence.passed
    assert page.index("What to do: ") < page.index("<h2>Gates</h2>")
    assert page.count("What to do: ") == 2
    assert page.count("✗</td><td><b>") == 2
    assert "src=" not in page.replace('src="data:image/png;base64,', "")
    assert "<script" not in page
    assert (Path(request.folder) / "comparison.png").stat().st_size > 1000


def test_what_was_not_asked_is_said(release: SmallRelease) -> None:
    request = release.request(release.bundle("boasting", figures={"accuracy": 0.99}))
    page = report.render(request, stage.check(request))
    assert "Not asked after that: floors, champion, parity." in page


def test_names_are_no_markup(release: SmallRelease) -> None:
    candidate = release.bundle("odd").model_copy(update={"name": "<script>", "version": "<b>"})
    request = release.request(candidate, None, ("floors",))
    page = report.render(request, stage.check(request))
    assert "<script" not in page
    assert "<b>2" not in page


def test_texts_of_data_and_answers_are_no_markup(release: SmallRelease) -> None:
    script = """<script>alert(1)</script> & "quoted" 'text'"""
    request = release.request(release.bundle("odd"), release.bundle("one", "1"), ("floors", "champion"))
    slices = [SliceDifference(script, 10, 0.9, 0.8, 0.1)]
    result = GateResult(
        gate="floors",
        passed=False,
        figures={script: script},
        limit=script,
        reason=f"{script}\n{script}",
        next_step=script,
    )
    findings = Findings(
        results=[result],
        floors=[Floor(script, script, 10, 0.5, FloorSpec(min=0.9))] * (report.MOST_ROWS + 2),
        comparison=ChampionComparison(
            script, True, 10, 0.9, 0.8, 0.0, 0.2, 0.0, 0.95, True, 100, 0.01, Pairs(1, 2, 3, 4), slices
        ),
        parity=Parity([ParityRow(script, script, script, script, script, 0.5, True)], []),
        latency=[EndpointLatency(script, [1.0, 2.0], 0)],
        pictures={"champion": b"png", "latency": b"png"},
    )
    page = report.render(request, findings)
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quoted&#34; &#39;text&#39;"
    assert "<script" not in page
    assert f"<li><b>floors</b>: {escaped}<pre>{escaped}</pre>" in page
    assert f"<code>{escaped} {escaped}</code></td><td>{escaped}</td>" in page
    # Metric and slice of each floor that is shown, the class, the five texts of parity, the endpoint, the limit.
    assert page.count(f"<td>{escaped}</td>") == 2 * report.MOST_ROWS + 1 + 5 + 1 + 1
    assert page.count("and 2 more") == 1
    assert page.count('src="data:image/png;base64,') == 2


def test_a_new_look_takes_the_place_of_the_old(release: SmallRelease) -> None:
    request = release.request(release.bundle("good"), None, ("floors",))
    for _ in range(2):
        stage.write(request, stage.check(request))
    assert sorted(path.name for path in Path(request.folder).iterdir()) == ["evidence.json", "report.html"]
    assert [path.name for path in Path(request.folder).parent.iterdir()] == [Path(request.folder).name]
