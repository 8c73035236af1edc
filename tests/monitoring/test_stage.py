"""The stage `monitoring` on a real table, a real package and a log as workers write it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.contracts.drift_request import DriftRequest
from components.contracts.monitor_spec import MonitorLimits, MonitorSpec
from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, begin_of, hour_of
from components.core.errors import UsageError
from components.identity import manifest
from components.identity.package import Package
from components.inference import embedding_summary
from components.inference.predictor import Predictor
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.tasks import input_rows
from tests.serving import packages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # of Great Expectations and what it imports, with pandas 3; nothing that we could do
        "ignore::DeprecationWarning",
        "ignore::FutureWarning",
    ),
]

ROOT = Path(__file__).resolve().parents[2]
START = begin_of("2026-11-01T00")
LATER = START + 40 * 86_400
DATASET = """name: people
task: tabular-classification
source: {path: table.csv, kind: csv, numbers: [age, height], categories: [town], label: l}
split: {validation: 0.4, test: 0.2, near_duplicates: ignore}
input: {may_be_missing: [height]}
"""
BETWEEN = "expect_column_values_to_be_between"
SUITE = {
    "raw": [
        {
            "type": BETWEEN,
            "kwargs": {"column": "row.age", "min_value": 0, "max_value": 90},
            "description": "age as seen",
        },
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "row.age", "min_value": 36, "max_value": 44}},
        {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1500}},
    ],
    "prepared": [{"type": BETWEEN, "kwargs": {"column": "missing_values", "max_value": 2}}],
}  # fmt: skip


def people(rng: np.random.Generator, count: int, age: float = 40) -> list[dict[str, Any]]:
    return [
        {
            "age": round(float(rng.normal(age, 10)), 1),
            "height": None if rng.random() < 0.1 else round(float(rng.normal(1.7, 0.1)), 2),
            "town": str(rng.choice(["Bonn", "Ulm"])),
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = root / "data/people"
        folder.mkdir(parents=True)
        table = pd.DataFrame(people(np.random.default_rng(0), 1500))
        table["l"] = np.where(table["age"] > 45, "yes", "no")
        table.to_csv(folder / "table.csv", index=False)
        (folder / "dataset.yaml").write_text(DATASET)
        (folder / "expectations.json").write_text(json.dumps(SUITE))
        ingestion.main(["data/people"])
        raw = manifest.load(folder / "raw", "raw").digest
        (folder / "validated").mkdir()
        manifest.seal(folder / "validated", "validated", {"success": True, "raw_digest": raw})
        preparation.main(["data/people"])
        (root / ".modelyard/staging/people/prepared").rename(folder / "prepared")
        packages.table(root / ".modelyard/packages/p")
        sealed = root / ".modelyard/packages/p/package"
        facts = manifest.load(sealed, "package").facts
        (sealed / "manifest.json").unlink()
        shutil.copyfile(folder / "prepared/processor.json", sealed / "processor.json")
        data = manifest.load(folder / "prepared", "prepared").digest
        manifest.seal(sealed, "package", {**facts, "data_digest": data})
        sealed.rename(root / ".modelyard/packages/q")
        yield root


def answer(root: Path, log: Path, hour: int, rows: list[dict[str, Any]]) -> list[str]:
    """The block that a worker writes of these requests."""
    predictor = Predictor(Package.open(root / ".modelyard/packages/q"))
    samples = predictor.read(rows)
    begin = START + 3600 * hour
    ids = [f"{int(begin):08x}-{hour:08x}{number:08x}" for number in range(len(rows))]
    document = {
        "format": BLOCK_FORMAT, "model": "people", "version": "1", "package": predictor.package.digest,
        "role": "champion", "id": ids, "index": [0] * len(rows), "time": [begin + 1.0] * len(rows),
        "latency_ms": [1.0] * len(rows), "output": predictor.answer(samples),
        "rows": {
            **input_rows.rows(predictor.task, predictor.processor, rows, samples),
            **embedding_summary.columns("embedding.", predictor.embed(samples)),
        },
    }  # fmt: skip
    path = log / OPEN / hour_of(begin) / "1-a.predictions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) + "\n")
    return ids


def request(log: Path, **more: Any) -> DriftRequest:
    monitor = MonitorSpec(**more.pop("monitor", {}))
    return DriftRequest(
        model="people", log=str(log), dataset="data/people", packages=[".modelyard/packages"],
        references=".modelyard/references", target=str(log / "judged"), monitor=monitor, **more,
    )  # fmt: skip


def judge(log: Path, **more: Any) -> list[str]:
    from components.monitoring import sealing, stage

    sealing.seal_closed(log, LATER)
    (log / "judged").mkdir(exist_ok=True)
    return stage.run(request(log, **more), LATER)


def verdicts(log: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((log / "judged").glob("*/verdict.json"))]


def test_a_change_is_an_alarm_once_and_each_window_is_judged_once(project: Path, tmp_path: Path) -> None:
    from components.contracts.prediction_log import FEEDBACK

    rng = np.random.default_rng(1)
    for hour in range(2):
        answer(project, tmp_path, hour, people(rng, 80))
    assert judge(tmp_path) == [f"2026-11-01T{hour:02}" for hour in range(2)]
    quiet = verdicts(tmp_path)
    assert not any(one["alarm"] for one in quiet)
    assert quiet[0]["expectations_met"] == "3 of 3"  # the number of all samples is not asked of a window
    assert quiet[0]["missed_share"] == 0
    assert {one["column"] for one in quiet[0]["columns"]} >= {"raw.row.age", "output.label", "output.confidence"}
    assert judge(tmp_path) == []
    ids = answer(project, tmp_path, 2, people(rng, 80, age=60))
    assert judge(tmp_path) == ["2026-11-01T02"]
    last = verdicts(tmp_path)[-1]
    assert last["alarm"]
    assert last["monitor"]["alarm"]["began"] == "2026-11-01T02"
    assert "raw.row.age" in last["reasons"][0]
    assert "raw.row.age" in last["different"]
    assert any(name.startswith("embedding.projection_") for name in last["different"])
    kinds = {one["column"]: one["kind"] for one in last["columns"]}
    assert {name: kind for name, kind in kinds.items() if name.startswith("embedding.")} == dict.fromkeys(
        ["embedding.norm", *(f"embedding.projection_{number}" for number in range(1, 5))], "number"
    )
    assert last["expectations_met"] == "2 of 3"
    assert last["multivariate"]["domain_classifier"]["statistic"] > 0.8
    assert last["quality"]["doubts"]
    page = (tmp_path / "judged/2026-11-01T02/report.html").read_text()
    assert "data:image/png" in page
    assert "http" not in page.replace("http-equiv", "")
    manifest.verify(tmp_path / "judged/2026-11-01T02", "monitoring")

    truths = tmp_path / OPEN / hour_of(LATER) / f"1-a{FEEDBACK}"
    truths.parent.mkdir(parents=True)
    told = [{"id": one, "index": 0, "truth": "yes", "at": None, "arrived": LATER} for one in ids[:40]]
    truths.write_text("".join(json.dumps(one) + "\n" for one in told))
    assert judge(tmp_path) == ["2026-11-01T02"]  # its truths are new; the windows before it have none
    last = verdicts(tmp_path)[-1]
    assert last["live"][0]["samples"] == 40
    assert last["labels"]["p_value"] < 0.01


def test_a_look_that_finds_nothing_new_loads_nothing_that_judges(project: Path, tmp_path: Path) -> None:
    answer(project, tmp_path, 0, people(np.random.default_rng(3), 60))
    assert judge(tmp_path) == ["2026-11-01T00"]
    file = tmp_path / "request.json"
    file.write_text(request(tmp_path).model_dump_json())
    heavy = ["great_expectations", "scipy.stats", "sklearn", "matplotlib", "torch"]
    found = f"[name for name in {heavy} if name in sys.modules]"
    code = f"import sys; from components.monitoring.stage import main; main(sys.argv[1:]); print({found})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    look = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(look, cwd=project, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_limits_of_one_window_and_columns_that_are_left_out(project: Path, tmp_path: Path) -> None:
    rows = people(np.random.default_rng(2), 100)
    answer(project, tmp_path, 0, [{**row, "age": 95.0} if place < 20 else row for place, row in enumerate(rows)])
    answer(project, tmp_path, 1, rows[:5])
    monitor = {"limits": MonitorLimits(missed=0.1, psi=50.0), "leave_out": ["output.confidence"]}
    assert judge(tmp_path, monitor=monitor) == ["2026-11-01T00", "2026-11-01T01"]
    first, small = verdicts(tmp_path)
    assert first["missed_share"] == 0.2
    assert any("20.0% of the rows miss" in reason for reason in first["reasons"])
    assert "output.confidence" not in {one["column"] for one in first["columns"]}
    assert small["columns"] == []
    assert any("min_rows" in note for note in small["notes"])


def test_the_reference_is_made_once_and_of_the_data_that_the_model_was_trained_on(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.monitoring import reference

    package = Package.open(project / ".modelyard/packages/q")
    found = reference.of_package(package, Path("data/people"), tmp_path, "people")
    assert len(found.rows) == 480
    assert found.rows["truth"].isin(["yes", "no"]).all()
    row = found.rows.iloc[7]
    item = {
        name: None if pd.isna(row[f"raw.row.{name}"]) else row[f"raw.row.{name}"] for name in ("age", "height", "town")
    }
    (again,) = Predictor(package).predict([item])
    assert max(again["probabilities"].values()) == pytest.approx(row["output.confidence"], abs=1e-6)
    assert again["label"] == row["output.label"]
    monkeypatch.setattr(reference, "_make", None)
    assert reference.of_package(package, Path("data/people"), tmp_path, "people").digest == found.digest
    other = Package(package.folder, package.manifest.model_copy(update={"facts": {
        **package.manifest.facts, "data_digest": "0" * 64,
    }}))  # fmt: skip
    with pytest.raises(UsageError, match="another version of the data"):
        reference.of_package(other, Path("data/people"), tmp_path / "other", "people")
