"""The report of a refusal: says why and what to do, stands alone, and trusts no text."""

from __future__ import annotations

from pathlib import Path

from components.contracts.gate_request import GateEvidence
from components.gates import report, stage
from tests.gates.small_release import SmallRelease


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


def test_a_new_look_takes_the_place_of_the_old(release: SmallRelease) -> None:
    request = release.request(release.bundle("good"), None, ("floors",))
    for _ in range(2):
        stage.write(request, stage.check(request))
    assert sorted(path.name for path in Path(request.folder).iterdir()) == ["evidence.json", "report.html"]
    assert [path.name for path in Path(request.folder).parent.iterdir()] == [Path(request.folder).name]
