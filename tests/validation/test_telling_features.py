"""A feature that tells the label or the target almost alone is named, and honest features are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.validation import telling_features
from components.validation.telling_features import examine, sentences

ROWS = 3000


def tables(folder: Path, columns: dict[str, Any]) -> tuple[pd.DataFrame, Path]:
    """The table of the prepared rows, in another order than those of the file, and the file."""
    count = len(next(iter(columns.values())))
    ids = [f"t/{row:06d}" for row in range(count)]
    pd.DataFrame({"id": ids, **columns}).to_parquet(folder / "samples.parquet")
    splits = np.random.default_rng(9).choice(["train", "validation", "test"], count, p=[0.6, 0.2, 0.2])
    prepared = pd.DataFrame({"id": ids, "split": splits}).sort_values("split", kind="stable", ignore_index=True)
    return prepared.iloc[: count - 7], folder / "samples.parquet"  # some samples are in no split


def test_leaks_of_a_label_are_named_and_honest_features_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(["no", "yes", "maybe"], ROWS, p=[0.8, 0.15, 0.05])
    number = pd.Series(label).map({"no": 0, "yes": 1, "maybe": 2}).to_numpy()
    unclear = np.where(rng.random(ROWS) < 0.9, number, rng.integers(0, 3, ROWS))
    columns = {
        "label": label, "row.leak": number, "row.word": np.char.add("is ", label), "row.noise": rng.normal(size=ROWS),
        "row.near": number + rng.normal(0, 0.05, ROWS), "row.good": unclear, "row.id": [f"c{n}" for n in range(ROWS)],
        "row.empty": [None] * ROWS, "row.missing": np.where(label == "no", np.nan, number), "row.same": 1.0,
        "row.infinite": np.where(label == "no", np.inf, number), "other": number,
    }  # fmt: skip
    found = examine(*tables(tmp_path, columns), "label")
    assert sorted(one.name for one in found) == ["infinite", "leak", "missing", "near", "word"]
    assert found[0].share == 1.0
    assert found[0].commonest == pytest.approx(0.8, abs=0.03)
    sentence = next(one.sentence for one in found if one.name == "leak")
    assert sentence.startswith("the feature leak alone tells the label of 100.0% of 1,")
    assert "a leak: leave it out" in sentence
    assert "or the task is that easy" in sentence


def test_leaks_of_a_target_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = rng.lognormal(10, 1, ROWS)
    town = rng.integers(0, 5, ROWS)
    columns = {
        "target": target, "row.copy": target / 1.19, "row.rank": target.argsort().argsort(),
        "row.noisy": target * rng.lognormal(0, 0.3, ROWS), "row.noise": rng.normal(size=ROWS),
        "row.name": [f"{value:.3f}" for value in target], "row.town": [f"t{number}" for number in town],
    }  # fmt: skip
    found = examine(*tables(tmp_path, columns), "target")
    assert sorted(one.name for one in found) == ["copy", "rank"]
    assert "of the variance of the target, or of its ranks" in found[0].sentence
    of_towns = examine(*tables(tmp_path, {**columns, "target": 100.0 * town + rng.normal(size=ROWS)}), "target")
    assert [one.name for one in of_towns] == ["town"]


@pytest.mark.parametrize("count", [60, 3000])
def test_where_nothing_can_be_told_nothing_is_named(tmp_path: Path, count: int) -> None:
    label = ["yes" if row == 0 else "no" for row in range(count)]
    assert examine(*tables(tmp_path, {"label": label, "row.x": list(range(count))}), "label") == []
    assert examine(*tables(tmp_path, {"label": label}), "label") == []
    constant = {"target": [1.0] * count, "row.x": list(range(count))}
    assert examine(*tables(tmp_path, constant), "target") == []


def test_only_the_first_are_shown() -> None:
    found = [telling_features.TellingFeature(f"x{number}", 1.0, 0.5, 100) for number in range(12)]
    assert len(sentences(found)) == 11
    assert sentences(found)[-1].startswith("2 more")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of Great Expectations
@pytest.mark.parametrize("task", ["tabular-classification", "tabular-regression"])
def test_the_report_on_prepared_data_names_a_leak(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from components.validation import stage

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    x = rng.normal(size=600).round(4)
    wanted = x + rng.normal(size=600)
    answer = np.where(wanted > 0, "yes", "no") if task == "tabular-classification" else wanted.round(4)
    leak = np.where(wanted > 0, 1, 0) if task == "tabular-classification" else (wanted * 2).round(4)
    folder = Path("data/people")
    folder.mkdir(parents=True)
    pd.DataFrame({"x": x, "leak": leak, "y": answer}).to_csv(folder / "t.csv", index=False)
    key = "label" if task == "tabular-classification" else "target"
    (folder / "dataset.yaml").write_text(
        f"name: people\ntask: {task}\nsource: {{kind: csv, path: t.csv, numbers: [x, leak], {key}: y}}\n"
        "split: {test: 0.2, validation: 0.2}\ninput: {}\n"
    )
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}
    (folder / "expectations.json").write_text(json.dumps({"raw": [unique], "prepared": [unique]}))
    ingestion.main([str(folder)])
    stage.main(["raw", str(folder)])
    preparation.main([str(folder)])
    capfd.readouterr()
    stage.main(["prepared", str(folder)])
    assert "people: the feature leak alone " in capfd.readouterr().err
    reports = Path(".modelyard/reports/people")
    found = json.loads((reports / "splits.json").read_text())["leakage"]["findings"]
    named = [one["text"] for one in found if one["doubtful"]]
    assert len([text for text in named if text.startswith("the feature leak alone ")]) == 1
    assert not [text for text in named if "the feature x" in text]
    assert "the feature leak alone" in (reports / "prepared.html").read_text()
