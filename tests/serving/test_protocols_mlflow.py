"""MLflow's scoring protocol: the service and MLflow's own scoring server are asked with the same bodies."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from components.core.errors import SampleError
from components.identity.package import Package
from components.registry import mlmodel
from components.tasks.task import EndpointSchema
from flows.platform.environment import QUIET
from serving.protocols import mlflow_scoring
from tests import small_package
from tests.serving import packages
from tests.serving.service import running

ROOT = Path(__file__).resolve().parents[2]
JSON, CSV = "application/json", "text/csv"
IMAGES = [base64.b64encode(small_package.image(seed)).decode() for seed in range(2)]
COLUMNS = ["age", "height", "town"]
LISTS = [[row[name] for name in COLUMNS] for row in packages.ROWS]
LINES = "age,height,town\n30,1.7,Ulm\n51.5,,Bonn\n42,1.85,\n"

# By package: bodies that both servers answer alike.
BODIES: dict[str, list[tuple[str, str]]] = {
    "image": [
        (JSON, json.dumps({"dataframe_split": {"columns": ["image"], "data": [[image] for image in IMAGES]}})),
        (JSON, json.dumps({"dataframe_split": {"columns": ["image"], "index": [5], "data": [[IMAGES[0]]]}})),
        (JSON, json.dumps({"dataframe_records": [{"image": image} for image in IMAGES]})),
        (JSON, json.dumps({"inputs": {"image": IMAGES}})),
        (JSON, json.dumps({"instances": [{"image": image} for image in IMAGES]})),
        (CSV, "image\n" + "\n".join(IMAGES) + "\n"),
        (f"{JSON}; charset=utf-8", json.dumps({"inputs": {"image": IMAGES}, "params": {}})),
    ],
    "table": [
        (JSON, json.dumps({"dataframe_split": {"columns": COLUMNS, "data": LISTS}})),
        (JSON, json.dumps({"dataframe_split": {"columns": COLUMNS[:2], "data": [row[:2] for row in LISTS]}})),
        (JSON, json.dumps({"dataframe_records": packages.ROWS})),
        (JSON, json.dumps({"dataframe_records": packages.ROWS[:1]})),
        (JSON, json.dumps({"inputs": {"age": [30.0], "height": [1.7], "town": ["Ulm"]}})),
        (CSV, LINES),
    ],
    "language": [
        (JSON, json.dumps({"dataframe_records": [{"prompt": "one two"}, {"prompt": "six"}]})),
        (JSON, json.dumps({"inputs": {"prompt": ["one"]}, "params": {"max_tokens": 2, "stop": ["three"]}})),
    ],
}
BUILD = {"image": lambda folder: small_package.bundle(folder, "7"), "table": packages.table,
         "language": packages.language_model}  # fmt: skip

SCRIPT = """\
import json
import components.tasks  # of the source tree: three models' code/ would stand in each other's way
import mlflow
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient
answers = {}
for name, bodies in json.load(open("bodies.json")).items():
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(name)))
    assert client.get("/ping").status_code == 200
    sent = [client.post("/invocations", content=body, headers={"content-type": kind}) for kind, body in bodies]
    answers[name] = [[response.status_code, response.json()] for response in sent]
    answers["version"] = client.get("/version").text
