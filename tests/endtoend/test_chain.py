"""The whole chain, for real: servers, flow, registry, bundle, an answer over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from components.inference.difference import difference
from tests.house import House

pytestmark = pytest.mark.slow

HEAVY = (
    "torch",
    "pandas",
    "mlflow",
    "great_expectations",
    "sklearn",
    "prefect",
    "matplotlib",
    "onnxruntime",
    "bentoml",
)


@pytest.fixture(scope="module")
def demo(house: House) -> dict[str, Any]:
    """What the first demo says."""
    facts: dict[str, Any] = house.json("demo", timeout=600)
    return facts


def test_the_demo_ends_with_an_answered_request(house: House, demo: dict[str, Any]) -> None:
    assert len(demo["data digest"]) == 64
    assert float(demo["test accuracy"].split()[0]) >= 0.985
    assert demo["model"].startswith("digits version 1,")
    assert demo["the service says"].split()[0] == demo["the truth is"]
    for name in ("Prefect", "MLflow", "service"):
        with house.client(demo[name], follow_redirects=True) as client:
            assert client.get("/").status_code == 200


def test_a_second_run_finds_everything_up_to_date_and_imports_nothing_heavy(house: House, demo: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows.cli", "run", "digits", "--json"],
        cwd=house.root,
        env=house.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(done.stdout)
    assert set(outcome["stages"].values()) == {"up to date"}
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert {"components", "flows", "httpx"} <= imported
    assert not imported & set(HEAVY)


def test_dvc_agrees(house: House, demo: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "dvc", "status", "ingest@digits", "validate@digits", "prepare@digits", "code@digits"]
    done = subprocess.run(words, cwd=house.root, env=house.environment, capture_output=True, text=True, check=True)
    assert "up to date" in done.stdout


def test_the_service_holds_no_torch(house: House, demo: dict[str, Any]) -> None:
    port = int(demo["service"].rpartition(":")[2])
    serving = [
        process
        for process in psutil.process_iter(["cmdline"])  # other tests' processes come and go meanwhile
        if f"--port {port}" in (line := " ".join(process.info["cmdline"] or ())) or "bentoml" in line
        if str(house.root) in line
    ]
    assert serving
    family = [member for process in serving for member in (process, *process.children(recursive=True))]
    mapped = {mapping.path for process in family for mapping in process.memory_maps()}
    assert any("onnxruntime" in path for path in mapped)
    assert not any("torch" in path for path in mapped)


def test_the_service_tells_what_it_is(house: House, demo: dict[str, Any]) -> None:
    service = demo["service"]
    assert httpx.get(f"{service}/livez", trust_env=False, verify=False).status_code == 200
    assert httpx.get(f"{service}/readyz", trust_env=False, verify=False).status_code == 200
    assert httpx.get(f"{service}/openapi.json", trust_env=False, verify=False).json()["info"]["title"] == "digits"
    with house.client(service) as client:
        assert "modelyard_inference_seconds" in client.get("/metrics").text
    about = httpx.get(f"{service}/model", trust_env=False, verify=False).json()
    assert about["data"] == demo["data digest"]


def test_golden_examples_are_answered_as_in_training(house: House, demo: dict[str, Any]) -> None:
    (package,) = (house.project.state / "packages").iterdir()
    for example in json.loads((package / "golden" / "outputs.json").read_text())["examples"]:
        content = (package / "golden" / example["file"]).read_bytes()
        answer = httpx.post(
            f"{demo['service']}/predict",
            content=content,
            headers={"content-type": example["media"]},
            trust_env=False,
            verify=False,
        ).json()
        assert difference(example["answer"], answer["predictions"][0]) < 1e-5


def test_the_registry_holds_the_lineage(house: House, demo: dict[str, Any]) -> None:
    (model,) = [row for row in house.json("models") if row["name"] == "digits"]
    assert model["aliases"] == ["champion"]
    tags = model["tags"]
    assert tags["modelyard.data_digest"] == demo["data digest"]
    assert len(tags["modelyard.git_commit"].removesuffix("-dirty")) == 40
    assert len(tags["modelyard.lock_digest"]) == 64
    with house.client(demo["MLflow"]) as client:
        run = client.get("/api/2.0/mlflow/runs/get", params={"run_id": model["run"]}).json()["run"]
    assert run["info"]["status"] == "FINISHED"
    assert {"modelyard.lock_digest", "mlflow.source.git.commit"} <= {tag["key"] for tag in run["data"]["tags"]}
    metrics = {metric["key"] for metric in run["data"]["metrics"]}
    assert {"train/loss", "validation/accuracy", "test/accuracy"} <= metrics
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == demo["data digest"][:36]
    flow_run = next(tag["value"] for tag in run["data"]["tags"] if tag["key"] == "modelyard.flow_run")
    assert flow_run.startswith(demo["Prefect"])


def test_predict_answers_and_refuses(house: House, demo: dict[str, Any], tmp_path: Path) -> None:
    (package,) = (house.project.state / "packages").iterdir()
    example = json.loads((package / "golden" / "outputs.json").read_text())["examples"][0]
    said = house.run("predict", "digits", str(package / "golden" / example["file"])).stdout
    assert f": {example['answer']['label']}  (" in said
    wrong = tmp_path / "no.png"
    wrong.write_text("seven")
    refused = house.run("predict", "digits", str(wrong), check=False)
    assert (refused.returncode, "not an image" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    assert house.run("predict", "digits", str(tmp_path / "none.png"), check=False).returncode == 2
