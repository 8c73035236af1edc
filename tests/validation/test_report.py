"""The page of a validation trusts no text of the data."""

from __future__ import annotations

from components.contracts.dataset import DatasetSpec
from components.validation import report
from components.validation.verdict import ExpectationResult, FailingSample, Verdict

SCRIPT = """<script>alert(1)</script> & "quoted" 'text'"""
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quoted&#34; &#39;text&#39;"
SPEC = {"name": "things", "task": "text-classification", "source": {"kind": "csv", "path": "x.csv", "text": "t"}}


def result(description: str = "", **changed: object) -> ExpectationResult:
    facts = {"observed": "2 failing", "failing": (), "failing_count": 0, "error": None, **changed}
    return ExpectationResult("expect_x", {"column": "width"}, description, False, **facts)  # type: ignore[arg-type]


def render(*results: ExpectationResult, previews: dict[str, bytes | str] | None = None, label: str = "a") -> str:
    spec = DatasetSpec.model_validate({**SPEC, "title": label})
    return report.render(spec, Verdict("raw", "ab" * 32, "cd" * 32, results), {label: {"train": 5}}, previews or {})


def test_texts_of_the_data_are_no_markup() -> None:
    failing = (FailingSample(SCRIPT, SCRIPT), FailingSample("2", None))
    results = (
        result(SCRIPT, failing=failing, failing_count=1_002),
        result(observed=SCRIPT),
        result(error=SCRIPT),
        result()._replace(type=SCRIPT, kwargs={"column": SCRIPT}),
    )
    page = render(*results, previews={SCRIPT: SCRIPT, "2": b"no image"}, label=SCRIPT)
    assert "<script" not in page
    assert f"<p>{ESCAPED}</p>" in page  # the dataset's title
    assert f"<title>{ESCAPED}, train: 5</title>" in page  # a label
    assert f"<td>{ESCAPED}<br><code>expect_x(column=&#34;width&#34;)</code></td>" in page
    assert page.count(f"<td>{ESCAPED}</td>") == 2  # observed, error
    assert f"<blockquote>{ESCAPED}</blockquote>" in page
    assert f"<figcaption>{ESCAPED}<br><b>{ESCAPED}</b></figcaption>" in page
    assert "<figcaption>2<br><b>null</b></figcaption>" in page
    assert "and 1,000 more" in page


def test_failed_expectations_come_first() -> None:
    page = render(result("is met")._replace(success=True), result("is not met"))
    assert page.index("is not met") < page.index("is met")
