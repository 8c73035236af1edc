"""Leases of hosts: what a grant may know, how long it lasts, and who is left behind a decision."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.contracts import serving_lease
from components.contracts.serving_lease import Lease
from components.contracts.serving_spec import ServiceStatus, ServingSpec, SlotStatus, WorkerStatus
from components.core.errors import SpecError
from components.core.project import Project
from components.release import history, ledger_place
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.production import PRODUCTION, Pin, PinnedState, Production
from flows.releases import rollback
from flows.serving_targets import (
    host_connection,
    host_connections,
    host_folder,
    host_leases,
    hosts_left_behind,
    lease_record,
)
from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_leases import LeaseKeeper, is_in_force, surely_over_after
from flows.serving_targets.host_protocol import Grant, HostObservation, ModelObservation
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_left_behind import LeftBehind, left_behind
from flows.serving_targets.hosts_target import HostsServingTarget
from flows.serving_targets.lease_record import LeaseRecord
from flows.serving_targets.serving_target import target_of
from tests.waiting import eventually

BOOT = serving_lease.boot_id()
LEASE = 60.0
PIN = Pin(version="4", package_digest="4" * 64, bundle="digits:4", bundle_digest=None)
PINNED = PinnedState(sequence=7, production=Production(champion=PIN))


def grant(since: float, seconds: float | None = LEASE, boot: str = BOOT) -> Grant:
    return Grant(boot=boot, since=since, seconds={"digits": seconds})


def seen(
    decision: int = 7, version: str = "4", *, lease: float | None = LEASE, over: bool = False, failed: bool = False
) -> ModelObservation:
    """A service of two workers, the second of which is as said."""

    def slot(number: str) -> SlotStatus:
        return SlotStatus(version=number, package_digest=number * 64, state="ready", since=0.0)

    workers = [
        WorkerStatus(worker=1, generation=1, code="c", champion=slot("4"), decision=7, lease_seconds=lease),
        WorkerStatus(
            worker=2, generation=1, code="c", champion=slot(version), champion_failed=slot("4") if failed else None,
            decision=decision, lease_seconds=lease, lease_is_over=over,
        ),
    ]  # fmt: skip
    status = ServiceStatus(model="digits", expected=2, workers=workers)
    return ModelObservation(port=3000, state="running", status=status, spec=ServingSpec(generation=1, decision=7))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    text = "".join(f'[hosts.{name}]\nfolder = "/srv/{name}"\n' for name in ("far", "near"))
    (tmp_path / "modelyard.toml").write_text(f"{text}[serving]\nlease_seconds = {LEASE:g}\n")
    return Project(tmp_path)


def observed(monkeypatch: pytest.MonkeyPatch, hosts: Mapping[str, ModelObservation | None], clock: float = 0.0) -> None:
    """What the hosts say; None: the host is away."""

    def observe(host: HostConnection) -> HostObservation:
        one = hosts[host.name]
        if one is None:
            raise HostAbsentError("away")
        return HostObservation(boot=BOOT, clock_seconds=clock, models={"digits": one})

    monkeypatch.setattr(HostConnection, "observe", observe)


def test_a_grant_that_was_overtaken_or_is_of_another_start_is_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    folder = project.service("digits")
    assert host_folder.take_leases(project, grant(100.0)) == ["digits"]
    assert host_folder.take_leases(project, grant(99.0, 600.0)) == []
    assert host_folder.take_leases(project, grant(101.0, 600.0, "before the restart")) == []
    assert Lease.read(folder) == Lease(boot=BOOT, since=100.0, seconds=LEASE)
    assert host_folder.take_leases(project, grant(99.5, None)) == []
    assert host_folder.take_leases(project, grant(102.0, None)) == ["digits"]
    assert Lease.read(folder) is None


def test_a_lease_is_renewed_only_where_every_worker_holds_what_is_pinned() -> None:
    assert is_in_force(seen(), PINNED)
    assert not is_in_force(seen(decision=6), PINNED)
    assert not is_in_force(seen(version="3"), PINNED)
    assert not is_in_force(seen(failed=True), PINNED)
    assert not is_in_force(seen(), PinnedState(sequence=8, production=PINNED.production))
    assert not is_in_force(seen().model_copy(update={"spec": None}), PINNED)
    assert not is_in_force(seen().model_copy(update={"status": None}), PINNED)


def test_the_longest_lease_is_known_before_it_is_granted_and_a_shorter_one_once_it_is_followed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, granted = LeaseKeeper(project, print), list[tuple[Grant, float | None]]()
    monkeypatch.setattr(LeaseKeeper, "_in_force", lambda *_: {"digits": PINNED})
    monkeypatch.setattr(HostConnection, "grant", lambda _, one: granted.append((one, known())))
    [far, _] = host_connections.connections(project)

    def known() -> float | None:
        return lease_record.read(project).get("far", {}).get("digits")

    def renew(seconds: float, one: ModelObservation, clock: float) -> None:
        settings = project.root / "modelyard.toml"
        settings.write_text(f'[hosts.far]\nfolder = "/srv/far"\n[serving]\nlease_seconds = {seconds}\n')
        observed(monkeypatch, {"far": one}, clock)
        keeper._renew(far, host_leases.settings.read(project.root).serving)

    renew(60.0, seen(lease=None), 100.0)
    assert known() is None, "a worker without a lease answers for good"
    renew(60.0, seen(lease=60.0), 101.0)
    assert known() == 60
    renew(60.0, seen(lease=60.0), 106.5)
    assert [one.since for one, _ in granted] == [100.0, 106.5], "a host need not write it each second"
    renew(60.0, seen(lease=60.0, over=True), 107.0)
    assert granted[-1][0].since == 107
    renew(600.0, seen(lease=60.0), 108.0)
    assert granted[-1] == (grant(108.0, 600.0), 600.0)
    renew(30.0, seen(lease=600.0), 109.0)
    assert known() == 600
    renew(30.0, seen(lease=30.0), 110.0)
    assert known() == 30
    renew(30.0, seen(decision=6, lease=30.0), 140.0)
    assert granted[-1][0].since < 140, "what holds something else is not renewed"
    observed(monkeypatch, {"far": ModelObservation()})
    renew(30.0, ModelObservation(), 141.0)
    assert known() is None


def test_a_slip_in_the_settings_ends_no_lease(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, granted = LeaseKeeper(project, print), list[str]()
    monkeypatch.setattr(LeaseKeeper, "_in_force", lambda *_: {"digits": PINNED})
    monkeypatch.setattr(HostConnection, "grant", lambda host, _: granted.append(host.name))
    observed(monkeypatch, {"far": seen(), "near": seen(over=True)})
    keeper.renew()
    eventually(lambda: sorted(granted) == ["far", "near"], "both hold leases")
    (project.root / "modelyard.toml").write_text("[serving]\nlease_secnds = 60\n")
    granted.clear()
    keeper.renew()
    eventually(lambda: granted == ["near"], "the one whose lease is over gets another")


def test_a_lease_ends_also_where_nobody_knew_of_it_when_leases_were_taken_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted = list[tuple[str, dict[str, float | None]]]()
    monkeypatch.setattr(LeaseKeeper, "_in_force", lambda *_: {"digits": PINNED})
    monkeypatch.setattr(HostConnection, "grant", lambda host, one: granted.append((host.name, one.seconds)))
    (project.root / "modelyard.toml").write_text(
        "".join(f'[hosts.{name}]\nfolder = "/srv/{name}"\n' for name in ("far", "near"))
    )
    stopped = ModelObservation(lease_seconds=LEASE)  # a service that is started would find the lease in its folder
    observed(monkeypatch, {"far": seen(over=True), "near": stopped})
    keeper = LeaseKeeper(project, print)  # as after a start: no lease is known

    def renewed(count: int) -> bool:
        keeper.renew()
        return len(granted) >= count

    eventually(lambda: renewed(2), "both are told")
    assert dict(granted) == {"far": {"digits": None}, "near": {"digits": None}}
    observed(monkeypatch, {"far": seen(lease=None), "near": ModelObservation()})
    eventually(
        lambda: renewed(0) and keeper._free({"far", "near"}) == {"far", "near"}, "they have shown that they have none"
    )
    granted.clear()
    observed(monkeypatch, {"far": seen(), "near": None})
    keeper.renew()
    assert granted == [], "a host is not asked each second"
    monkeypatch.setattr(host_leases, "FREE_SECONDS", -1.0)
    eventually(lambda: renewed(1), "it is looked at again, as another controller may have granted one")


def test_who_is_left_behind(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(host_leases.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(host_connection, "FRESH_SECONDS", -1.0)
    target = target_of(project, "digits")
    observed(monkeypatch, {"far": seen(), "near": seen()})
    assert left_behind(target, 7) == LeftBehind()
    observed(monkeypatch, {"far": None, "near": seen()})
    assert left_behind(target, 7).facts == {"absent": ["far"], "without_lease": ["far"]}
    LeaseRecord(project).put("far", {"digits": LEASE})
    assert left_behind(target, 7) == LeftBehind(waiting=("far",), seconds=surely_over_after(LEASE))
    now[0] += 61
    assert left_behind(target, 7).waiting == ("far",)
    now[0] += 0.2
    assert left_behind(target, 7).facts == {"absent": ["far"], "lease_over": ["far"]}
    assert left_behind(target, 8).waiting == ("far",), "the time of another decision counts anew"
    observed(monkeypatch, {"far": seen(decision=6), "near": seen()})
    back = left_behind(target, 7)
    assert (back.present, back.facts) == (("far",), {"lease_over": ["far"]}), "it is back, and was not told yet"
    settings = project.root / "modelyard.toml"
    settings.write_text(settings.read_text().replace("[hosts.near]", "models = []\n[hosts.near]"))
    observed(monkeypatch, {"far": None, "near": seen()})
    assert left_behind(target_of(project, "digits"), 8).waiting == ("far",), "moved away, and cut off"


def test_a_host_whose_lease_another_controller_may_have_granted_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_of(project, "digits")
    observed(monkeypatch, {"far": None, "near": seen(decision=7)})
    monkeypatch.setattr(ledger_place, "url", lambda _: "postgresql://db.example/vision")
    assert left_behind(target, 7).waiting == ("far",)
    monkeypatch.setitem(hosts_left_behind._known_since, (str(project.root), "digits", 7), -1000.0)
    assert left_behind(target, 7).facts == {"absent": ["far"], "without_lease": ["far"]}


def test_a_slip_in_the_settings_hides_nothing_that_the_ledger_pins(project: Project) -> None:
    keeper = LeaseKeeper(project, print)
    assert keeper._in_force(["digits"]) == {"digits": host_leases.NOTHING}
    (project.root / "modelyard.toml").write_text("[people]\nenabeld = true\n")
    assert keeper._in_force(["digits"]) == {"digits": host_leases.NOTHING}
    ledger_place.forget(project)
    with pytest.raises(SpecError):  # as in a process that never read it
        keeper._in_force(["digits"])


def test_a_host_that_was_removed_may_answer_until_its_lease_is_over(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(host_leases.time, "monotonic", lambda: now[0])
    LeaseRecord(project).put("far", {"digits": LEASE})
    keeper = LeaseKeeper(project, print)
    monkeypatch.setattr(LeaseKeeper, "_renew", lambda *_: None)
    settings = project.root / "modelyard.toml"
    settings.write_text(settings.read_text().replace('[hosts.far]\nfolder = "/srv/far"\n', ""))
    observed(monkeypatch, {"near": seen()})
    target = target_of(project, "digits")
    assert left_behind(target, 7).waiting == ("far",)
    keeper.renew()
    now[0] += 61.2
    assert left_behind(target, 7).facts == {"absent": ["far"], "lease_over": ["far"]}
    keeper.renew()
    assert "far" not in str(left_behind(target, 7).facts), "it was removed longer ago than its lease lasts"


def test_a_host_that_is_back_is_done_once_it_has_a_lease_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(host_leases.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(host_connection, "FRESH_SECONDS", -1.0)
    target = target_of(project, "digits")
    observed(monkeypatch, {"far": seen(over=True), "near": seen()})
    back = left_behind(target, 7)
    assert (back.waiting, back.unrenewed, back.present) == (("far",), ("far",), ())
    assert str(back) == "far: followed, and answers once there is a lease again"
    assert target.ready_url() == "http://127.0.0.1:3000"
    assert isinstance(target, HostsServingTarget)
    assert next(host.name for host in target.hosts) == "far", "the first one is not ready"
    now[0] += hosts_left_behind.RENEWAL_SECONDS
    assert left_behind(target, 7).facts == {"absent": ["far"], "lease_over": ["far"]}
    observed(monkeypatch, {"far": seen(), "near": seen()})
    assert left_behind(target, 7) == LeftBehind()
    observed(monkeypatch, {"far": seen(over=True), "near": seen(over=True)})
    assert target.ready_url() is None


def test_a_rollback_is_served_once_the_lease_of_a_host_that_is_away_is_over(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, log = ledgers.of(project, "digits"), list[str]()
    facts = {PRODUCTION: PINNED.production.model_dump(mode="json"), "going_back": True}
    for event, more in (("asked", facts), ("switched", {})):
        entry = ledger.append(
            event,  # type: ignore[arg-type]
            release="r", role="champion", before=None, after=PIN.side, asked_by="me", facts=more,
        )  # fmt: skip
    pinned = PinnedState(sequence=1, production=PINNED.production)
    assert productions.decided(ledger.entries()) == pinned
    monkeypatch.setattr(host_connection, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(HostsServingTarget, "is_applied", lambda *_: True)
    monkeypatch.setattr(hosts_left_behind, "surely_over_after", lambda *_: 1.0)
    LeaseRecord(project).put("far", {"digits": LEASE})
    observed(monkeypatch, {"far": None, "near": seen()})
    target, [release] = target_of(project, "digits"), history.releases(ledger.entries())
    assert rollback.carry_out(target, ledger, release, log.append, waits=False) == entry, "the controller looks again"
    begun = time.monotonic()
    served = rollback.carry_out(target, ledger, release, log.append)
    assert 0.5 < time.monotonic() - begun < 5
    assert (served.event, served.facts) == ("served", {"absent": ["far"], "lease_over": ["far"]})
    assert log[0].startswith("waiting: far has not followed and may answer with the version before for 1 s")


def test_a_rollback_that_is_overtaken_while_it_waits_ends(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledgers.of(project, "digits")
    for release, version in (("r", "4"), ("s", "5")):
        pin = Pin(version=version, package_digest=version * 64, bundle=f"digits:{version}", bundle_digest=None)
        facts = {PRODUCTION: Production(champion=pin).model_dump(mode="json")}
        ledger.append(
            "asked", release=release, role="champion", before=None, after=pin.side, asked_by="me", facts=facts
        )  # fmt: skip
    LeaseRecord(project).put("far", {"digits": LEASE})
    observed(monkeypatch, {"far": None, "near": seen()})
    record = rollback.Recorder(ledger, history.releases(ledger.entries())[0], print)
    ended = rollback._outlast(target_of(project, "digits"), ledger, record, PIN, 1, print, waits=True)
    assert ended.event == "superseded"


def test_no_lease_outlasts_a_decision_whatever_is_late_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts whose clocks run at other rates, grants that arrive in any order and at any time after they were sent.

    Time is that of the granter; the decision is recorded at 100 s.
    """
    clock, end, too_long = [0.0], 100 + surely_over_after(LEASE), 0
    monkeypatch.setattr(serving_lease, "clock_seconds", lambda: clock[0])
    for seed in range(15):
        rng, project = random.Random(seed), Project(tmp_path / str(seed))  # noqa: S311
        begin, rate = rng.uniform(0, 1e6), rng.uniform(0.995, 1.005)
        grants = []
        now = 0.0
        while now < 100:
            now += rng.uniform(0.2, 3.0)
            read = now + rng.choice([0.0, rng.uniform(0, 80)])  # a controller that is stopped between the two
            if read < 100:  # the ledger does not have the decision yet
                grants.append((read + rng.choice([0.01, rng.uniform(0, 150)]), begin + rate * now))
        for arrival, since in sorted(grants):
            clock[0] = begin + rate * arrival
            host_folder.take_leases(project, grant(since))
        clock[0] = begin + rate * end
        lease = Lease.read(project.service("digits"))
        assert lease is not None
        assert lease.has_run_out(BOOT)
        last = begin + rate * max(arrival for arrival, _ in grants if arrival < end)
        too_long += not lease.model_copy(update={"since": last}).has_run_out(BOOT)
    assert too_long > 0, "counted from a grant's arrival, leases would have outlasted it"
