"""One model on two hosts: a release is done when every host serves, and a host that is away is said and caught up with.

One host is reached by a real `sshd`, where there is one; the other is a folder on this machine. Before both stands a
real HAProxy, where there is one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from components.access import project_door
from components.core.project import Project
from components.packaging.bundle import Bundle
from components.release import production as productions
from flows.platform import lifecycle, ports
from flows.platform.process_mark import STACK
from tests import small_package, ssh_server
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy
from tests.ssh_server import SshServer
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
CODE = ("components", "flows", "serving", "pipelines", "dvc.yaml", "requirements.lock")
needs_ssh = pytest.mark.skipif(ssh_server.missing() is not None, reason=str(ssh_server.missing()))
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


@dataclass
class Cluster:
    """A project whose models are served on the hosts `far`, by ssh if that can be had, and `near`."""

    releases: Releases
    servers: dict[str, SshServer]
    folders: dict[str, Path]

    @property
    def project(self) -> Project:
        """The one that decides."""
        return self.releases.house.project

    def report(self) -> dict[str, dict[str, Any]]:
        """`modelyard hosts --json`, by host."""
        done = self.releases.house.run("hosts", "--json", check=False)
        return {host["name"]: host for host in json.loads(done.stdout)}

    def ports(self, model: str) -> dict[str, int]:
        """Where each host serves it."""
        return {
            name: int(one["url"].rpartition(":")[2])
            for name, host in self.report().items()
            for one in host["services"]
            if one["model"] == model and one["url"]
        }

    def answers(self, model: str) -> dict[str, str | None]:
        """The version that answers a request, by host."""
        return {name: _version(port) for name, port in self.ports(model).items()}

    def everywhere(self, model: str, version: str) -> None:
        """Wait until every host answers with this version, and the release is closed."""
        both = dict.fromkeys(self.folders, version)
        eventually(lambda: self.releases.is_settled(model) and self.answers(model) == both, f"{model} {version}")

    def kill(self, host: str) -> int:
        """Kill everything that runs in a host's folder, as a machine that loses its power; returns how many."""
        count = 0
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                is_agent = str(self.folders[host]) in process.cmdline() and "host_agent" in " ".join(process.cmdline())
                if is_agent or process.environ().get(STACK) == str(self.folders[host]):
                    process.kill()
                    count += 1
        return count


def _version(port: int) -> str | None:
    """The version that answers a request; None: there is no answer."""
    try:
        response = httpx.post(
            f"http://127.0.0.1:{port}/predict",
            content=small_package.image(0),
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
            timeout=10,
        )
    except httpx.HTTPError:
        return None
    return response.headers.get("X-Modelyard-Version")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = tmp_path_factory.mktemp("hosts")
    folders = {name: base / name for name in ("far", "near")}
    for folder in folders.values():
        folder.mkdir()
        for name in CODE:
            (folder / name).symlink_to(ROOT / name)
    servers: dict[str, SshServer] = {}
    with ExitStack() as during, pytest.MonkeyPatch.context() as patch:
        if ssh_server.missing() is None:
            servers["far"] = SshServer(base / "far-ssh", ports.choose(24400, ()))
            servers["far"].start()
            during.callback(servers["far"].stop)
            for key, value in ssh_server.client(base / "ssh", list(servers.values())).items():
                patch.setenv(key, value)
        text = ""
        for name, folder in folders.items():
            ssh = f'ssh = "{servers[name].name}"\naddress = "127.0.0.1"\n' if name in servers else ""
            text += f'[hosts.{name}]\n{ssh}folder = "{folder}"\npython = "{sys.executable}"\n\n'
        for folder in folders.values():  # after the project's own: its controller would start them again
            during.callback(lifecycle.down, Project(folder))

        def settle(root: Path) -> None:
            (root / "modelyard.toml").write_text(text)

        house = during.enter_context(running_copy(base / "project", settle))
        releases = Releases(house)
        with releases.api:
            yield Cluster(releases, servers, folders)


@pytest.fixture(scope="module")
def model(cluster: Cluster) -> str:
    """A model with three versions; one of them serves on both hosts."""
    name = cluster.releases.pipeline("everywhere")
    for seed in (1, 2, 3):
        cluster.releases.register(name, seed=seed)
    cluster.releases.set(name, "1")
    cluster.everywhere(name, "1")
    return name


def test_a_release_is_done_when_every_host_serves_it(cluster: Cluster, model: str) -> None:
    releases = cluster.releases
    staged, switched = (releases.wait_for(model, "1", event) for event in ("staged", "switched"))
    assert staged.facts["hosts"] == switched.facts["hosts"] == 2
    assert "absent" not in switched.facts
    assert releases.service(model).url is None, "this machine serves nothing"
    report = cluster.report()
    assert {name: [one["state"] for one in host["services"]] for name, host in report.items()} == {
        "far": ["ready"],
        "near": ["ready"],
    }
    keys = [project_door.secret_file(Project(folder)) for folder in cluster.folders.values()]
    assert {path.read_text() for path in keys} == {project_door.secret_file(cluster.project).read_text()}
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}


