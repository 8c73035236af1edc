"""`modelyard status` and `modelyard doctor` where pods serve: a row for each model, few requests, nothing written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.core.errors import UsageError
from components.core.project import Project
from components.release import ledger as ledgers
from components.release.production import PRODUCTION, Pin, Production
from flows.cli.status import status as status_command
from flows.platform import stack_status
from flows.releases import controller, status
from flows.releases.controller import Controller
from flows.serving_targets import cluster_api, cluster_placement, cluster_report
from flows.serving_targets.cluster_api import ClusterApi
from tests.provenance import small_chain
from tests.serving_targets.cluster_site import Site, served_by_fake, serves, status_of, use_kubeconfig
from tests.serving_targets.fake_cluster import FakeCluster

PIN = Pin(version="3", package_digest="a" * 64, bundle=f"taken:{'3' * 12}", bundle_digest="b" * 64)
TAKEN = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"},
    "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the requests to the API server, by method."""
    found, send = Counter[str](), ClusterApi._send

    def count(api: ClusterApi, method: str, *words: Any) -> cluster_api.Response:
        found[method] += 1
        return send(api, method, *words)

    monkeypatch.setattr(ClusterApi, "_send", count)
    return found


def pipelines(project: Project, *names: str) -> None:
    project.pipelines.mkdir(exist_ok=True)
    for name in names:
        project.pipeline_file(name).write_text(small_chain.PIPELINE.replace("sample", name))


def decide(project: Project, name: str, pin: Pin) -> None:
    """Enter in the ledger that a version is champion."""
    facts = {PRODUCTION: Production(champion=pin).model_dump(mode="json")}
    for event in ("asked", "switched", "served"):
        ledgers.of(project, name).append(
            event,  # type: ignore[arg-type]
            release="r", role="champion", before=None, after=pin.side, asked_by="me",
            facts=facts if event == "asked" else {},
        )  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """An empty cluster, which a project in the same folder names."""
    (tmp_path / "modelyard.toml").write_text("[kubernetes]\nnamespace = 'models'\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("MODELYARD_PROJECT", str(tmp_path))
    with FakeCluster(tmp_path / "pods", {}).running() as found:
        use_kubeconfig(monkeypatch, found.kubeconfig(tmp_path / "kubeconfig"))
        yield found
    cluster_api.connect.cache_clear()


@pytest.mark.slow
def test_one_name_that_is_taken_hides_no_other_model(
    cluster: FakeCluster, tmp_path: Path, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    pipelines(project, "taken", "good", "never", "abc-")
    decide(project, "taken", PIN)
    decide(project, "good", PIN)
    cluster.act("POST", "/api/v1/namespaces/models/services", TAKEN)
    cluster.forbidden |= {(method, kind) for method in ("POST", "PATCH", "DELETE") for kind in cluster_api.COLLECTIONS}
    good, taken = status.of_all(project, None)
    assert (good.name, good.problem) == ("good", "")
    assert taken.problem == taken.state
    assert taken.problem.startswith("the name taken is taken: the Service of this name was not written by Modelyard")
    assert "rename the pipeline, or name another namespace" in str(taken.next_step)
    assert "kubectl delete" not in str(taken.next_step)
    assert set(asked) == {"GET"}
    found = cluster_report.finding(project)
    assert (found.verdict, "the name taken is taken" in found.found, "abc-" in found.found) == ("fail", True, True)
    with pytest.raises(UsageError, match="the name abc- cannot be"):
        cluster_placement.check(project, "abc-")
    monkeypatch.setattr(stack_status, "status", lambda _: ())
    shown = CliRunner().invoke(status_command, ["--json"], standalone_mode=False)
    assert shown.return_value == 1
    assert [row["problem"] for row in json.loads(shown.stdout)["models"]] == ["", taken.problem]
    assert "rename the pipeline" in CliRunner().invoke(status_command, [], standalone_mode=False).stderr


def test_a_cluster_that_is_away_is_asked_once_and_said_in_each_row(
    cluster: FakeCluster, tmp_path: Path, asked: Counter[str]
) -> None:
    project = Project(tmp_path)
    pipelines(project, "good", "better", "never")
    decide(project, "good", PIN)
    decide(project, "better", PIN)
    cluster.away = True
    rows = status.of_all(project, None)
    assert [(row.name, row.problem) for row in rows] == [
        (name, "the cluster does not answer as it should: apiserver is away") for name in ("better", "good")
    ]
    assert asked.total() == cluster_api.READ_ATTEMPTS  # of one question


class Registry:
    """One that does not answer."""

    def aliases(self) -> None:
        return None

    def error(self) -> str:
        return ""


@pytest.mark.slow
def test_a_look_asks_little_and_writes_nothing(
    tmp_path: Path, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served_by_fake(tmp_path) as site:
        pipelines(site.project, "sample", *(f"other-{number}" for number in range(33)))
        decide(site.project, "sample", site.pin("4"))
        serve(site)
        asked.clear()
        [row] = status.of_all(site.project, None)
        assert (row.name, row.actual, row.problem) == ("sample", "4", "")
        assert set(asked) == {"GET"}
        assert asked["GET"] <= 16, asked  # 551 before, 33 of which made a Secret
        secrets = {name for kind, name in site.cluster.store if kind == "Secret"}
        assert secrets == {"sample-controller", "sample-api-keys"}
        looks_of_controller(site, asked, monkeypatch)
        secret = site.cluster.store["Secret", "sample-controller"]
        site.cluster.save({**secret, "data": {}, "metadata": {**secret["metadata"], "labels": {}}})
        [row] = status.of_all(site.project, None)
        assert row.problem.startswith("the name sample-controller is taken")
        assert "sample-controller" in cluster_report.finding(site.project).found
        site.cluster.save({**secret, "data": {}})  # ours, without its entry: it is made anew with the next decision
        assert status.of_all(site.project, None)[0].problem == ""
        assert not site.target.is_applied(Production(champion=site.pin("4")))
        site.target.apply(Production(champion=site.pin("4")), site.next())
        assert site.target.is_applied(Production(champion=site.pin("4")))
        assert site.target._keys.controller_key is not None


def looks_of_controller(site: Site, asked: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller at rest asks about the one model that is placed, and not of the others."""
    monkeypatch.setattr(controller, "WorkerProcess", lambda: SimpleNamespace(is_alive=lambda: True))
    found = Controller(site.project, Registry())  # type: ignore[arg-type]
    found.reconcile_all()
    asked.clear()
    found.reconcile_all()
    assert set(asked) == {"GET"}
    assert asked["GET"] <= 12, asked  # 149 before


def serve(site: Site) -> None:
    """Version 4 serves, by the ledger's decision."""
    target = site.target
    target.apply(Production(champion=site.pin("4")), site.next())
    target.start(site.bundles["4"])
    target.wait(serves("4"), "serve version 4")
    assert status_of(site).workers
