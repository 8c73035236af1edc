"""Models side by side: how sure a figure is, what is drawn and written, and who may stand beside whom."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from components.comparison import drawing, report, stage
from components.comparison.quality import quality, wilson
from components.contracts.comparison import ComparisonTable, Quality, Row

GOOD = ("cnn kim", "cnn", "kim", 0.8, 1_300_000, 29.5)


class Mean:
    """Scored by the mean of numbers, one a sample; samples may overlap."""

    not_finite = 0

    def __init__(self, values: Any, overlap: int = 1) -> None:
        self.values = np.asarray(values, np.float64)
        self.samples, self.overlap = len(self.values), overlap

    def figures(self) -> dict[str, float]:
        return {"mse": float(self.values.mean())}

    def resampled(self, metric: str, weights: Any) -> Any:
        return weights @ self.values / weights.sum(axis=1)


def row(name: str, family: str, architecture: str, value: float, parameters: int, seconds: float | None) -> Row:
    return Row(
        name=name,
        family=family,
        architecture=architecture,
        package=f".modelyard/packages/{architecture}",
        parameters=parameters,
        epochs=7,
        kept_epoch=5,
        training_seconds=seconds,
        samples_per_second=None if seconds is None else 7000 / seconds,
        bundle_bytes=None,
        quality=Quality(value=value, lower=value - 0.02, upper=value + 0.02),
        latency_ms=1.25,
        serves_bytes=parameters * 4,
    )


def table(*rows: Row, **changed: Any) -> ComparisonTable:
    facts: dict[str, Any] = {
        "title": "cnn <kim> · rnn gru on sst2",
        "dataset": "sst2",
        "task": "text-classification",
        "budget": "30 s of training, in whole epochs",
        "metric": "accuracy",
        "words": "share of samples that are right",
        "higher_is_better": True,
        "interval": "Wilson's score interval",
        "samples": 1821,
        "rows": list(rows),
        "failed": {},
    }
    return ComparisonTable(**{**facts, **changed})


@pytest.mark.parametrize(("right", "samples"), [(0, 5), (37, 50), (50, 50), (1478, 1821)])
def test_the_interval_of_a_share_is_scipys(right: int, samples: int) -> None:
    found = wilson(right / samples, samples)
    expected = stats.binomtest(right, samples).proportion_ci(0.95, method="wilson")
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.lower <= found.value <= found.upper


def test_the_bootstraps_interval_is_about_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = quality(Mean(values), "mse")  # type: ignore[arg-type]  # only what the bootstrap asks of a Scored
    half = 1.96 * values.std() / 20
    assert (found.lower, found.upper) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert found == quality(Mean(values), "mse")  # type: ignore[arg-type]  # the same seed


def test_overlapping_samples_are_worth_less() -> None:
    rough = np.random.default_rng(1).normal(0, 1, 430)
    values = np.convolve(rough, np.ones(31) / 31, "valid")  # windows of 31, each sharing with its neighbours
    apart, together = (quality(Mean(values, overlap), "mse") for overlap in (1, 31))  # type: ignore[arg-type]
    assert together.upper - together.lower > 3 * (apart.upper - apart.lower)


@pytest.mark.slow
def test_each_model_is_drawn_in_each_panel_that_has_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []
    annotate = drawing.Axes.annotate

    def noted(self: Any, text: str, xy: tuple[float, float], *rest: Any, **words: Any) -> Any:
        drawn.append((text, xy[0]))
        return annotate(self, text, xy, *rest, **words)

    monkeypatch.setattr(drawing.Axes, "annotate", noted)
    rows = (row(*GOOD), row("rnn gru", "rnn", "gru", 0.79, 2_500_000, None))
    picture = drawing.draw(table(*rows))
    assert picture == drawing.draw(table(*rows))
    first = drawn[: len(drawn) // 2]
    assert sorted(first) == sorted(
        [("cnn kim", x) for x in (1_300_000, 29.5, 1.25, 5.2)] + [("rnn gru", x) for x in (2_500_000, 1.25, 10.0)]
    )
    with Image.open(io.BytesIO(picture)) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 24) or ()}
    assert {(0x2F, 0x6F, 0xAB), (0xD9, 0x72, 0x2E)} <= colours  # a point of each family


@pytest.mark.slow
def test_names_of_equal_models_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets: list[float] = []
    annotate = drawing.Axes.annotate

    def noted(self: Any, text: str, xy: Any, offset: tuple[float, float], **words: Any) -> Any:
        offsets.append(offset[1])
        return annotate(self, text, xy, offset, **words)

    monkeypatch.setattr(drawing.Axes, "annotate", noted)
    drawing.draw(table(row(*GOOD), row("other", *GOOD[1:])))
    assert [b - a for a, b in zip(offsets[::2], offsets[1::2], strict=True)] == pytest.approx([11.0] * 4)


@pytest.mark.slow
def test_what_is_left_holds_every_figure(tmp_path: Path) -> None:
    rows = (row(*GOOD), row("rnn gru", "rnn", "gru", 0.79, 2_500_000, None))
    made = table(*rows, failed={"transformer <x>": "the loss is no longer a finite number"})
    stage.write_report(made, tmp_path / "compare")
    folder = tmp_path / "compare"
    assert {path.name for path in folder.iterdir()} == {"plot.png", "report.html", "table.csv", "table.json"}
    assert ComparisonTable.model_validate_json((folder / "table.json").read_bytes()) == made
    first, second = csv.DictReader((folder / "table.csv").read_text().splitlines())
    assert (first["name"], float(first["accuracy"]), float(first["accuracy_lower"])) == ("cnn kim", 0.8, 0.78)
    assert (second["training_seconds"], second["parameters"]) == ("", "2500000")
    page = (folder / "report.html").read_text()
    assert "cnn &lt;kim&gt;" in page
    assert "transformer &lt;x&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    for one in rows:
        assert all(f">{cell}</td>" in page for cell in report.cells(one)[1:])


def test_names_are_no_markup() -> None:
    script = """<script>alert(1)</script> & "quoted" 'text'"""
    named = row(script, script, script, 0.79, 2_500_000, None)
    texts = dict.fromkeys(("title", "dataset", "task", "budget", "metric", "words", "interval"), script)
    page = report.render(table(named, failed={script: script}, **texts), b"png")
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quoted&#34; &#39;text&#39;"
    assert "<script" not in page
    assert f"<td><b>{escaped}</b> <small>{escaped} {escaped}</small></td>" in page
    assert f"<p><b>{escaped}</b>: {escaped}</p>" in page
    assert page.count(f"<dd>{escaped}</dd>") == 3
    assert page.count(escaped) == 15


def test_the_weights_for_training_on_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    for name, size in {"model.onnx": 70, stage.WEIGHTS: 1000, "golden/0.txt": 5}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    assert stage.serves_bytes(SimpleNamespace(folder=tmp_path)) == 75  # type: ignore[arg-type]
