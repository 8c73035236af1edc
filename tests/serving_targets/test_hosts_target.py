"""A service on two hosts that are folders of this machine: real agents, a real supervisor and a real bundle in each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from components.access import api_keys, project_door
from components.access import secret as secrets
from components.contracts import serving_lease
from components.contracts.serving_lease import LEASE_FILE, Lease
from components.contracts.serving_spec import OvertakenError, ServiceStatus, WorkerStatus
from components.core.errors import CorruptArtifactError, ServingError, SpecError, StackError, UsageError
from components.core.project import Project
from components.deployment import host_unit
from components.identity.package import Package
from components.packaging.bundle import Bundle
from components.release.production import Pin, PinnedState, Production
from flows.platform import lifecycle, services
from flows.serving_targets import (
    host_boot,
    host_bundles,
    host_connection,
    host_connections,
    host_folder,
    hosts_handover,
    hosts_placement,
    hosts_report,
    lease_record,
    model_observation,
    session_folder,
)
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_leases import LeaseKeeper, surely_over_after
from flows.serving_targets.host_protocol import FORMAT, Grant, HostObservation, ModelObservation
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_left_behind import LeftBehind, left_behind
from flows.serving_targets.hosts_target import HostsServingTarget
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.serving_target import facts_of_hosts, not_served, target_of
from flows.serving_targets.session_folder import SessionFolder
from tests.packaging import small_bundle
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
CODE = ("components", "flows", "serving", "pipelines", "dvc.yaml", "requirements.lock")
NAMES = ("one", "two")


@dataclass
class Hosts:
    """A project without servers, two hosts, and a bundle."""

    project: Project
    folders: dict[str, Path]
    bundle: Bundle
    package: Package

    @property
    def target(self) -> HostsServingTarget:
        """The bundle's model on the hosts."""
        target = target_of(self.project, "sample")
        assert isinstance(target, HostsServingTarget)
        return target

    @property
    def production(self) -> Production:
        """The bundle is champion."""
        pin = Pin(
            version="4",
            package_digest=self.package.digest,
            bundle=self.bundle.tag,
            bundle_digest=self.bundle.verify().digest,
        )
        return Production(champion=pin)

    def agents(self) -> list[psutil.Process]:
        """The agents that run now."""
        folders = {str(folder) for folder in self.folders.values()}
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "flows.serving_targets.host_agent" in words and folders & set(words):
                found.append(process)
        return found


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    base = tmp_path_factory.mktemp("hosts")
    project = Project(base / "project")
    folders = {name: base / name for name in NAMES}
    for folder in (project.root, *folders.values()):
        folder.mkdir()
        for name in CODE:
            (folder / name).symlink_to(ROOT / name)
    text = [f'[hosts.{name}]\nfolder = "{folder}"\npython = "{sys.executable}"\n' for name, folder in folders.items()]
    (project.root / "modelyard.toml").write_text("\n".join(text))
    secrets.create(project_door.secret_file(project))
    (base / "build").mkdir()
    bundle = small_bundle.build_in(base / "build", project.bundles)
    try:
        yield Hosts(project, folders, bundle, Package.open(base / "build" / "package"))
    finally:
        host_connections.close_all()
        for folder in folders.values():
            lifecycle.down(Project(folder))


def _serves(worker: WorkerStatus) -> bool:
    return worker.champion is not None and worker.champion.version == "4"


