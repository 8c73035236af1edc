"""`prefect`, `mlflow`, `dvc`, `bentoml` and `tensorboard` as their users type them, after `eval "$(modelyard env)"`."""

from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests import small_package
from tests.endtoend.releases import CALM, Releases
from tests.house import House
from tests.prefect_api import Patient
from tests.processes import marked
from tests.waiting import eventually

pytestmark = pytest.mark.slow

NAME = CALM
MODELYARD = f"{shlex.quote(sys.executable)} -m flows.cli"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

Typed = Callable[..., str]


def surroundings(house: House) -> dict[str, str]:
    """Those of a login: nothing of the tests', and of ours only where this copy's code is."""
    kept = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "TMPDIR", "USER", "TERM")}
    return {**kept, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(house.root), "COLUMNS": "200"}


def line(command: str) -> list[str]:
    """A command in a shell that knows our variables."""
    return ["/bin/sh", "-c", f'set -e; eval "$({MODELYARD} env)"; {command}']


@pytest.fixture(scope="module")
def releases(house: House, calm: Releases) -> Iterator[Releases]:
    """The pipeline has a schedule meanwhile."""
    path = house.project.pipeline_file(NAME)
    before = path.read_text()
    schedule = {"cron": "0 3 1 1 *", "timezone": "Europe/Berlin"}
    path.write_text(yaml.safe_dump({**yaml.safe_load(before), "schedule": schedule}))
    house.run("schedule", NAME)
    yield calm
    house.run("unschedule", NAME)
    path.write_text(before)


