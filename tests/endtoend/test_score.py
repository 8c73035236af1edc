"""`modelyard score` with what is in production, by the command and by a flow run of the schedule."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from components.identity import manifest
from tests import small_package
from tests.endtoend.releases import Releases
from tests.prefect_api import ask, run_deployment


@pytest.mark.slow
def test_production_scores_a_folder_and_a_night_without_change_is_skipped(releases: Releases, tmp_path: Path) -> None:
    house = releases.house
    name = releases.pipeline("batches")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(12):
        (pictures / f"{number:02}.png").write_bytes(small_package.image(number))
    version = releases.register(name)
    house.run("promote", name, version)
    scored = json.loads(house.run("score", name, str(pictures), "--out", str(tmp_path / "out"), "--json").stdout)
    assert (scored["state"], scored["summary"]["answered"], scored["summary"]["version"]) == ("scored", 12, version)
    sealed = manifest.verify(tmp_path / "out", "predictions")
    assert sealed.digest == scored["digest"]
    table = pq.read_table(tmp_path / "out" / "predictions").to_pylist()
    for row in table:
        (answer,) = releases.answer(name, int(row["file"][:2])).json()["predictions"]
        assert {one: row[f"probability_{one}"] for one in small_package.CLASSES} == answer["probabilities"]

    path = house.project.pipeline_file(name)
    document = yaml.safe_load(path.read_text())
    document["score"] = {
        "input": str(pictures), "out": str(tmp_path / "nights" / "{date}-{time}"), "schedule": {"cron": "0 2 * * *"},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    house.run("schedule", name)
    services = {service["name"]: service for service in house.json_of_status()}
    api = f"{services['prefect']['url']}/api"
    states = []
    for night in range(2):
        state = run_deployment(house, f"score/score-{name}", 200)
        states.append((state["type"], state["name"]))
        minute = int(time.time() // 60)
        while night == 0 and int(time.time() // 60) == minute:  # the folder of a night is named after its minute
            time.sleep(1)
    assert states == [("COMPLETED", "Completed"), ("COMPLETED", "Skipped")]
    assert len(list((tmp_path / "nights").iterdir())) == 1
    house.run("unschedule", name)
    ask(house, "GET", f"{api}/deployments/name/score/score-{name}", missing=True)