@pytest.mark.slow
def test_every_host_gets_the_bundle_serves_it_and_proves_it(hosts: Hosts) -> None:
    target = hosts.target
    assert target.status() is None
    assert target.state() == "stopped"
    assert not target.is_applied(hosts.production)
    target.apply(hosts.production, 7)
    target.start(hosts.bundle)
    status = target.wait(_serves, "serve version 4")
    assert (status.hosts, status.absent, len(status.workers)) == (2, [], 2)
    assert facts_of_hosts(status) == {"hosts": 2}
    assert target.check_golden_examples(hosts.package, 1e-4, 1) < 1e-4
    assert target.is_applied(hosts.production)
    assert target.state() == "running"
    assert target.ready_url() == target.url
    for folder in hosts.folders.values():
        there = Bundle(Project(folder).bundles, "sample", hosts.bundle.key)
        assert there.verify().digest == hosts.bundle.verify().digest
        assert not list(there.home.glob("incoming-*"))
    report = hosts_report.report(hosts.project)
    assert [(host.name, host.problem, [one.state for one in host.services]) for host in report] == [
        ("one", "", ["ready"]),
        ("two", "", ["ready"]),
    ]
    with pytest.raises(ServingError, match="did not serve version 5 within") as refused:
        target.wait(lambda _: False, "serve version 5", timeout_seconds=0.3)
    assert refused.value.got == "one: 1 of 1 workers: champion 4; two: 1 of 1 workers: champion 4"


@pytest.mark.slow
def test_golden_examples_that_a_host_was_not_asked_for_prove_nothing(hosts: Hosts) -> None:
    settings = hosts.project.root / "modelyard.toml"
    text = settings.read_text()
    settings.write_text(f'{text}\n[hosts.gone]\nfolder = "/nowhere/at/all"\n')
    try:
        with pytest.raises(HostAbsentError, match="not every host could be asked"):
            hosts.target.check_golden_examples(hosts.package, 1e-4, 1)
    finally:
        settings.write_text(text)


@pytest.mark.slow
def test_an_older_decision_is_refused_by_a_host(hosts: Hosts) -> None:
    with pytest.raises(OvertakenError):
        hosts.target.apply(Production(), 6)
    assert hosts.target.is_applied(hosts.production)


@pytest.mark.slow
def test_starting_what_runs_changes_nothing(hosts: Hosts) -> None:
    before = [worker.worker for worker in _status(hosts).workers]
    hosts.target.start(hosts.bundle)
    assert [worker.worker for worker in _status(hosts).workers] == before


def _status(hosts: Hosts) -> ServiceStatus:
    status = hosts.target.status()
    assert status is not None
    return status


@pytest.mark.slow
def test_a_bundle_that_another_machine_has_built_is_brought_from_a_host(hosts: Hosts) -> None:
    pin = hosts.production.champion
    assert pin is not None
    aside = hosts.bundle.folder.with_name("aside")
    hosts.bundle.folder.rename(aside)
    unknown = pin.model_copy(update={"bundle_digest": "0" * 64})
    assert not hosts.target.bundle(unknown).exists()
    found = hosts.target.bundle(pin)
    assert found.verify().digest == pin.bundle_digest
    assert {path.name for path in found.folder.iterdir()} >= {"src", "bento.yaml", "manifest.json"}
    for folder in hosts.folders.values():
        assert not list(Project(folder).bundles.glob("incoming-*"))