json.dump(answers, open("answers.json", "w"))
"""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestClient]]:
    folder = tmp_path_factory.mktemp("bundles")
    for name, build in BUILD.items():
        build(folder / name)
    with (
        running(folder / "image", None) as one, running(folder / "table", None) as two,
        running(folder / "language", None) as three,
    ):  # fmt: skip
        yield {"image": one.client, "table": two.client, "language": three.client}


def ask(client: TestClient, kind: str, body: str | bytes) -> Any:
    return client.post("/invocations", content=body, headers={"content-type": kind})


@pytest.mark.slow
def test_mlflows_own_server_gives_the_same_answers(clients: dict[str, TestClient], tmp_path: Path) -> None:
    for name, build in BUILD.items():
        slot = build(tmp_path / "bundles" / name)
        (tmp_path / name).mkdir()
        mlmodel.write(Package.open(Path(slot.bundle) / "package"), tmp_path / name, ROOT, "numpy\n")
    (tmp_path / "bodies.json").write_text(json.dumps(BODIES))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "answers.json").read_text())
    assert theirs.pop("version").split(".")[:2] == mlflow_scoring.VERSION.split(".")[:2]
    for name, bodies in BODIES.items():
        ours = [ask(clients[name], *body) for body in bodies]
        for (status, expected), response, body in zip(theirs[name], ours, bodies, strict=True):
            assert (status, response.status_code) == (200, 200), (body, expected, response.text)
            assert len(response.json()["predictions"]) == len(expected["predictions"])
            for one, other in zip(response.json()["predictions"], expected["predictions"], strict=True):
                assert one == pytest.approx(other, abs=1e-6)


def test_answers_are_those_of_predict(clients: dict[str, TestClient]) -> None:
    native = clients["table"].post("/predict", json={"rows": packages.ROWS}).json()["predictions"]
    expected = [{"label": one["label"], **one["probabilities"]} for one in native]
    for kind, body in BODIES["table"]:
        answered = ask(clients["table"], kind, body).json()["predictions"]
        if len(answered) == 3 and COLUMNS[2] in body:
            assert answered == expected
    assert ask(clients["table"], JSON, json.dumps({"dataframe_split": {"data": LISTS}})).json() == {
        "predictions": expected
    }
    rows = [{"row": json.dumps(row)} for row in packages.ROWS]  # as models of earlier versions were asked
    assert ask(clients["table"], JSON, json.dumps({"dataframe_records": rows})).json() == {"predictions": expected}
    texts = ask(clients["language"], JSON, json.dumps({"instances": ["one", "two"]})).json()["predictions"]
    native = clients["language"].post("/predict", json={"prompts": ["one", "two"]}).json()["predictions"]
    assert [json.loads(one["prediction"]) for one in texts] == native


def test_a_cell_of_csv_may_be_a_large_file() -> None:
    text = base64.b64encode(bytes(150_000)).decode()
    endpoint = EndpointSchema(
        item="image", items="images", media=("image/*",), schema={"type": "string"}, prediction={}, form="image",
        summary="Classify images",
    )  # fmt: skip
    assert mlflow_scoring.rows_of_csv(endpoint, f"image\n{text}\n".encode()) == [{"image": text}]


@pytest.mark.parametrize("cell", ["1_000", "nan", "inf", "٣", " 1", "0x10", "1e", "."])
def test_a_cell_of_a_number_is_one_as_csv_has_it(cell: str) -> None:
    """Python reads more than these as numbers."""
    endpoint = EndpointSchema(
        item="row", items="rows", media=(), prediction={}, form="json", summary="Classify rows",
        schema={"type": "object", "properties": {"age": {"type": "number"}}},
    )  # fmt: skip
    assert mlflow_scoring.rows_of_csv(endpoint, b"age\n-1.5e3\n") == [{"age": -1500.0}]
    with pytest.raises(SampleError, match="no double in the column age"):
        mlflow_scoring.rows_of_csv(endpoint, f"age\n{cell}\n".encode())


def test_ping_and_version(clients: dict[str, TestClient]) -> None:
    assert (clients["image"].get("/ping").status_code, clients["image"].get("/ping").text) == (200, "\n")
    assert clients["image"].get("/health").status_code == 200
    assert clients["image"].get("/version").text == mlflow_scoring.VERSION


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (JSON, b"{", 400),
        (JSON, b"[]", 400),
        (JSON, b"{}", 400),
        (JSON, b'{"inputs": {}, "instances": []}', 400),
        (JSON, b'{"inputs": {}, "other": 1}', 400),
        (JSON, b'{"inputs": {}}', 400),
        (JSON, b'{"inputs": 7}', 400),
        (JSON, b'{"inputs": {"age": [1], "town": [1, 2]}}', 400),
        (JSON, b'{"instances": []}', 400),
        (JSON, b'{"instances": [1, "a", null]}', 400),
        (JSON, b'{"dataframe_records": {}}', 400),
        (JSON, b'{"dataframe_records": [1]}', 400),
        (JSON, b'{"dataframe_records": [{}]}', 400),
        (JSON, b'{"dataframe_records": [{"age": "x", "height": 1, "town": "a"}]}', 400),
        (JSON, b'{"dataframe_split": []}', 400),
        (JSON, b'{"dataframe_split": {"columns": ["age", "age", "town"], "data": []}}', 400),
        (JSON, b'{"dataframe_split": {"columns": [1], "data": []}}', 400),
        (JSON, b'{"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}', 400),
        (JSON, b'{"dataframe_split": {"data": [[1, 2, "a"]], "x": 1}}', 400),
        (JSON, b'{"dataframe_split": {"data": [[1, 2, "a"]]}, "params": {"a": 1}}', 400),
        (JSON, b'{"instances": [{"age": 1, "height": 2, "town": "a"}], "params": []}', 400),
        (CSV, b"", 400),
        (CSV, b"\xff\xfe", 400),
        (CSV, b"age,age\n1,2\n", 400),
        (CSV, b"age,height,town\n1,2\n", 400),
        (CSV, b"age,height,town\nx,2,a\n", 400),
        (CSV, b'age,height,town\n"1,2,a\n', 400),
        ("application/vnd.apache.parquet", b"PAR1", 415),
        ("", b"{}", 415),
        (f"{JSON}; charset=latin-1", b"{}", 415),
        (JSON, b" " * 100_001, 413),
    ],
)
def test_what_is_wrong_is_refused_as_mlflow_does(
    clients: dict[str, TestClient], kind: str, body: bytes, status: int
) -> None:
    response = ask(clients["table"], kind, body)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error_code", "message"}
