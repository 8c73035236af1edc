"""`promote` and `rollback` of a model that pods serve: the fake API server, pods that are processes of real bundles.

The same against a real control plane: `tests/serving_targets/control_plane_cases.py`.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from tests.endtoend.cluster_release import NAME, release_and_go_back
from tests.endtoend.releases import Releases
from tests.serving_targets.fake_cluster import FakeCluster
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.mark.parametrize("hiccups", [0.0, 0.05])
def test_versions_are_released_to_pods_and_taken_back(
    hiccups: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(releases: Releases, predict: Callable[[], str]) -> None:
        """What somebody changes is put back by the controller, and nothing is done afterwards."""
        if hiccups:
            return

        def state() -> str:
            [row] = json.loads(releases.house.run("status", "--json").stdout)["models"]
            return f"{row['actual']}: {row['state']}"

        def is_written(since: str) -> bool:
            return bool(cluster.store["Service", NAME]["metadata"]["resourceVersion"] != since)

        service = cluster.store["Service", NAME]["spec"]["selector"]
        name = f"{NAME}-{service['modelyard.bundle']}"
        deployments = "/apis/apps/v1/namespaces/models/deployments"
        [container] = copy.deepcopy(cluster.store["Deployment", name]["spec"]["template"]["spec"]["containers"])
        container["image"] = f"registry.example/ml/{NAME}@sha256:{'2' * 64}"
        for path, change in (
            (f"/api/v1/namespaces/models/services/{NAME}", {"spec": {"selector": {"track": "stable"}}}),
            (f"{deployments}/{name}", {"spec": {"replicas": 0}}),
            (f"{deployments}/{name}", {"metadata": {"labels": {"modelyard.bundle": None}}}),
            (f"{deployments}/{name}", {"spec": {"template": {"spec": {"containers": [container]}}}}),
        ):
            version = cluster.store["Service", NAME]["metadata"]["resourceVersion"]
            cluster.act("PATCH", path, change)
            eventually(partial(is_written, version), "it is noticed")
            eventually(lambda: state() == "1: in step", "it is put back", seconds=60)
            assert {predict() for _ in range(5)} == {"1"}
            assert cluster.store["Service", NAME]["spec"]["selector"] == service
        version = cluster.store["Service", NAME]["metadata"]["resourceVersion"]
        time.sleep(3)
        assert not is_written(version), "nothing is to be done"

    with (
        tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as pods,
        FakeCluster(Path(pods), {}).running() as cluster,
    ):
        cluster.hiccups = hiccups  # of the API server; clients do not ask through it
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
        release_and_go_back(
            tmp_path, "[kubernetes]\nnamespace = 'models'\nready_seconds = 90\n", cluster.images, cluster.ask, meddle
        )
        assert cluster.found("Deployment", {}) == []
