"""A project with two versions of a model, and the cluster that serves them, for tests of the serving target."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.access import api_keys, project_door
from components.contracts.pipeline import ServingOptions
from components.contracts.serving_spec import ServiceStatus, WorkerStatus
from components.core.project import Project
from components.identity.package import Package
from components.packaging import pushed_image, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from components.release.production import Pin
from flows.platform.environment import QUIET
from flows.serving_targets import cluster_api
from flows.serving_targets.kubernetes_target import KubernetesServingTarget
from flows.serving_targets.serving_target import target_of
from tests import small_package
from tests.serving_targets.fake_cluster import FakeCluster

ROOT = Path(__file__).resolve().parents[2]
TOML = "[kubernetes]\nnamespace = 'models'\nreplicas = {replicas}\nready_seconds = 90\n"


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
    cluster: Any  # FakeCluster, or a real one: `ask` and `found`
    bundles: dict[str, Bundle]
    packages: dict[str, Package]
    decision: int = 0

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
        answer = self.cluster.ask("sample", "/predict", {"content-type": golden.media, "x-api-key": self.key}, content)
        return str(answer.headers.get("x-modelyard-version", f"HTTP {answer.status_code} {answer.text[:100]}"))

    @property
    def key(self) -> str:
        """A client's API key."""
        return (self.project.root / "client.key").read_text()

    def running(self) -> set[str]:
        """Names of the Deployments."""
        return {one["metadata"]["name"] for one in self.cluster.found("Deployment", {})}


def prepare(base: Path) -> tuple[Project, dict[str, Bundle], dict[str, Package], dict[str, Bundle]]:
    """A project; bundles and packages by version; bundles by the reference of their image."""
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
    return project, bundles, packages, images


@contextmanager
def served_by_fake(base: Path) -> Iterator[Site]:
    """A site whose cluster is the fake one, while the block lasts."""
    project, bundles, packages, images = prepare(base)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as pods,
        FakeCluster(Path(pods), images).running() as cluster,
    ):
        use_kubeconfig(monkeypatch, cluster.kubeconfig(base / "kubeconfig"))
        found = Site(project, cluster, bundles, packages)
        found.configure()
        yield found
    cluster_api.connect.cache_clear()


def use_kubeconfig(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Have the client read a kubeconfig file, which it does once, at import."""
    from kubernetes.config import kube_config

    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def serves(version: str) -> Any:
    """Whether a worker's champion is a version."""

    def holds(worker: WorkerStatus) -> bool:
        return worker.champion is not None and worker.champion.version == version

    return holds


def status_of(site: Site) -> ServiceStatus:
    """What the workers report."""
    found = site.target.status()
    assert found is not None
    return found


@contextmanager
def clients(site: Site) -> Iterator[Counter[str]]:
    """Two clients that ask without a pause while the block lasts; counts what answered."""
    end, answers = threading.Event(), Counter[str]()

    def ask() -> None:
        while not end.is_set():
            answers[site.predict()] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        end.set()
        for thread in threads:
            thread.join()
