"""Requests are held against the expectations of the training data: refused, or answered and marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components import tasks
from components.contracts.prediction_log import FLAGS, FOLDER
from components.contracts.row_expectations import FILE_NAME, FLAGS_HEADER
from components.contracts.serving_spec import SlotSpec
from components.core.errors import CorruptArtifactError
from components.identity import manifest
from components.inference import row_judge
from components.preprocessing import image
from components.tasks import input_rows, row_suite
from serving import metrics
from tests import small_package
from tests.serving import packages
from tests.serving.service import challenger, eventually, running
from tests.serving.test_prediction_log import logged

BETWEEN, IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
TABLE = {
    "raw": [
        {
            "type": BETWEEN,
            "kwargs": {"column": "row.age", "min_value": 0, "max_value": 109},
            "description": "age as seen",
        },
        {"type": IN_SET, "kwargs": {"column": "row.town", "value_set": ["Bonn", "Ulm"]}},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "row.age", "max_value": 1}},
    ],
    "prepared": [{"type": BETWEEN, "kwargs": {"column": "missing_values", "max_value": 1}}],
}  # fmt: skip
GOOD, OLD, ODD = (
    {"age": age, "height": 1.7, "town": town} for age, town in ((30, "Ulm"), (200, "Bonn"), (150, "Rome"))
)


def enforced(slot: SlotSpec, task: str, document: dict[str, Any], enforce: str) -> SlotSpec:
    """The bundle with expectations, as packaging writes them."""
    folder = Path(slot.bundle)
    settings = json.loads((folder / "serving.json").read_text())
    manifest.write_json(folder / "serving.json", {**settings, "enforce": enforce})
    suite = row_suite.select(document, tasks.find(task))
    manifest.write_json(folder / FILE_NAME, suite.model_dump(mode="json"))
    (folder / "manifest.json").unlink()
    manifest.seal(folder, "bundle", {"code": "c" * 64})
    return slot


@pytest.fixture
def table(tmp_path: Path) -> SlotSpec:
    return packages.table(tmp_path / "bundle")


def test_what_misses_an_expectation_is_refused_in_the_words_of_every_protocol(table: SlotSpec, tmp_path: Path) -> None:
    slot = enforced(table, "tabular-classification", TABLE, "reject")
    with running(Path(slot.bundle), tmp_path / "service") as service:
        post = service.client.post
        assert post("/predict", json={"row": GOOD}).status_code == 200
        refused = post("/predict", json={"rows": [GOOD, ODD]})
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        problem = refused.json()
        assert (problem["code"], problem["got"], problem["expected"]) == ("expectation", "150.0", "0 to 109")
        assert problem["where"] == "row 1, column raw.row.age"
        assert [(one["sample"], one["column"], one["value"]) for one in problem["missed"]] == [
            (1, "raw.row.age", 150), (1, "raw.row.town", "Rome"),
        ]  # fmt: skip
        assert "age as seen" in problem["detail"]
        others = [
            post("/invocations", json={"dataframe_records": [OLD]}),
            post("/v2/models/sample/infer", json={"inputs": [
                {"name": name, "datatype": "BYTES" if name == "town" else "FP64", "shape": [1], "data": [value]}
                for name, value in OLD.items()
            ]}),
        ]  # fmt: skip
        for answer in others:
            assert answer.status_code == 400, answer.text
            assert "raw.row.age" in answer.text
            assert "0 to 109" in answer.text


def test_what_misses_an_expectation_is_answered_and_marked(
    table: SlotSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "log"))
    slot = enforced(table, "tabular-classification", TABLE, "flag")
    with running(Path(slot.bundle), tmp_path / "service") as service:
        post = service.client.post
        good = post("/predict", json={"row": GOOD})
        assert "flags" not in good.json()
        assert FLAGS_HEADER not in good.headers
        odd = post("/predict", json={"rows": [GOOD, ODD]})
        assert len(odd.json()["predictions"]) == 2
        assert [(one["sample"], one["column"], one["expected"]) for one in odd.json()["flags"]] == [
            (1, "raw.row.age", "0 to 109"), (1, "raw.row.town", "one of 'Bonn', 'Ulm'"),
        ]  # fmt: skip
        assert json.loads(odd.headers[FLAGS_HEADER]) == ["raw.row.age", "raw.row.town"]
        other = post("/invocations", json={"dataframe_records": [OLD]})
        assert other.json()["flags"][0]["column"] == "raw.row.age"
        assert json.loads(other.headers[FLAGS_HEADER]) == ["raw.row.age"]
        schema = service.client.get("/openapi.json").json()["components"]["schemas"]["Answer"]
        assert "flags" in schema["properties"]
        eventually(lambda: len(logged(tmp_path / "log")) == 4)
    flags = [row[FLAGS] for row in logged(tmp_path / "log")]
    assert sorted(flags) == sorted(["[]", "[]", '["raw.row.age","raw.row.town"]', '["raw.row.age"]'])
    assert [row["raw.row.age"] for row in logged(tmp_path / "log")] == [30, 30, 150, 200]
    assert metrics.FLAGGED.labels("sample", "1", "champion")._value.get() >= 2


def test_the_rows_of_the_contract_are_those_of_the_log(table: SlotSpec, tmp_path: Path) -> None:
    slot = enforced(table, "tabular-classification", TABLE, "flag")
    with running(Path(slot.bundle), tmp_path / "service") as service:
        champion = service.worker.slot_manager.current.champion
        assert champion is not None
        contract, predictor = champion.loaded.contract, champion.loaded.predictor
        assert contract is not None
        samples = predictor.read(packages.ROWS)
        judged = contract.judge(predictor, packages.ROWS, samples)
        assert judged.rows == input_rows.rows(predictor.task, predictor.processor, packages.ROWS, samples)


def test_a_challenger_that_refuses_what_the_champion_takes_lets_the_champion_answer(tmp_path: Path) -> None:
    champion = small_package.bundle(tmp_path / "1", "1")
    strict = {"raw": [{"type": BETWEEN, "kwargs": {"column": "standard_deviation", "max_value": 1}}], "prepared": []}
    beside = enforced(small_package.bundle(tmp_path / "2", "2", seed=2), "image-classification", strict, "reject")
    with running(Path(champion.bundle), tmp_path / "service") as service:
        service.order(champion=champion, challenger=challenger(beside, 100))
        assert service.answered_by() == "1"
        assert service.ask(want="2").status_code == 422


def test_files_and_pixels_of_images_are_judged_alike(tmp_path: Path) -> None:
    document = {
        "raw": [
            {"type": IN_SET, "kwargs": {"column": "width", "value_set": [8]}},
            {"type": BETWEEN, "kwargs": {"column": "standard_deviation", "min_value": 20}},
        ],
        "prepared": [],
    }
    slot = enforced(small_package.bundle(tmp_path / "1", "1"), "image-classification", document, "reject")
    with running(Path(slot.bundle), tmp_path / "service") as service:
        assert service.ask().status_code == 200
        assert service.ask(small_package.white()).json()["got"] == "0.0"
        wide = image.as_file(np.random.default_rng(0).integers(0, 255, (8, 9), np.uint8))
        assert service.ask(wide).json()["where"] == "image 0, column raw.width"
        flat = [[[9] * 8] * 8]
        assert service.client.post("/predict", json={"pixels": flat}).status_code == 422
        mixed = [np.random.default_rng(1).integers(0, 255, (8, 8)).tolist()]
        assert service.client.post("/predict", json={"pixels": mixed}).status_code == 200


def test_a_bundle_without_its_expectations_is_not_served(table: SlotSpec, tmp_path: Path) -> None:
    slot = enforced(table, "tabular-classification", TABLE, "reject")
    (Path(slot.bundle) / FILE_NAME).write_text("{}")
    with pytest.raises(CorruptArtifactError, match="expectations"), running(Path(slot.bundle), None):
        pass


def test_texts_are_judged_by_columns_of_the_text(tmp_path: Path) -> None:
    document = {"raw": [{"type": BETWEEN, "kwargs": {"column": "words", "max_value": 3}}], "prepared": []}
    slot = enforced(packages.language_model(tmp_path / "bundle"), "text-generation", document, "flag")
    with running(Path(slot.bundle), None) as service:
        short, long = (
            service.client.post("/predict", json={"prompt": text, "parameters": {"max_tokens": 1}})
            for text in ("one two", "one two three four five")
        )
        assert "flags" not in short.json()
        assert long.status_code == 200, long.text
        assert long.json()["flags"][0]["value"] == 5
        streamed = service.client.post(
            "/v1/completions", json={"model": "sample", "prompt": "one two three four", "stream": True, "max_tokens": 2}
        )
        assert json.loads(streamed.headers[FLAGS_HEADER]) == ["raw.words"]


def test_rows_of_every_task_with_a_truth_in_its_samples_can_be_described() -> None:
    """The truth is unknown: its columns are not in the row, and describing does not fail for want of it."""
    for name in ("tabular-regression", "text-regression", "multi-label-text-classification", "image-regression"):
        task = tasks.find(name)
        item: Any = {"a": 1.0} if name.startswith("tab") else b"some words"
        described = input_rows.describe(task, input_rows._raw(task, item), None)
        assert len(described) > 1
        assert row_judge.is_missing(None)
