"""A model served by pods: the fake API server over HTTP, real processes of real bundles as pods."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.access import api_keys, project_door
from components.contracts.pipeline import ServingOptions
from components.contracts.serving_spec import (
    ChallengerLimits,
    ServiceStatus,
    WorkerStatus,
)
from components.core.project import Project
from components.identity.package import Package
from components.packaging import pushed_image, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from components.release.production import Pin, Production
from flows.platform.environment import QUIET
from flows.serving_targets import cluster_api
from flows.serving_targets.kubernetes_target import KubernetesServingTarget
from flows.serving_targets.serving_target import target_of
from tests import small_package
from tests.serving_targets.fake_cluster import FakeCluster

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ChallengerLimits(max_error_rate=0.5, max_latency_ratio=1000.0, min_requests=10_000)
TOML = "[kubernetes]\nnamespace = 'models'\nreplicas = {replicas}\nready_seconds = 90\n"
GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\nmax_replicas = 4\nrequests_in_flight = 8\n"


def build(folder: Path, home: Path, version: str, seed: int) -> tuple[Bundle, Package]:
    """A real bundle of one version of `sample`."""
    folder.mkdir()
    package = small_package.build(folder / "package", seed=seed)
    request = BundleRequest(
        model="sample",
        version=version,
        key=version * 64,
        package=str(package.folder),
        home=str(home),
        source_root=str(ROOT),
        requirements=requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES),
        serving=ServingOptions(),
    )
    (folder / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(folder / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return Bundle(home, "sample", request.key), package


@dataclass
class Site:
    """A project, its cluster, and two versions."""

    project: Project
    cluster: FakeCluster
    bundles: dict[str, Bundle]
    packages: dict[str, Package]
    decision: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def target(self) -> KubernetesServingTarget:
        """The model's target, anew."""
        target = target_of(self.project, "sample")
        assert isinstance(target, KubernetesServingTarget)
        return target

    def configure(self, more: str = "", replicas: int = 2) -> None:
        """Write modelyard.toml."""
        (self.project.root / "modelyard.toml").write_text(TOML.format(replicas=replicas) + more)

    def pin(self, version: str) -> Pin:
        """The pin of a version."""
        bundle = self.bundles[version]
        return Pin(
            version=version,
            package_digest=self.packages[version].digest,
            bundle=bundle.tag,
            bundle_digest=bundle.verify().digest,
        )

    def next(self) -> int:
        """The number of the next decision."""
        self.decision += 1
        return self.decision

    def predict(self) -> str:
        """Ask as a client does; returns the version that answered, or what failed."""
        golden = self.packages["4"].golden()[0]
        content = (self.packages["4"].folder / "golden" / golden.file).read_bytes()
        ask = self.cluster.ask_route if ("HTTPRoute", "sample") in self.cluster.store else self.cluster.ask_service
        answer = ask("sample", "/predict", {"content-type": golden.media, "x-api-key": self.key}, content)
        return answer.headers.get("x-modelyard-version", f"HTTP {answer.status_code} {answer.text[:100]}")

    @property
    def key(self) -> str:
        """A client's API key."""
        return (self.project.root / "client.key").read_text()

    def running(self) -> set[str]:
        """Names of the Deployments."""
        return {name for kind, name in self.cluster.store if kind == "Deployment"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("cluster")
    project = Project(base / "project")
    project.root.mkdir()
    bundles, packages = {}, {}
    for version, seed in (("4", 1), ("5", 2)):
        bundles[version], packages[version] = build(base / version, project.bundles, version, seed)
        pushed_image.record(bundles[version], f"registry.example/ml/sample@sha256:{version * 64}")
    images = {f"registry.example/ml/sample@sha256:{version * 64}": bundle for version, bundle in bundles.items()}
    path = project_door.api_keys_file(project, "sample")
    path.parent.mkdir(parents=True, mode=0o700)
    (project.root / "client.key").write_text(api_keys.add(path, "client", "predict"))
    before = os.environ.get("KUBECONFIG")
    with (
        tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as pods,
        FakeCluster(Path(pods), images).running() as cluster,
    ):
        from kubernetes.config import kube_config

        os.environ["KUBECONFIG"] = str(cluster.kubeconfig(base / "kubeconfig"))
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"]  # read once, at import
        found = Site(project, cluster, bundles, packages)
        found.configure()
        yield found
    cluster_api.connect.cache_clear()
    os.environ.pop("KUBECONFIG")
    if before is not None:
        os.environ["KUBECONFIG"] = before


def _serves(version: str) -> Any:
    def holds(worker: WorkerStatus) -> bool:
        return worker.champion is not None and worker.champion.version == version

    return holds


def _status(site: Site) -> ServiceStatus:
    found = site.target.status()
    assert found is not None
    return found


@pytest.mark.slow
def test_the_first_version_is_staged_proven_and_switched_to(site: Site) -> None:
    target, pin = site.target, site.pin("4")
    assert target.status() is None
    assert (target.url, target.state(), target.spec()) == (None, "stopped", None)
    assert target.is_applied(Production())
    target.check_rollout(pin, None)
    target.apply(Production(), site.decision, staged=pin)
    target.start(site.bundles["4"])
    status = target.wait(lambda worker: worker.staged is not None and worker.staged.state == "ready", "load version 4")
    assert (status.hosts, status.expected, len(status.workers)) == (2, 2, 2)
    assert all(worker.champion is None for worker in status.workers)
    assert site.predict().startswith("HTTP 503")
    assert target.check_golden_examples(site.packages["4"], 1e-4, 1) < 1e-4
    target.apply(Production(champion=pin), site.next())
    target.wait(_serves("4"), "serve version 4")
    assert site.predict() == "4"
    assert target.is_applied(Production(champion=pin))
    assert (target.state(), target.url, target.ready_url()) == ("running", *(["http://sample.models.svc"] * 2))