@dataclass
class Traffic:
    """Requests that go on until told to stop."""

    counts: Counter[object] = field(default_factory=Counter)
    last: dict[object, float] = field(default_factory=dict)

    @contextmanager
    def to(self, url: str) -> Iterator[Traffic]:
        """Two clients with kept connections."""
        done = threading.Event()

        def ask() -> None:
            with httpx.Client(trust_env=False, timeout=30) as client:
                while not done.is_set():
                    content, media = small_package.image(0), {"content-type": "application/octet-stream"}
                    try:
                        response = client.post(f"{url}/predict", content=content, headers=media)
                        seen: object = (response.status_code, response.headers.get("X-Modelyard-Version"))
                    except httpx.HTTPError as error:
                        seen = type(error).__name__
                    self.counts[seen] += 1
                    self.last[seen] = time.time()
                    time.sleep(0.02)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            done.set()
            for thread in threads:
                thread.join()


@needs_haproxy
def test_production_follows_behind_a_balancer_without_a_failed_request(
    cluster: Cluster, model: str, tmp_path: Path
) -> None:
    port = ports.choose(24500, ())
    written = cluster.releases.house.run("hosts", model, "--haproxy", "--bind", f"127.0.0.1:{port}").stdout
    (tmp_path / "haproxy.cfg").write_text(written)
    balancer = subprocess.Popen(["haproxy", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _version(port) == "1", "the balancer finds a host")
        with Traffic().to(f"http://127.0.0.1:{port}") as traffic:
            cluster.releases.set(model, "2")
            cluster.everywhere(model, "2")
            time.sleep(1)
        assert set(traffic.counts) == {(200, "1"), (200, "2")}
        switched = next(one for one in reversed(cluster.releases.entries(model)) if one.event == "switched")
        recorded = datetime.fromisoformat(switched.time).timestamp()
        assert traffic.last[200, "1"] <= recorded + 0.05, "an answer by the version before, after the switch was done"
    finally:
        balancer.terminate()
        balancer.wait()


def test_a_host_that_dies_serves_again(cluster: Cluster, model: str) -> None:
    before = next(iter(set(cluster.answers(model).values())))
    assert before is not None
    assert cluster.kill("near") >= 2
    cluster.everywhere(model, before)


@needs_ssh
def test_a_rollback_does_not_wait_for_a_host_that_is_away_which_follows_when_it_is_back(
    cluster: Cluster, model: str
) -> None:
    releases = cluster.releases
    releases.set(model, "2")
    cluster.everywhere(model, "2")
    cluster.servers["far"].stop()
    eventually(lambda: cluster.report()["far"]["problem"], "far is seen to be away")
    assert cluster.releases.house.run("hosts", check=False).returncode == 1
    since = len(releases.entries(model))
    releases.set(model, "1")
    entry = releases.wait_for(model, "1", "switched", since=since)
    assert entry.facts["absent"] == ["far"]
    assert cluster.answers(model) == {"near": "1"}
    cluster.servers["far"].start()
    cluster.everywhere(model, "1")


@contextmanager
def _settings(cluster: Cluster, section: str) -> Iterator[None]:
    """More in modelyard.toml during the block."""
    path = cluster.project.root / "modelyard.toml"
    text = path.read_text()
    path.write_text(f"{text}{section}\n")
    try:
        yield
    finally:
        path.write_text(text)


@contextmanager
def _balanced(cluster: Cluster, model: str, folder: Path) -> Iterator[str]:
    """The URL of HAProxy before the hosts of a model, with the file that `modelyard hosts` writes."""
    port = ports.choose(24500, ())
    written = cluster.releases.house.run("hosts", model, "--haproxy", "--bind", f"127.0.0.1:{port}").stdout
    (folder / "haproxy.cfg").write_text(written)
    balancer = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _version(port) is not None, "the balancer finds a host")
        yield f"http://127.0.0.1:{port}"
    finally:
        balancer.terminate()
        balancer.wait()


def _leases(cluster: Cluster, model: str) -> set[float | None]:
    return {
        one["lease_seconds"] for host in cluster.report().values() for one in host["services"] if one["model"] == model
    }


@needs_ssh
@needs_haproxy
def test_with_leases_no_host_answers_with_a_version_that_is_not_in_force(
    cluster: Cluster, model: str, tmp_path: Path
) -> None:
    releases = cluster.releases
    releases.set(model, "2")
    cluster.everywhere(model, "2")
    with _settings(cluster, "[serving]\nlease_seconds = 6"):
        eventually(lambda: _leases(cluster, model) == {6.0}, "both hosts hold a lease")
        far = cluster.ports(model)["far"]
        with _balanced(cluster, model, tmp_path) as url, Traffic().to(url) as traffic:
            time.sleep(7)  # longer than a lease: it is renewed
            cluster.servers["far"].stop()  # cut off from what decides, and not from its clients
            since = len(releases.entries(model))
            releases.set(model, "1")
            switched = releases.wait_for(model, "1", "switched", since=since)
            served = releases.wait_for(model, "1", "served", since=since)
            time.sleep(2)
        assert (switched.facts["absent"], served.facts["absent"]) == (["far"], ["far"])
        assert served.facts["lease_over"] == ["far"]
        at_switch, at_end = (datetime.fromisoformat(one.time).timestamp() for one in (switched, served))
        assert at_switch < traffic.last[200, "2"] <= at_end, (
            "the host that is cut off answered until its lease was over"
        )
        assert at_end - at_switch < 6 * 1.01 + 3
        assert set(traffic.counts) == {(200, "1"), (200, "2")}, "the balancer asked the other host"
        refused = httpx.get(f"http://127.0.0.1:{far}/readyz", trust_env=False)
        assert (refused.status_code, refused.json()["code"]) == (503, "lease_over")
        assert _version(far) is None
        cluster.servers["far"].start()
        cluster.everywhere(model, "1")
    eventually(lambda: _leases(cluster, model) == {None}, "no host holds a lease any more")


