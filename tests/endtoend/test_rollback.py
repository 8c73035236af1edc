"""Going back to what served: a pinned bundle, at once, whatever else goes on, is down or is broken."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.contracts.serving_spec import SPEC_FILE
from components.identity import manifest as manifests
from components.release import production as productions
from components.release.production import Pin
from flows.platform import orphans
from tests import prefect_api
from tests.endtoend.faults import approval_pending, broken_tree, gates_running, suspended
from tests.endtoend.releases import Releases
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def either(releases: Releases) -> str:
    """A pipeline whose versions 1 and 2 have served; one of them serves."""
    name = releases.pipeline("two")
    for seed in (1, 2):
        releases.register(name, seed=seed)
    for version in ("1", "2"):
        releases.set(name, version)
        releases.wait_until_serves(name, version)
    return name


@pytest.fixture
def two(releases: Releases, either: str) -> str:
    """The same; 2 serves."""
    if releases.serves(either) != "2":
        releases.set(either, "2")
    releases.wait_until_serves(either, "2")
    return either


def champion(releases: Releases, name: str) -> Pin:
    """What is pinned, its bundle read byte by byte."""
    pin = productions.decided(releases.entries(name)).production.champion
    assert pin is not None
    bundle = releases.service(name).bundle(pin)
    assert bundle.verify().digest == pin.bundle_digest
    return pin


def held(releases: Releases, name: str) -> set[str | None]:
    """The versions that the workers hold as champion."""
    status = releases.says(name)
    return {worker.champion.version if worker.champion else None for worker in status.workers} if status else set()


def test_a_bundle_that_is_gone_is_built_again_with_the_same_bytes(releases: Releases, two: str, tmp_path: Path) -> None:
    pin, entries = champion(releases, two), len(releases.entries(two))
    releases.service(two).bundle(pin).folder.rename(tmp_path / "gone")
    releases.service(two).stop()
    eventually(lambda: releases.serves(two) == "2", "the service is back", 120)
    assert champion(releases, two) == pin
    assert len(releases.entries(two)) == entries


def test_back_and_forth_is_the_same_bundle_whatever_the_tree_is(releases: Releases, two: str) -> None:
    second = champion(releases, two)
    since = len(releases.entries(two))
    with broken_tree(releases.house):
        releases.house.run("rollback", two)
        assert held(releases, two) == {"1"}
        first = champion(releases, two)
        # What was gone back from counts as not having served well: the way to it is through the gates, which are code
        # of the tree. The alias in the registry is another way to go back.
        with pytest.raises(AssertionError, match="nothing to go back to"):
            releases.house.run("rollback", two)
    assert not {"bundled", "gated"} & {entry.event for entry in releases.entries(two)[since:]}
    eventually(lambda: releases.alias(two) == "1", "the alias goes along")
    releases.set(two, "2")
    releases.wait_until_serves(two, "2")
    assert champion(releases, two) == second
    with broken_tree(releases.house):
        releases.set(two, "1")
        releases.wait_until_serves(two, "1")
    assert champion(releases, two) == first


def test_a_restart_uses_the_pinned_bundle(releases: Releases, either: str) -> None:
    pinned = champion(releases, either)
    digest = manifests.load(releases.service(either).bundle(pinned).source, "bundle").digest
    with broken_tree(releases.house):
        for process in orphans.find(str(releases.house.root), f"serve-{either}"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        eventually(lambda: releases.serves(either) == pinned.version, "the service is back")
    assert champion(releases, either) == pinned
    assert pinned.bundle_digest == digest


def test_while_gates_run(releases: Releases, two: str) -> None:
    version = releases.register(two, seed=30)
    with gates_running(releases, two, version):
        time.sleep(2)
        assert releases.house.json("rollback", two)["version"] == "1"
        assert held(releases, two) == {"1"}
        releases.wait_for(two, version, "superseded")
    eventually(lambda: releases.alias(two) == "1" and releases.is_settled(two), "the registry was told")
    eventually(lambda: not releases.worker(two), "the release has ended", seconds=15)
    assert held(releases, two) == {"1"}
    assert "switching" not in releases.events(two, version)


def test_while_an_approval_waits(releases: Releases, two: str) -> None:
    version = releases.register(two, seed=31)
    with approval_pending(releases, two, version):
        releases.house.run("rollback", two)
        assert held(releases, two) == {"1"}
        releases.wait_for(two, version, "superseded")
        eventually(lambda: releases.alias(two) == "1", "the registry was told")


def test_another_promotion_ends_the_wait_for_an_approval(releases: Releases, two: str) -> None:
    version = releases.register(two, seed=32)
    with approval_pending(releases, two, version) as waiting:
        releases.set(two, "1")
        releases.wait_until_serves(two, "1")
    release = [entry for entry in releases.entries(two) if entry.release == waiting.release]
    assert release[-1].event == "superseded"
    page = release[0].facts["flow_run"]
    url = f"{page.partition('/runs/')[0]}/api/flow_runs/{page.rpartition('/')[2]}"

    def has_ended() -> bool:
        return bool(prefect_api.ask(releases.house, "GET", url)["state"]["name"] == "Superseded")

    eventually(has_ended, "Prefect shows that a newer order has come")


def test_with_registry_and_prefect_down(releases: Releases, two: str) -> None:
    since = len(releases.entries(two))
    with suspended(releases.house, "mlflow", "prefect"):
        done = releases.house.run("rollback", two)
        assert held(releases, two) == {"1"}
        assert "told when it is back" in done.stderr
        time.sleep(12)  # until the controller knows that the registry does not answer
        assert held(releases, two) == {"1"}
    releases.wait_for(two, "1", "told", since=since)
    assert releases.alias(two) == "1"
    assert releases.tags(two, "2")["modelyard.release"] == "rolled back"
    assert held(releases, two) == {"1"}


def test_an_alias_set_after_the_rollback_is_a_newer_order(releases: Releases, two: str) -> None:
    os.kill(_controller(releases), signal.SIGSTOP)
    try:
        releases.house.run("rollback", two)
        releases.set(two, "2")  # the version that was left, asked for again
    finally:
        os.kill(_controller(releases), signal.SIGCONT)
    releases.wait_until_serves(two, "2")
    assert releases.alias(two) == "2"


def test_a_rollback_killed_after_its_decision_is_carried_out(releases: Releases, two: str) -> None:
    code = (
        "import os, sys\n"
        "from flows.releases import rollback\n"
        "rollback.carry_out = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "from flows.cli import main\n"
        f"main(['rollback', {two!r}])\n"
    )
    house, since = releases.house, len(releases.entries(two))
    done = subprocess.run([sys.executable, "-c", code], cwd=house.root, env=house.environment, check=False)
    assert done.returncode == -9
    releases.wait_for(two, "1", "told", since=since)
    assert held(releases, two) == {"1"}
    assert releases.alias(two) == "1"


def test_an_unreadable_spec_is_written_anew_from_the_ledger(releases: Releases, either: str) -> None:
    service, version = releases.service(either), releases.serves(either)
    path = service.folder / SPEC_FILE
    path.write_text("{ torn")
    eventually(
        lambda: service.is_applied(productions.decided(releases.entries(either)).production), "the spec is whole"
    )
    assert releases.serves(either) == version


def _controller(releases: Releases) -> int:
    return int(next(row["pid"] for row in releases.house.json_of_status() if row["name"] == "controller"))
