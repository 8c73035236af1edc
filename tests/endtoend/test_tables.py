"""A table of features, from a CSV file to a service that answers: a label and a target, with the same code and rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from components.contracts.table_layout import Columns
from components.contracts.training_request import TrainRequest
from components.core.errors import SampleError, SourceError
from components.core.project import Project
from components.drafting import draft
from components.evaluation import stage as evaluation
from components.evaluation.test_split import FrozenSplit
from components.gates.reencoding import reencode
from components.identity import manifest
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.training import stage as training
from components.training.sinks import EventStream
from flows.cli import predict, prediction_client, table_input
from tests.serving.service import Service, over_http, running

pytestmark = pytest.mark.slow

JOBS = ("clerk", "smith", "cook")
HEAD = "id,age,job,is_new,weight,constant,remark"
ROWS = 200
CASES = {"label": "tabular-classification", "price": "tabular-regression"}


def table(count: int = ROWS) -> list[dict[str, Any]]:
    """Rows whose label and price follow from age, job and weight; a weight in ten is missing."""
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        age, weight = int(rng.integers(18, 80)), float(rng.normal(70, 10))
        place = int(rng.integers(0, 3))
        value = age / 10 + 3 * place + weight / 20
        rows.append(
            {
                "id": number, "age": age, "job": JOBS[place], "is_new": bool(rng.integers(0, 2)),
                "weight": None if number % 10 == 3 else round(weight, 2), "constant": 7,
                "remark": f"a remark with the number {number} of its own and more",
                "label": "high" if value > 11 else "low", "price": round(1000 * value + rng.normal(0, 100), 2),
            }
        )  # fmt: skip
    return rows


def project(root: Path, column: str) -> Project:
    """A project with a drafted dataset of the table and one column to be predicted."""
    names = [*HEAD.split(","), column]
    lines = [",".join("" if row[name] is None else str(row[name]) for name in names) for row in table()]
    (root / "pipelines").mkdir()
    (root / "a.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    made = draft.write(Project(root), "things", root / "a.csv")
    assert (made.task, made.samples) == (CASES[column], ROWS)
    said = " ".join((made.why, *made.notes))
    assert all(
        words in said for words in ("by its name", "id is left out", "constant is left out", "texts, 200 different")
    )
    return Project(root)


def train(prepared: Path, epochs: int) -> Package:
    """The package of the drafted model after a few epochs."""
    drafted = yaml.safe_load(Path("pipelines/things.yaml").read_text())
    document = {
        "pipeline": "things", "train_fingerprint": "ab" * 32, "lineage": {}, "run_folder": "run", "package": "package",
        "data_digest": manifest.load(prepared, "prepared").digest, "prepared": str(prepared), "model": drafted["model"],
        "train": {**drafted["train"], "epochs": epochs, "threads": 1},
    }  # fmt: skip
    threads = torch.get_num_threads()
    training.train(TrainRequest.model_validate(document), EventStream(io.StringIO()))
    torch.set_num_threads(threads)
    Path("request.json").write_text(json.dumps(document))
    evaluation.main(["request.json"])
    return Package.open(Path("package"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("column", CASES)
def test_from_a_file_to_a_service(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from components.validation import stage as validation

    monkeypatch.chdir(tmp_path)
    place = project(tmp_path, column)
    folder = place.dataset("things").relative_to(tmp_path)
    ingestion.main([str(folder)])
    validation.main(["raw", str(folder)])  # what was drafted is met
    preparation.main([str(folder)])
    validation.main(["prepared", str(folder)])
    preparation.main([str(folder), "--accept"])
    prepared = folder / "prepared"
    package = train(prepared, 8)
    metrics = package.metrics()
    names = [baseline["name"] for baseline in metrics["baselines"]]
    assert names[-2:] == ["a linear model (scikit-learn)", "gradient boosting (scikit-learn)"]
    first = "accuracy" if column == "label" else "r2"
    assert metrics["overall"][first] > metrics["baselines"][0]["figures"][first]
    assert metrics["overall"][first] > 0.7

    predictor = Predictor(package)
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        read = body.read(predictor.processor, predictor.endpoint, content, example.media)
        assert difference(example.answer, predictor.predict(read.items, read.parameters)[0]) < 1e-4
    frozen = FrozenSplit.open(prepared, manifest.load(prepared, "prepared").facts)
    (tmp_path / "scratch").mkdir()
    again = reencode(frozen, predictor.processor, tmp_path / "scratch")
    for name in predictor.processor.inputs():
        np.testing.assert_array_equal(again.split.all(name), frozen.split.all(name))

    settings = {"model": "things", "version": "1", "max_batch_size": 4, "max_request_bytes": 10_000,
                "max_image_pixels": 1, "workers": 1}  # fmt: skip
    (tmp_path / "bundle").mkdir()
    package.folder.rename(tmp_path / "bundle" / "package")
    manifest.write_json(tmp_path / "bundle" / "serving.json", settings)
    manifest.seal(tmp_path / "bundle", "bundle", {"code": "c" * 64})
    with running(tmp_path / "bundle", None) as service:
        answers(service, column)
    if column == "label":
        with over_http(tmp_path / "bundle") as url:
            predicts_from_files(url, capsys)


def answers(service: Service, column: str) -> None:
    """One row, several rows, a null, an unknown category; and what is refused, by the name of its column."""
    row = {"age": 70, "job": "cook", "is_new": True, "weight": 80.5}
    other = {"age": 20, "job": "astronaut", "is_new": False, "weight": None}
    (one,) = service.client.post("/predict", json={"row": row}).json()["predictions"]
    both = service.client.post("/predict", json={"rows": [row, other]}).json()["predictions"]
    assert difference(one, both[0]) < 1e-5
    assert [answer["unknown_categories"] for answer in both] == [[], ["job"]]
    assert (one["label"] == "high") if column == "label" else (12_000 < one["value"] < 22_000)
    for change, words in (
        ({"age": None}, "no value in the column age"),
        ({"age": "70"}, "not a number in the column age"),
        ({"job": 1.5}, "not a category in the column job"),
        ({"town": "Rome"}, "does not know: town"),
    ):
        response = service.client.post("/predict", json={"row": {**row, **change}})
        assert response.status_code == 422
        assert words in response.json()["detail"]
    refused = service.client.post("/predict", json={"row": {"age": 70}})
    assert "without the column weight, job, is_new" in refused.json()["detail"]
    assert "<textarea" in service.client.get("/").text


def predicts_from_files(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`modelyard predict` of a file of the dataset's kind, of one that is written otherwise, and of JSON."""
    schema = prediction_client.input_schema(url)
    assert all(words in schema.description() for words in ("age (number)", "weight (number or null)", "job (text: "))

    def ask(*inputs: str) -> list[predict._Answer]:
        return predict._answers(Project(Path()), "things", url, schema, inputs, {})

    answers = ask("a.csv")
    assert len(answers) == ROWS
    assert "left out: id, constant, remark" in capsys.readouterr().err
    row = {name: table()[3][name] for name in ("age", "job", "is_new", "weight")}
    [one] = ask(json.dumps(row))
    assert difference(one.content["predictions"][0], answers[3].content["predictions"][0]) < 1e-5
    Path("b.csv").write_text("weight;job;age;is_new\n;cook;70;True\n80.5;cook;;True\n")
    good, bad = ask("b.csv")
    assert "not written as the dataset's table" in capsys.readouterr().err
    assert good.refused is None
    assert bad.refused is not None
    assert "no value in the column age" in bad.refused.what
    predict._show([good, bad], Path("x.png"))
    shown = capsys.readouterr()
    assert "b.csv row 2: REFUSED: no value in the column age" in shown.out
    assert "1 of 2 rows are refused" in shown.err
    Path("rows.json").write_text(json.dumps([row, row]))
    assert len(ask("rows.json")[0].content["predictions"]) == 2
    written = Columns(kind="csv", header=False, columns=["id", *row, "label"], label="label", numbers=["age"])
    Path("d.csv").write_text("70,cook,True,80.5\n")
    without = table_input.read(Path("d.csv"), "csv", schema.sample, written)
    assert (without.rows[0]["age"], without.rows[0]["weight"]) == (70, 80.5)
    assert "are read as age, job, is_new, weight" in without.notes[0]
    Path("c.csv").write_text("age,town\n70,Rome\n")
    with pytest.raises(SourceError, match="are missing: weight, job, is_new"):
        ask("c.csv")
    with pytest.raises(SampleError, match="no JSON") as caught:
        ask("seventy years old")
    assert "age (number)" in str(caught.value.expected)