@pytest.mark.slow
def test_api_keys_reach_the_hosts(hosts: Hosts) -> None:
    path = project_door.api_keys_file(hosts.project, "sample")
    path.parent.mkdir(parents=True, exist_ok=True)
    api_keys.add(path, "somebody", "predict")
    assert not hosts.target.is_applied(hosts.production)
    hosts.target.apply(hosts.production, 7)
    assert hosts.target.is_applied(hosts.production)
    for folder in hosts.folders.values():
        copy = project_door.api_keys_file(Project(folder), "sample")
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_an_agent_that_is_killed_or_hangs_is_replaced_and_the_service_goes_on(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(worker.worker for worker in _status(hosts).workers)
    killed = hosts.agents()
    assert len(killed) == 2
    for agent in killed:
        agent.kill()
    eventually(lambda: hosts.target.status() is None, "nobody answers")
    eventually(lambda: (found := hosts.target.status()) is not None and found.hosts == 2, "the hosts answer again")
    assert len(hosts.agents()) == 2
    assert sorted(worker.worker for worker in _status(hosts).workers) == before
    monkeypatch.setattr(host_connection, "OBSERVE_SECONDS", 0.3)
    for agent in hosts.agents():
        os.kill(agent.pid, signal.SIGSTOP)
    time.sleep(2 * host_connection.FRESH_SECONDS)
    assert hosts.target.status() is None
    monkeypatch.undo()
    eventually(lambda: (found := hosts.target.status()) is not None and found.hosts == 2, "the hosts answer again")
    assert sorted(worker.worker for worker in _status(hosts).workers) == before


@pytest.mark.slow
def test_a_host_that_is_away_for_a_moment_is_told_once_it_is_back(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, pin = hosts.target, hosts.production.champion
    away = {"one"}
    ask = HostConnection.ask

    def asked(host: HostConnection, method: str, path: str, *words: Any, **named: Any) -> Any:
        if host.name in away and path.endswith("/spec"):
            raise HostAbsentError("away")
        return ask(host, method, path, *words, **named)

    monkeypatch.setattr(HostConnection, "ask", asked)
    target.apply(hosts.production, 7, staged=pin)

    def is_staged(worker: WorkerStatus) -> bool:
        return worker.staged is not None

    with pytest.raises(ServingError, match="did not stage") as refused:
        target.wait(is_staged, "stage", timeout_seconds=3)
    assert "one: 1 of 1 workers: champion 4; two: 1 of 1 workers: champion 4 and staged 4" in str(refused.value.got)
    away.clear()
    assert len(target.wait(is_staged, "stage", timeout_seconds=20).workers) == 2
    monkeypatch.undo()
    target.apply(hosts.production, 7)
    target.wait(lambda worker: worker.staged is None, "let it go")


@pytest.mark.slow
def test_a_damaged_bundle_is_sent_again_also_while_its_version_is_loaded(hosts: Hosts) -> None:
    target, pin = hosts.target, hosts.production.champion
    assert pin is not None
    there = Bundle(Project(hosts.folders["one"]).bundles, "sample", hosts.bundle.key)
    model = next(there.source.rglob("model.onnx"))
    for send in (lambda: target.bring(pin), lambda: target.apply(hosts.production, 7, staged=pin)):
        model.chmod(0o644)
        model.write_bytes(model.read_bytes()[:-1])
        with pytest.raises(CorruptArtifactError):
            there.verify()
        send()
        assert there.verify().digest == hosts.bundle.verify().digest
    target.apply(hosts.production, 7)
    target.wait(lambda worker: worker.staged is None, "let it go")


@pytest.mark.slow
def test_what_arrives_otherwise_than_it_is_sealed_is_refused(hosts: Hosts) -> None:
    [connection, _] = hosts.target.hosts
    other = hosts.production.champion
    assert other is not None
    wrong = other.model_copy(update={"bundle_digest": "0" * 64})
    with pytest.raises(CorruptArtifactError, match="arrived otherwise"):
        host_bundles.bring(hosts.project, connection, hosts.bundle, wrong, needed=True)
    assert hosts.target.is_applied(hosts.production)


@pytest.mark.slow
def test_a_model_that_is_moved_ends_on_the_host_of_before_once_it_serves_on_the_other(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = hosts.project.root / "modelyard.toml"
    text = settings.read_text()
    settings.write_text(text.replace("[hosts.two]", 'models = ["other"]\n[hosts.two]'))
    target = hosts.target
    assert [host.name for host in target.hosts] == ["two"]
    assert [host.name for host in target.left_hosts] == ["one"]
    assert _status(hosts).hosts == 2, "until it ends there, it follows every decision"
    assert target.is_applied(hosts.production), "a balancer has to find the other host first"
    monkeypatch.setattr(hosts_handover, "HANDOVER_SECONDS", 0.0)
    assert not target.is_applied(hosts.production)
    target.apply(hosts.production, 7)
    assert target.left_hosts == ()
    assert _status(hosts).hosts == 1
    assert target.is_applied(hosts.production)
    settings.write_text(text)
    assert target.state() == "stopped", "that of the host that is furthest behind"
    target.apply(hosts.production, 7)
    target.start(hosts.bundle)
    assert target.wait(_serves, "serve version 4").hosts == 2


@pytest.mark.slow
def test_leases_are_granted_for_what_the_ledger_pins_and_end_with_the_setting(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = hosts.project.root / "modelyard.toml"
    text = settings.read_text()
    settings.write_text(f"{text}\n[serving]\nlease_seconds = 30\n")
    pinned = {"sample": PinnedState(sequence=7, production=hosts.production)}
    monkeypatch.setattr(LeaseKeeper, "_in_force", lambda *_: pinned)
    log: list[str] = []
    keeper = LeaseKeeper(hosts.project, log.append)
    assert "sample on one, sample on two" in hosts_report.finding(hosts.project).found
    _renewed(hosts, keeper, 30.0)
    assert hosts_report.finding(hosts.project).verdict == "ok"
    both = {"one": {"sample": 30.0}, "two": {"sample": 30.0}}
    eventually(lambda: lease_record.read(hosts.project) == both or keeper.renew(), "it is known that they follow it")
    monkeypatch.setattr(host_connection, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(HostConnection, "observe", _is_away("one"))
    behind = left_behind(hosts.target, 7)
    assert behind.waiting == ("one",)
    assert 30 < behind.seconds <= surely_over_after(30)
    monkeypatch.undo()
    monkeypatch.setattr(LeaseKeeper, "_in_force", lambda *_: pinned)
    settings.write_text(text)
    _renewed(hosts, keeper, None)
    eventually(lambda: lease_record.read(hosts.project) == {} or keeper.renew(), "nothing is known any more")
    assert left_behind(hosts.target, 7) == LeftBehind()
    assert log == []


def _renewed(hosts: Hosts, keeper: LeaseKeeper, seconds: float | None) -> None:
    def is_renewed() -> bool:
        keeper.renew()
        return {worker.lease_seconds for worker in _status(hosts).workers} == {seconds}

    eventually(is_renewed, f"every worker follows a lease of {seconds} s")


def _is_away(name: str) -> Callable[[HostConnection], HostObservation]:
    observe = HostConnection.observe

    def observed(host: HostConnection) -> HostObservation:
        if host.name == name:
            raise HostAbsentError("away")
        return observe(host)

    return observed


@pytest.mark.long
def test_at_boot_a_service_comes_back_only_under_a_lease_and_answers_when_it_is_renewed(hosts: Hosts) -> None:
    folders = {name: Project(folder) for name, folder in hosts.folders.items()}
    port = {host.name: one.port for host, one in hosts.target._present().items()}["one"]
    for project in folders.values():
        lifecycle.down(project)
    Lease(boot="before the restart", since=1.0, seconds=60.0).write(folders["one"].service("sample"))
    for project in folders.values():
        words = [sys.executable, "-m", "flows.serving_targets.host_boot", "start", str(project.root)]
        subprocess.run(words, check=True, cwd=project.root)
    url = f"http://127.0.0.1:{port}/readyz"

    def answers() -> int | None:
        try:
            return httpx.get(url, trust_env=False).status_code
        except httpx.TransportError:
            return None

    eventually(lambda: answers() == 503, "it has loaded what it has, and waits")
    assert services.names(folders["two"]) == []
    now = serving_lease.clock_seconds()
    grant = Grant(boot=serving_lease.boot_id(), since=now, seconds={"sample": 60.0})
    assert host_folder.take_leases(folders["one"], grant) == ["sample"]
    eventually(lambda: answers() == 200, "it answers")
    (folders["one"].service("sample") / LEASE_FILE).unlink()


@pytest.mark.slow
def test_a_service_is_stopped_on_every_host(hosts: Hosts) -> None:
    hosts.target.apply(Production(), 8)
    hosts.target.stop()
    assert hosts.target.url is None
    assert hosts.target.state() == "stopped"
    assert hosts.target.is_applied(Production())


def test_a_host_that_is_not_there_is_absent_and_says_why(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    (project.root / "modelyard.toml").write_text('[hosts.gone]\nfolder = "/nowhere/at/all"\n')
    [host] = hosts_report.report(project)
    assert "/nowhere/at/all" in host.problem
    with pytest.raises(HostAbsentError, match="none of the 1 hosts answers"):
        target_of(project, "sample").apply(Production(), 1)
    assert hosts_report.finding(project).verdict == "fail"
    assert target_of(project, "sample").status() is None


def test_while_no_host_answers_what_runs_here_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    (project.root / "modelyard.toml").write_text('[hosts.gone]\nfolder = "/nowhere/at/all"\n')
    here = "http://127.0.0.1:3000"
    worker = WorkerStatus(worker=1, generation=1, code="c", decision=7)
    monkeypatch.setattr(LocalServingTarget, "url", here)
    monkeypatch.setattr(LocalServingTarget, "ready_url", lambda _: here)
    monkeypatch.setattr(LocalServingTarget, "state", lambda _: "running")
    monkeypatch.setattr(
        LocalServingTarget, "status", lambda *_: ServiceStatus(model="sample", expected=1, workers=[worker])
    )
    target = target_of(project, "sample")
    assert (target.url, target.ready_url(), target.state()) == (here, here, "running")
    status = target.status()
    assert status is not None
    assert (status.workers, status.absent) == ([worker], ["gone"])
    applied: list[int] = []
    monkeypatch.setattr(LocalServingTarget, "apply", lambda _, production, decision, staged: applied.append(decision))
    target.apply(Production(), 8)
    assert applied == [8], "a rollback reaches what answers"
    assert not_served(target).what == "no host answers for sample"
    monkeypatch.setattr(host_connection.HostConnection, "observe", lambda _: HostObservation())
    assert (target.url, target.ready_url(), target.state(), target.status()) == (None, here, "stopped", None)


def test_a_project_whose_own_folder_is_a_host_goes_on_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalServingTarget, "url", "http://127.0.0.1:3000")
    status = ServiceStatus(model="sample", expected=1, workers=[])
    seen = {"sample": ModelObservation(port=3000, state="running", status=status)}
    monkeypatch.setattr(host_connection.HostConnection, "observe", lambda _: HostObservation(models=seen))
    for number, (folder, is_left_here) in enumerate(((tmp_path / "0", False), (tmp_path / "elsewhere", True))):
        project = Project(tmp_path / str(number))
        project.root.mkdir()
        (project.root / "modelyard.toml").write_text(f'[hosts.one]\nfolder = "{folder}"\n')
        target = target_of(project, "sample")
        assert isinstance(target, HostsServingTarget)
        assert hosts_handover.is_left_here(target.local, target._present()) is is_left_here


def test_a_service_that_does_not_answer_says_its_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    (tmp_path / "modelyard.toml").write_text('[hosts.one]\nfolder = "/srv/one"\n')
    observation = ModelObservation(port=3000, state="running", note="Error: cannot assign 10.0.0.9")
    monkeypatch.setattr(
        host_connection.HostConnection, "observe", lambda _: HostObservation(models={"sample": observation})
    )
    [host] = hosts_report.report(project)
    assert [(one.state, one.url, one.note) for one in host.services] == [
        ("starting", "http://127.0.0.1:3000", "Error: cannot assign 10.0.0.9")
    ]


def test_folders_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal, tempfile; from flows.serving_targets.session_folder import SessionFolder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "folder = SessionFolder(); (folder.path / 'agent').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    own = SessionFolder()
    (other,) = set(tmp_path.iterdir()) - {own.path}
    assert session_folder.remove_left() == [], "it is young: its process may just be making it"
    for path in (other, own.path):
        os.utime(path, (0, 0))
    assert session_folder.remove_left() == [other]
    own.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_host_with_another_version_says_so(tmp_path: Path) -> None:
    project, folder = Project(tmp_path / "project"), tmp_path / "host"
    for path in (project.root, folder):
        path.mkdir()
    python = folder / "python"
    python.write_text("#!/bin/sh\necho modelyard host agent 1\nread line\n")
    python.chmod(0o700)
    (project.root / "modelyard.toml").write_text(f'[hosts.old]\nfolder = "{folder}"\npython = "python"\n')
    [connection] = host_connections.connections(project)
    with pytest.raises(HostAbsentError) as refused:
        connection.observe()
    assert refused.value.lines() == [
        "the host old has another version of Modelyard",
        f"  where:    {folder}",
        "  got:      it speaks interface 1",
        f"  expected: interface {FORMAT}, as this version does",
        "  next:     `git pull` and `make install` in the clone with the older version",
    ]
    [host] = hosts_report.report(project)
    assert host.problem == "the host old has another version of Modelyard; it speaks interface 1"
    connection.close()


def test_a_unit_for_systemd_starts_a_host_at_boot(tmp_path: Path) -> None:
    folder = tmp_path / "a 100% folder"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    text = host_unit.unit("serve1", "root", str(folder), ".venv/bin/python")
    assert f"WorkingDirectory={str(folder).replace('%', '%%')}\n" in text
    assert 'host_boot start "' in text
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here (Debian: apt-get install systemd)")
    path = tmp_path / host_unit.unit_name("serve1")
    path.write_text(text)
    done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(text.replace(".venv/bin/python", ".venv/bin/none"))
    assert subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True).returncode != 0


def test_a_folder_that_no_controller_has_reached_is_not_started(tmp_path: Path) -> None:
    for name in CODE:
        (tmp_path / name).symlink_to(ROOT / name)
    with pytest.raises(StackError, match="no project's host yet"):
        host_boot.start(Project(tmp_path))
    assert project_door.secret_of(Project(tmp_path)) is None


def test_a_model_without_a_host_and_a_host_with_an_unknown_model_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.pipelines.mkdir(parents=True)
    for name in ("digits", "words"):
        (project.pipelines / f"{name}.yaml").touch()
    settings = tmp_path / "modelyard.toml"
    settings.write_text('[hosts.one]\nfolder = "/srv/one"\nmodels = ["digits", "digts"]\n')
    with pytest.raises(SpecError) as unknown:
        hosts_placement.check(project)
    assert str(unknown.value.problems[0]) == (
        "line 3: hosts.one.models: no such pipeline; there are digits, words (got digts)"
    )
    assert hosts_report.finding(project).verdict == "fail"
    settings.write_text('[hosts.one]\nfolder = "/srv/one"\nmodels = ["digits"]\n')
    hosts_placement.check(project)
    hosts_placement.check(project, "digits")
    with pytest.raises(SpecError) as homeless:
        hosts_placement.check(project, "words")
    assert "no host is to serve words" in str(homeless.value.problems[0])
    target = target_of(project, "words")
    pin = Pin(version="1", package_digest="0" * 64, bundle="words:1", bundle_digest=None)
    for step in (lambda: target.check_rollout(pin, None), lambda: target.apply(Production(champion=pin), 1)):
        with pytest.raises(UsageError, match="no host is to serve words"):
            step()


def test_hosts_are_counted_together() -> None:
    worker = WorkerStatus(worker=1, generation=1, code="c")
    one = ServiceStatus(model="m", expected=2, workers=[worker, worker])
    together = model_observation.combined("m", {"a": one, "b": None}, ["c"])
    assert together is not None
    assert (together.expected, len(together.workers), together.hosts, together.absent) == (3, 2, 2, ["c"])
    assert facts_of_hosts(together) == {"hosts": 2, "absent": ["c"]}
    assert model_observation.combined("m", {"b": None}, ["c"]) is None
    assert facts_of_hosts(one) == {}
