"""Production follows the registry: real controller, flow, gates, service; small packages instead of trained ones."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from components.core.errors import RegistryError
from components.registry import tracking, versions
from components.release import ledger as ledgers
from components.release import production as productions
from tests import prefect_api, small_package
from tests.endtoend.releases import Releases
from tests.release.small_ledger import Rows, cut_with_the_key, rewrite, sign_head
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(releases: Releases) -> Iterator[str]:
    """A pipeline whose version 1 serves; version 2 is good, 3 has another normalisation in its graph."""
    name = releases.pipeline("served")
    for seed in (1, 2):
        releases.register(name, seed=seed)
    releases.register(name, seed=3, graph_scale=1 / 128)
    releases.set(name, "1")
    releases.wait_until_serves(name, "1")
    yield name
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops once nothing is champion")
    eventually(lambda: releases.entries(name)[-1].event == "withdrawn", "the ledger says so")


@contextlib.contextmanager
def load(releases: Releases, name: str, pause: float = 0.01) -> Iterator[list[str]]:
    """Requests of two clients, each with a pause behind an answer; what went wrong is in the list."""
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(
            base_url=releases.service(name).url or "", trust_env=False, verify=False, timeout=30
        ) as client:
            content, headers = small_package.image(0), {"content-type": "application/octet-stream"}
            while not stop.is_set():
                try:
                    answer = client.post("/predict", content=content, headers=headers)
                except httpx.HTTPError as error:
                    wrong.append(repr(error))
                else:
                    if answer.status_code != 200:
                        wrong.append(f"{answer.status_code}: {answer.text}")
                stop.wait(pause)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_release_that_fails_each_time_is_told_and_given_up_and_goes_on_once_mended(releases: Releases) -> None:
    house, name = releases.house, releases.pipeline("cannot-be-built")
    version = releases.register(name)
    obstacle = house.project.bundles / "bentos" / name
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_text("no folder")
    done = house.run("promote", name, version, "--json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    error = json.loads(done.stdout)
    assert error["error"] == "ServingError"
    assert "failed 3 times" in error["what"]
    assert "packaging" in error["got"]
    assert len([line for line in done.stderr.splitlines() if line.startswith("failed")]) == 3
    obstacle.unlink()
    releases.wait_until_serves(name, version)
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops")


def test_promote_and_roll_back_by_command_without_a_failed_request(releases: Releases, served: str) -> None:
    house = releases.house
    with load(releases, served) as wrong:
        outcome = house.json("promote", served, "2")
        assert (outcome["version"], releases.serves(served)) == ("2", "2")
        assert releases.tags(served, "2")["modelyard.release"] == "served"
        back = house.json("rollback", served)
        assert (back["version"], releases.serves(served), releases.alias(served)) == ("1", "1", "1")
    assert wrong == []
    entry = back["entry"]
    assert (entry["before"]["version"], entry["after"]["version"], entry["event"]) == ("2", "1", "served")
    assert "root" in entry["asked_by"] or os.environ.get("USER", "") in entry["asked_by"]
    again = house.run("promote", served, "1")
    assert "already" in again.stdout
    assert "the chain is whole" in house.run("history", served, "--verify").stdout
    standing = {row["name"]: row for row in house.json("status")["models"]}[served]
    assert (standing["desired"], standing["actual"], standing["state"]) == ("1", "1", "in step")
    for words, why in (
        (("promote", served, "99"), "no version 99"),
        (("promote", served, "one"), "no version one"),
        (("promote", served, "1", "--challenger"), "its own challenger"),
        (("rollback", served, "--to", "3"), "never served well"),
        (("history", "nobody"), "nothing was released"),
    ):
        wrong_use = house.run(*words, check=False)
        assert (wrong_use.returncode, why in wrong_use.stderr, "Traceback" in wrong_use.stderr) == (2, True, False)
    nothing = house.run("rollback", served, check=False)
    assert nothing.returncode == 2
    assert "nothing to go back to" in nothing.stderr


def test_a_ledger_cut_short_is_noticed(releases: Releases, served: str) -> None:
    ledger = ledgers.of(releases.house.project, served)
    rows: Rows = []
    rewrite(ledger, lambda found: rows.extend(found) or found)
    # A whole release, by one who has the key: what is left is a whole chain, and nothing that would be taken up again.
    cut_with_the_key(ledger, [row["event"] for row in rows][::-1].index("asked") + 1)
    try:
        done = releases.house.run("history", served, "--verify", check=False)
        assert (done.returncode, "does not match the registry" in done.stderr) == (1, True)
    finally:
        rewrite(ledger, lambda _: rows)
        sign_head(ledger, rows[-1])
    releases.house.run("history", served, "--verify")


def test_another_normalisation_is_refused_where_the_person_clicked(releases: Releases, served: str) -> None:
    refused = releases.house.run("promote", served, "3", check=False)
    assert refused.returncode == 3
    assert "parity" in refused.stderr
    assert releases.serves(served) == "1"
    assert releases.alias(served) == "1"
    version = versions.by_number(releases.api, served, "3")
    assert version.tags["modelyard.release"] == "refused"
    assert "parity" in version.tags["modelyard.release_reason"]
    assert "| parity | **no** |" in version.description
    assert "report.html" in version.tags["modelyard.release_report"]
    assert releases.entries(served)[-1].event == "refused"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pipeline": "another"}, "pipeline another"),
        ({"signature_classes": ["light", "dark", "left"]}, "parity"),
    ],
)
def test_packages_that_are_not_what_they_say(
    releases: Releases, served: str, options: dict[str, object], reason: str
) -> None:
    version = releases.register(served, seed=4, **options)  # type: ignore[arg-type]
    releases.set(served, version)
    entry = releases.wait_for(served, version, "refused")
    assert reason in entry.facts["reason"]
    assert (releases.serves(served), releases.alias(served)) == ("1", "1")


def test_a_version_without_a_package_and_one_that_was_deleted(releases: Releases, served: str) -> None:
    run = tracking.ensure(releases.api, served, "c" * 64, {})
    made = versions.create(releases.api, served, run.artifact_uri, run.id, "", {}, "by hand")
    releases.set(served, made.version)
    entry = releases.wait_for(served, made.version, "refused")
    assert "no Modelyard package" in entry.facts["reason"]
    assert releases.alias(served) == "1"
    gone = releases.register(served, seed=5)
    doomed = versions.by_number(releases.api, served, gone)
    # Set and deleted between two looks: the registry takes the alias along, so nothing is champion for a moment.
    releases.set(served, gone, "challenger")
    versions.delete(releases.api, doomed)
    with pytest.raises(RegistryError):
        releases.set(served, gone)
    releases.set(served, "1")
    eventually(lambda: releases.is_settled(served) and releases.serves(served) == "1", "production is as before")


def test_a_tampered_package_in_the_registry(releases: Releases, served: str) -> None:
    version = releases.register(served, seed=6)
    source = versions.by_number(releases.api, served, version).source
    releases.api.upload(f"{source}/artifacts/package", "model.onnx", b"another graph")
    releases.set(served, version)
    entry = releases.wait_for(served, version, "refused")
    assert "integrity" in entry.facts["reason"]
    assert (releases.serves(served), releases.alias(served)) == ("1", "1")


@pytest.mark.parametrize(
    "steps",
    [
        ("asked", "bundled", "staged", "switching"),
        pytest.param(("verified", "gated", "proven", "switched"), marks=pytest.mark.long),
    ],
)
def test_killed_after_each_step_it_is_finished_by_the_next(
    releases: Releases, served: str, steps: tuple[str, ...]
) -> None:
    version = releases.register(served, seed=10)
    before = len(releases.entries(served))
    killed: set[int | None] = {None}
    releases.set(served, version)
    for step in steps:
        releases.wait_for(served, version, step, since=before)
        eventually(lambda: releases.worker(served) not in killed, f"{step}: a worker that goes on")
        killed.add(releases.worker(served))
        assert releases.kill_worker(served)
    releases.wait_until_serves(served, version)
    entries = releases.entries(served)[before:]
    assert {entry.release for entry in entries} == {entries[0].release}
    assert [entry.event for entry in entries] == [
        "asked", "verified", "bundled", "gated", "staged", "proven", "switching", "switched", "served",
    ]  # fmt: skip


def test_killed_while_it_refuses(releases: Releases, served: str) -> None:
    serving = releases.serves(served)
    version = releases.register(served, seed=7, graph_scale=1 / 64)
    releases.set(served, version)
    releases.wait_for(served, version, "refusing")
    releases.kill_worker(served)
    releases.wait_for(served, version, "refused")
    eventually(lambda: releases.alias(served) == serving, "the alias is set back")
    assert releases.tags(served, version)["modelyard.release"] == "refused"
    assert releases.events(served, version).count("refused") == 1


def test_a_registry_that_is_away_for_a_minute_changes_nothing(releases: Releases, served: str) -> None:
    serving = releases.serves(served)
    services = {row["name"]: row for row in releases.house.json_of_status()}
    with load(releases, served, pause=0.4) as wrong:  # for a minute, beside other tests
        os.kill(services["mlflow"]["pid"], signal.SIGSTOP)
        try:
            time.sleep(60)
            assert releases.serves(served) == serving
        finally:
            os.kill(services["mlflow"]["pid"], signal.SIGCONT)
        other = "1" if serving != "1" else "2"
        releases.set(served, other)
        releases.wait_until_serves(served, other)
    assert wrong == []


def test_two_people_two_aliases_at_once(releases: Releases, served: str) -> None:
    champion, challenger = releases.register(served, seed=20), releases.register(served, seed=21)
    setting = [
        threading.Thread(target=releases.set, args=(served, version, alias))
        for version, alias in ((champion, "champion"), (challenger, "challenger"))
    ]
    for thread in setting:
        thread.start()
    for thread in setting:
        thread.join()
    releases.wait_until_serves(served, champion)
    releases.wait_for(served, challenger, "served", "challenger")
    said = releases.says(served)
    assert said is not None
    assert [worker.challenger.version for worker in said.workers if worker.challenger] == [challenger]
    releases.clear(served, "challenger")
    eventually(
        lambda: (said := releases.says(served)) and all(worker.challenger is None for worker in said.workers),
        "the challenger is gone",
    )
    eventually(lambda: releases.is_settled(served), "the ledger is closed")


def test_a_champion_that_fails_once_it_serves_goes_back(releases: Releases) -> None:
    name = releases.pipeline("watched", watch_seconds=20.0, min_requests=5)
    releases.register(name, seed=1)
    bad = releases.register(name, seed=2, nan_above=0.6)
    path = releases.house.project.pipeline_file(name)
    content = path.read_text()
    path.write_text(content.replace("watch_seconds: 20.0", "watch_seconds: 0.1"))
    releases.set(name, "1")
    releases.wait_until_serves(name, "1")
    path.write_text(content)
    releases.set(name, bad)
    releases.wait_for(name, bad, "switched")
    headers = {"content-type": "application/octet-stream"}
    url = f"{releases.service(name).url}/predict"
    failed = [
        httpx.post(url, content=small_package.white(), headers=headers, trust_env=False, verify=False)
        for _ in range(10)
    ]
    assert 500 in {answer.status_code for answer in failed}
    entry = releases.wait_for(name, bad, "returned")
    assert "requests failed" in entry.facts["reason"]
    assert (releases.serves(name), releases.alias(name)) == ("1", "1")
    assert releases.tags(name, bad)["modelyard.release"] == "refused"
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops")


def test_a_changed_policy_uses_the_pinned_bundle_and_a_failing_challenger_is_taken_out(releases: Releases) -> None:
    name = releases.pipeline("canary", canary_percent=0.0, min_requests=5, max_error_rate=0.2)
    releases.register(name, seed=1)
    bad = releases.register(name, seed=2, nan_above=0.6)
    releases.set(name, "1")
    releases.wait_until_serves(name, "1")
    releases.set(name, bad, "challenger")
    releases.wait_for(name, bad, "served", "challenger")
    pinned = productions.decided(releases.entries(name)).production
    since = len(releases.entries(name))
    path = releases.house.project.pipeline_file(name)
    path.write_text(path.read_text().replace("canary_percent: 0.0", "canary_percent: 50.0"))
    eventually(lambda: _percents(releases, name) == {50.0}, "the new share is followed")
    eventually(lambda: releases.is_settled(name), "the ledger is closed")
    assert [entry.event for entry in releases.entries(name)[since:]] == ["asked", "switched", "served"]
    now = productions.decided(releases.entries(name)).production
    assert (now.champion, now.challenger) == (pinned.champion, pinned.challenger)
    url = releases.service(name).url
    answers = [
        httpx.post(
            f"{url}/predict",
            content=small_package.white(),
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
            verify=False,
        )
        for _ in range(40)
    ]
    assert {answer.status_code for answer in answers} == {200}
    eventually(lambda: releases.alias(name, "challenger") is None, "its alias is gone")
    eventually(lambda: releases.is_settled(name), "the ledger is closed")
    removed = [entry for entry in releases.entries(name) if entry.event == "removed"]
    assert [entry.asked_by for entry in removed] == ["service"]
    assert releases.tags(name, bad)["modelyard.release"] == "removed"
    assert releases.serves(name) == "1"
    compared = [entry for entry in releases.entries(name) if entry.event == "compared"]
    tally = compared[0].facts["challenger"]
    assert tally["not_finite"] > 0.2 * tally["requests"]
    changed = [entry.facts["how"] for entry in releases.entries(name) if entry.event == "asked"]
    assert "its policy (canary_percent, limits) has changed" in changed
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops")


def _percents(releases: Releases, name: str) -> set[float | None]:
    said = releases.says(name)
    return {worker.policy.canary_percent if worker.policy else None for worker in said.workers} if said else set()


def test_a_person_approves_or_nobody_answers(releases: Releases) -> None:
    name = releases.pipeline("approved", gates={"champion": None, "manual": {"timeout_minutes": 0.1}})
    for seed in (1, 2):
        releases.register(name, seed=seed)
    releases.set(name, "1")
    entry = releases.wait_for(name, "1", "refused")
    assert "nobody answered" in entry.facts["reason"]
    assert releases.alias(name) is None
    assert releases.service(name).url is None
    path = releases.house.project.pipeline_file(name)
    path.write_text(path.read_text().replace("timeout_minutes: 0.1", "timeout_minutes: 5"))
    releases.set(name, "2")
    asked = releases.wait_for(name, "2", "asked")
    run = asked.facts["flow_run"].rpartition("/")[2]
    prefect = asked.facts["flow_run"].partition("/runs/")[0] + "/api"

    def state() -> bool:
        return bool(prefect_api.ask(releases.house, "GET", f"{prefect}/flow_runs/{run}")["state"]["type"] == "PAUSED")

    eventually(state, "the release waits for a person")
    said = {"approve": True, "your_name": "Ada", "comment": "looks right"}

    def accepted() -> bool:
        answer = prefect_api.ask(releases.house, "POST", f"{prefect}/flow_runs/{run}/resume", {"run_input": said})
        return bool(answer["status"] == "ACCEPT")

    eventually(accepted, "Prefect takes the answer: the form is there a moment after the run is paused")
    releases.wait_until_serves(name, "2")
    approved = releases.wait_for(name, "2", "approved")
    assert approved.facts == {"by": "Ada", "comment": "looks right"}
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops")