@pytest.fixture
def typed(house: House, releases: Releases) -> Typed:
    """Types a command; what it printed. It ends well and prints no traceback."""

    def type_it(command: str) -> str:
        done = subprocess.run(
            line(command), cwd=house.root, env=surroundings(house), capture_output=True, text=True, timeout=240
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{said}"
        assert "Traceback" not in said, said
        return said

    return type_it


@contextmanager
def running(house: House, command: str) -> Iterator[int]:
    """A server that a user types, on a free port in place of {port}, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    log = house.root / "typed.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            line("exec " + command.format(port=port)),
            cwd=house.root, env=surroundings(house), stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    try:
        yield port
        assert server.poll() is None, log.read_text()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        log.unlink()


def answer(method: str, url: str, **settings: object) -> httpx.Response:
    """The answer of a server that is still starting."""

    def once() -> httpx.Response | None:
        try:
            found = httpx.request(method, url, trust_env=False, verify=False, timeout=30, **settings)  # type: ignore[arg-type]
        except httpx.HTTPError:
            return None
        return found if found.status_code < 500 else None

    return eventually(once, url, 150)


def test_prefect_lists_inspects_starts_and_cancels(typed: Typed) -> None:
    assert f"pipeline/{NAME}" in typed("prefect deployment ls")
    assert f"'name': '{NAME}'" in typed(f"prefect deployment inspect pipeline/{NAME}")
    started = typed(f'prefect deployment run pipeline/{NAME} --start-in "1 hour"')
    found = re.search(r"UUID: ([0-9a-f-]{36})", started)
    assert found, started
    assert found[1] in typed("prefect flow-run ls")
    typed(f"prefect flow-run cancel {found[1]}")
    assert re.search(r"CANCELL", typed(f"prefect flow-run inspect {found[1]}").upper())
    assert "modelyard" in typed("prefect work-pool inspect modelyard")


def test_mlflow_searches_loads_and_serves(typed: Typed, house: House) -> None:
    assert NAME in typed("mlflow experiments search")
    picture = base64.b64encode(small_package.image(0)).decode()
    script = f"""
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{NAME}@champion")
item = model.metadata.get_input_schema().input_names()[0]
print("item:", item)
print("label:", model.predict(pandas.DataFrame({{item: ["{picture}"]}}))["label"][0])
"""
    said = typed(f"python -W ignore -c {shlex.quote(script)}")
    label, item = re.findall(r"label: (\w+)", said)[0], re.findall(r"item: (\w+)", said)[0]
    assert label in small_package.CLASSES
    with running(house, f"mlflow models serve -m models:/{NAME}/1 --env-manager local -p {{port}}") as port:
        body = {"dataframe_records": [{item: picture}]}
        served = answer("POST", f"http://127.0.0.1:{port}/invocations", json=body)
        assert served.json()["predictions"][0]["label"] == label


def test_dvc_knows_makes_and_moves_the_data(typed: Typed, house: House, tmp_path: Path) -> None:
    stage = "ingest@digits"
    typed(f"dvc repro {stage}")
    assert "up to date" in typed(f"dvc status {stage}")
    typed("dvc remote list")
    remote = ["dvc", "remote", "add", "--local", "elsewhere", str(tmp_path / "remote")]
    typed(shlex.join(remote))
    try:
        typed(f"dvc push -r elsewhere {stage}")
        assert any((tmp_path / "remote").rglob("*"))
        cache = house.root / ".dvc" / "cache" / "files"
        kept = cache.rename(tmp_path / "cache")
        raw = house.root / "data" / "digits" / "raw"
        aside = raw.rename(tmp_path / "raw")
        try:
            typed(f"dvc pull -r elsewhere {stage}")
            assert sorted(path.name for path in raw.iterdir()) == sorted(path.name for path in aside.iterdir())
        finally:
            if not raw.exists():
                aside.rename(raw)
            if cache.exists():
                subprocess.run(["cp", "-rn", f"{cache}/.", str(kept)], check=True)
                subprocess.run(["rm", "-rf", str(cache)], check=True)
            kept.rename(cache)
    finally:
        typed("dvc remote remove --local elsewhere")
    typed("dvc diff")


def test_bentoml_lists_exports_and_serves(typed: Typed, house: House, tmp_path: Path) -> None:
    found = re.search(rf"^\s*({NAME}:\S+)", typed("bentoml list"), re.MULTILINE)
    assert found
    tag = found[1]
    assert tag.partition(":")[2] in typed(f"bentoml get {tag}")
    typed(f"bentoml export {tag} {shlex.quote(str(tmp_path / 'exported.bento'))}")
    assert (tmp_path / "exported.bento").stat().st_size > 1000
    with running(house, f"bentoml serve {tag} --host 127.0.0.1 -p {{port}}") as port:
        headers = {"content-type": "application/octet-stream"}
        said = answer("POST", f"http://127.0.0.1:{port}/predict", content=small_package.image(0), headers=headers)
        assert said.status_code == 200, said.text
        assert said.json()["predictions"][0]["label"] in small_package.CLASSES


def test_tensorboard_shows_the_runs(house: House, releases: Releases) -> None:
    with running(house, "tensorboard --logdir .modelyard/runs --port {port}") as port:
        assert "data_location" in answer("GET", f"http://127.0.0.1:{port}/data/environment").json()


def test_the_shell_knows_the_variables(house: House, releases: Releases) -> None:
    done = subprocess.run(
        shlex.split(f"{MODELYARD} shell"),
        cwd=house.root,
        env=surroundings(house),
        input="prefect work-pool ls && echo project: $MODELYARD_PROJECT\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "modelyard" in done.stdout
    assert f"project: {house.root}" in done.stdout
    assert "`exit` leaves" in done.stderr


def test_a_run_chooses_parameters_and_nothing_else(house: House, releases: Releases, tmp_path: Path) -> None:
    """Neither its job variables nor its deployment's pull steps or entry point are carried out."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "evil.py").write_text(
        f"from pathlib import Path\nfrom prefect import flow\nPath({str(marks / 'module')!r}).touch()\n"
        f"@flow\ndef evil(name: str = ''):\n    Path({str(marks / 'flow')!r}).touch()\n"
    )
    variables = {
        "command": f"touch {marks / 'command'}",
        "working_dir": str(tmp_path),
        "env": {"PREFECT__FLOW_ENTRYPOINT": f"{tmp_path / 'evil.py'}:evil", "PYTHONPATH": str(tmp_path)},
        "image": "x",
    }
    script = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {marks / 'pull'}"}}
    folder = {"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}
    urls = {row["name"]: row["url"] for row in house.json_of_status()}
    # A run of a pipeline that does not exist: over in seconds.
    asked = {"parameters": {"name": "no-such-pipeline"}}
    with house.client(f"{urls['prefect']}/api", timeout=60, transport=Patient()) as client:
        ours = client.get(f"/deployments/name/pipeline/{NAME}").raise_for_status().json()
        document = {
            "flow_id": ours["flow_id"],
            "work_pool_name": "modelyard",
            "entrypoint": f"{tmp_path / 'evil.py'}:evil",
            "path": str(tmp_path),
            "pull_steps": [script, folder],
        }
        other, again = (
            client.post("/deployments/", json={"name": name, **document}).raise_for_status().json()["id"]
            for name in ("other", "again")
        )
        states: dict[str, dict[str, str]] = {}
        try:
            tried = [
                client.post(f"/deployments/{ours['id']}/create_flow_run", json={**asked, "job_variables": variables}),
                client.post(f"/deployments/{other}/create_flow_run", json=asked),
            ]
            # Prefect refuses job variables that the template does not have; not so those that a deployment gets later.
            client.patch(f"/deployments/{other}", json={"job_variables": variables}).raise_for_status()
            tried.append(client.post(f"/deployments/{other}/create_flow_run", json=asked))
            assert [one.is_success or one.status_code for one in tried] == [422, True, 422]
            runs = [one.json()["id"] for one in tried if one.is_success]
            # Of a run that crashes, Prefect's worker would look for hooks by way of the pull steps.
            crashed = client.post(f"/deployments/{again}/create_flow_run", json=asked).raise_for_status().json()["id"]
            eventually(lambda: kill_run(crashed), "the run has a process")
            runs.append(crashed)

            def over() -> bool:
                ended = [client.get(f"/flow_runs/{run}").json()["state"] for run in runs]
                states.update(dict(zip(runs, ended, strict=True)))
                return all(state["type"] in ENDED for state in ended)

            eventually(over, "the runs end", 150)
            time.sleep(2)
        finally:
            for made in (other, again):
                client.delete(f"/deployments/{made}").raise_for_status()
    assert list(marks.iterdir()) == []
    assert [states[run]["type"] for run in runs] == ["FAILED", "CRASHED"]
    assert "no-such-pipeline" in states[runs[0]]["message"]


def kill_run(run: str) -> bool:
    """Kill the process of a flow run, as soon as there is one."""
    found = marked("PREFECT__FLOW_RUN_ID", run)
    for process in found:
        process.kill()
    return bool(found)
