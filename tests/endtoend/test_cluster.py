"""`promote` and `rollback` of a model that pods serve: the fake API server, pods that are processes of real bundles.

The same against a real control plane: `tests/serving_targets/control_plane_cases.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from tests.endtoend.cluster_release import release_and_go_back
from tests.serving_targets.fake_cluster import FakeCluster

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.mark.parametrize("hiccups", [0.0, 0.05])
def test_versions_are_released_to_pods_and_taken_back(
    hiccups: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as pods,
        FakeCluster(Path(pods), {}).running() as cluster,
    ):
        cluster.hiccups = hiccups  # of the API server; clients do not ask through it
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
        release_and_go_back(
            tmp_path, "[kubernetes]\nnamespace = 'models'\nready_seconds = 90\n", cluster.images, cluster.ask
        )
        assert cluster.found("Deployment", {}) == []
