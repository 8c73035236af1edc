"""Stages as Jobs of Kubernetes, by Prefect's real Kubernetes worker and an API server that runs pods as processes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest

from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import PoolSpec
from components.core.errors import Interrupted, ModelyardError, UsageError
from components.core.project import Project
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import stage_runner
from flows.runners.job_runner import JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import PoolEngine
from tests.endtoend import pool_runs
from tests.endtoend.pool_runs import Worker, eventually, has_begun, long_training, through
from tests.endtoend.pool_runs import project as project  # fixtures
from tests.endtoend.pool_runs import spec as spec
from tests.house import House
from tests.runners.digits_requests import requests
from tests.runners.fake_cluster import FakeCluster

MISSING = importlib.util.find_spec("prefect_kubernetes") is None
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(MISSING, reason="`pip install prefect-kubernetes==0.8.0` first"),
]

IMAGE = f"registry.example.com/ml/modelyard@sha256:{'12' * 32}"
ABSENT = f"registry.example.com/ml/modelyard@sha256:{'34' * 32}"
SECRET = "modelyard"  # noqa: S105  # its name
POOL = PoolSpec(runner="pool", pool="cluster", cpus=1, memory_mb=2000)


@pytest.fixture(scope="module")
def cluster(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    secrets = {SECRET: connections.variables(house.root)}
    with FakeCluster(tmp_path_factory.mktemp("cluster") / "c", {IMAGE}, secrets) as found:
        yield found


@pytest.fixture(scope="module")
def client(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectClient]:
    server = connections.configured(house.project)
    with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
        for name, image in ((POOL.pool, IMAGE), ("absent", ABSENT)):
            file = tmp_path_factory.mktemp("template") / "pool.json"
            house.run(
                "pool", "create", name, "--type", "kubernetes", "--image", image, "--secret", SECRET, "--user", "1034",
                "--volume-claim", "shared", "--mount", str(tmp_path_factory.getbasetemp()), "--write", str(file),
            )  # fmt: skip
            body = {"name": name, "type": "kubernetes", "base_job_template": json.loads(file.read_text())}
            client.request("POST", "/work_pools/", body)
        yield client


@contextmanager
def started(house: House, cluster: FakeCluster, folder: Path, pool: str) -> Iterator[Worker]:
    found = Worker(house, folder, pool, "kubernetes", {"KUBECONFIG": str(cluster.kubeconfig)})
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def worker(
    house: House, client: PrefectClient, cluster: FakeCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    with started(house, cluster, tmp_path_factory.mktemp("worker"), POOL.pool) as found:
        yield found


def runner(
    project: Project, spec: PipelineSpec, client: PrefectClient, log: list[str], shared: Path, pool: PoolSpec = POOL
) -> JobRunner:
    return pool_runs.runner(project, spec, client, log, shared, pool)


def state(client: PrefectClient, job: str) -> str:
    return str(client.request("GET", f"/flow_runs/{job}")["state_type"])


def conditions(job: dict[str, Any]) -> list[str]:
    return [one["type"] for one in job["status"].get("conditions", [])]


def last_job(cluster: FakeCluster) -> str:
    return list(cluster.pods)[-1]


def test_a_job_makes_the_artifacts_that_this_machine_makes_and_holds_no_secret(
    worker: Worker, house: House, client: PrefectClient, cluster: FakeCluster, project: Project, spec: PipelineSpec,
    tmp_path: Path,
) -> None:  # fmt: skip
    events: list[str] = []
    log: list[str] = []
    elsewhere = through(runner(project, spec, client, log, tmp_path / "shared"), project, spec, events)
    assert {json.loads(line)["event"] for line in events} >= {"started", "metrics", "finished"}
    assert elsewhere == through(LocalProcessRunner(project.root), project, spec, events)
    assert len(cluster.submitted) == 2
    credentials = connections.variables(house.root)
    assert "PREFECT_API_AUTH_STRING" in credentials
    for job in cluster.submitted:
        kubernetes_validate.validate(job, "1.37", strict=True)
        assert not any(secret in json.dumps(job) for secret in credentials.values())
        check_job(job)
    assert cluster.pods[last_job(cluster)].environment.items() >= credentials.items()  # by the secret
    eventually(lambda: all(conditions(job) == ["Complete"] for job in cluster.jobs.values()))


def test_modelyard_run_makes_the_package_of_this_machine(worker: Worker, house: House, cluster: FakeCluster) -> None:
    settings: dict[str, Any] = {"train": {"epochs": 2, "threads": 1}, "gates": {}, "schedule": None}
    name = house.pipeline("by-cluster", **settings)
    here = house.json("run", name)
    house.pipeline("by-cluster", **settings, run={"train": POOL.model_dump(exclude_defaults=True)})
    jobs = len(cluster.submitted)
    again = house.run("run", name, "--force", "train")
    assert len(cluster.submitted) == jobs + 1
    assert f"of the work pool {POOL.pool}" in again.stderr
    assert here["package"][:12] in again.stdout


def check_job(job: dict[str, Any]) -> None:
    assert job["spec"]["backoffLimit"] == 0
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "2000Mi"}, "limits": {"cpu": "1", "memory": "2000Mi"}
    }  # fmt: skip
    assert container["envFrom"] == [{"secretRef": {"name": SECRET}}]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["HOME"] == "/tmp"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "PATH" not in environment


def test_a_killed_job_is_crashed_and_the_next_goes_on_from_its_checkpoint(
    worker: Worker, client: PrefectClient, cluster: FakeCluster, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    one = runner(project, longer, client, [], tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    cluster.pods[last_job(cluster)].kill()
    with pytest.raises(ModelyardError, match="ran out of its memory") as caught:
        one.follow(handle, lambda _: None, lambda _: None)
    assert "OOMKilled" in str(caught.value)
    assert state(client, handle.id) == "CRASHED"
    events: list[str] = []
    stage_runner.run(runner(project, longer, client, [], tmp_path / "shared"), request, events.append, lambda _: None)
    assert json.loads(events[0])["resumed"]


@pytest.mark.parametrize("how", ["evicted", "deleted"])
def test_a_job_that_the_cluster_ends_is_begun_again_by_prefect_and_the_run_goes_on(
    worker: Worker, client: PrefectClient, cluster: FakeCluster, project: Project, spec: PipelineSpec, tmp_path: Path,
    how: str,
) -> None:  # fmt: skip
    longer, request = long_training(project, spec)
    one = runner(project, longer, client, [], tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    ended = last_job(cluster)
    if how == "evicted":
        cluster.pods[ended].evict()
    else:
        httpx.delete(f"{cluster.url}/apis/batch/v1/namespaces/default/jobs/{ended}", timeout=60).raise_for_status()
    events: list[str] = []
    one.follow(handle, events.append, lambda _: None)
    assert last_job(cluster) != ended
    assert [json.loads(line)["resumed"] for line in events if json.loads(line)["event"] == "started"] == [False, True]
    assert state(client, handle.id) == "COMPLETED"


def test_ctrl_c_saves_a_checkpoint_and_ends_the_job(
    worker: Worker, client: PrefectClient, cluster: FakeCluster, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    longer, request = long_training(project, spec)
    one = runner(project, longer, client, [], tmp_path / "shared")
    handle = one.submit(request)
    eventually(has_begun(tmp_path / "shared"))
    job = last_job(cluster)
    assert isinstance(one.cancel(handle, grace_seconds=40), Interrupted)
    assert state(client, handle.id) == "CANCELLED"
    eventually(lambda: bool(conditions(cluster.jobs[job])))
    assert last_job(cluster) == job
    events: list[str] = []
    stage_runner.run(runner(project, longer, client, [], tmp_path / "shared"), request, events.append, lambda _: None)
    assert json.loads(events[0])["resumed"]


def test_an_image_that_cannot_be_pulled_is_named(
    house: House, client: PrefectClient, cluster: FakeCluster, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    pool = PoolSpec(runner="pool", pool="absent")
    log: list[str] = []
    one = runner(project, spec, client, log, tmp_path / "shared", pool)
    engine = PoolEngine(pool, client, print)
    with started(house, cluster, tmp_path / "worker", pool.pool):
        handle = one.submit(next(requests(project, spec)))
        eventually(lambda: "Image pull failed" in engine.state(handle.id, tmp_path).text)
        assert f"{ABSENT}: not found" in engine.state(handle.id, tmp_path).text
        assert one.cancel(handle, grace_seconds=20) is None
        assert state(client, handle.id) == "CANCELLED"
        assert f"kubectl delete job -l prefect.io/flow-run-id={handle.id}" in log[-1]


def test_a_pool_of_another_template_has_no_processors_to_give(
    client: PrefectClient, project: Project, spec: PipelineSpec, tmp_path: Path
) -> None:
    client.request("POST", "/work_pools/", {"name": "plain", "type": "process"})
    pool = PoolSpec(runner="pool", pool="plain", cpus=2)
    with pytest.raises(UsageError, match="cannot be given cpus"):
        runner(project, spec, client, [], tmp_path / "shared", pool).submit(next(requests(project, spec)))