@needs_ssh
def test_a_release_waits_for_a_host_unless_the_settings_allow_it_to_be_away(cluster: Cluster, model: str) -> None:
    releases, settings = cluster.releases, cluster.project.root / "modelyard.toml"
    cluster.everywhere(model, "1")
    cluster.servers["far"].stop()
    eventually(lambda: cluster.report()["far"]["problem"], "far is seen to be away")
    since, text = len(releases.entries(model)), settings.read_text()
    releases.set(model, "3")
    releases.wait_for(model, "3", "gated", since=since)
    time.sleep(3)
    assert "switching" not in releases.events(model, "3")
    assert cluster.answers(model) == {"near": "1"}
    settings.write_text(f"{text}[serving]\nabsent_hosts = 1\n")
    facts = releases.wait_for(model, "3", "switched", since=since).facts
    settings.write_text(text)
    assert (facts["hosts"], facts["absent"]) == (1, ["far"])
    cluster.servers["far"].start()
    cluster.everywhere(model, "3")


@needs_haproxy
def test_a_model_is_moved_to_another_host_without_a_failed_request(
    cluster: Cluster, model: str, tmp_path: Path
) -> None:
    champion = cluster.answers(model)["near"]
    assert champion is not None
    path = cluster.project.root / "modelyard.toml"
    text = path.read_text()
    with _balanced(cluster, model, tmp_path) as url, Traffic().to(url) as traffic:
        path.write_text(text.replace("[hosts.near]\n", "[hosts.near]\nmodels = []\n"))
        eventually(lambda: cluster.answers(model) == {"far": champion}, "far alone serves it")
        path.write_text(text)
        cluster.everywhere(model, champion)
    assert set(traffic.counts) == {(200, champion)}
    since = len(cluster.releases.entries(model))
    path.write_text(re.sub(r"(?m)^\[hosts\..*\]$", r"\g<0>\nmodels = []", text))
    refused = cluster.releases.house.run("promote", model, champion, check=False)
    path.write_text(text)
    assert refused.returncode == 2
    assert "no host is to serve everywhere" in refused.stderr
    assert len(cluster.releases.entries(model)) == since


def test_a_damaged_bundle_on_a_host_is_sent_again(cluster: Cluster, model: str) -> None:
    champion = cluster.answers(model)["near"]
    assert champion is not None
    other = "2" if champion == "1" else "1"
    folder = cluster.folders["near"] / ".modelyard" / "bentoml" / "bentos" / model
    for path in folder.glob("*/src/package/model.safetensors"):
        path.chmod(0o600)
        path.write_bytes(b"damaged")
    cluster.kill("near")  # what its workers have in memory is gone
    cluster.everywhere(model, champion)
    cluster.releases.set(model, other)
    cluster.everywhere(model, other)
    for version in (champion, other):
        pin = next(pin for pin in productions.pins(cluster.releases.entries(model)).values() if pin.version == version)
        there = Bundle(Project(cluster.folders["near"]).bundles, model, pin.bundle.partition(":")[2])
        assert there.verify().digest == pin.bundle_digest


def test_a_folder_of_another_project_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in CODE:
        (other / name).symlink_to(ROOT / name)
    secret = project_door.secret_file(Project(other))
    secret.parent.mkdir(parents=True)
    secret.write_text("x" * 43 + "\n")
    secret.chmod(0o600)
    settings = cluster.project.root / "modelyard.toml"
    text = settings.read_text()
    settings.write_text(f'{text}[hosts.foreign]\nfolder = "{other}"\npython = "{sys.executable}"\n')
    try:
        assert "belongs to another project" in cluster.report()["foreign"]["problem"]
    finally:
        settings.write_text(text)
    assert secret.read_text() == "x" * 43 + "\n"
    assert not (other / ".modelyard" / "services").exists()


def test_without_hosts_this_machine_serves_again(cluster: Cluster, model: str) -> None:
    settings = cluster.project.root / "modelyard.toml"
    text = settings.read_text()
    settings.unlink()
    try:
        eventually(lambda: cluster.releases.serves(model) is not None, "served here")
    finally:
        settings.write_text(text)
    eventually(lambda: cluster.releases.service(model).url is None, "what served here ends once the hosts serve")
    assert os.listdir(cluster.project.service(model))
