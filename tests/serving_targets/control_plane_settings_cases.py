"""What a real control plane holds after `[kubernetes]` has changed while a model serves, and pods that nobody owns.

`test_control_plane.py` runs these cases after those of `control_plane_cases.py`, against the same control plane.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from components.deployment import release_objects as objects
from components.release.production import Production
from flows.serving_targets import cluster_leftovers
from tests.serving_targets.cluster_site import Site, clients, serves
from tests.serving_targets.nodes import ROUTES
from tests.waiting import eventually

GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\n"
SERVICES = "/api/v1/namespaces/models/services"
FOUR = f"sample-{'4' * 12}"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("HANDOVER_SECONDS", 3.0), ("BACKENDS_SECONDS", 3.0), ("ORPHAN_SECONDS", 5.0)):
        monkeypatch.setattr(cluster_leftovers, name, seconds)
    cluster_leftovers._found.clear()


def _follow(site: Site, production: Production, holds: Callable[[], bool]) -> None:
    """Look as the controller does, and apply what is pinned, until something holds and nothing is to be done."""
    target = site.target

    def step() -> bool:
        time.sleep(0.2)
        if target.is_applied(production):
            return holds()
        target.apply(production, site.decision)
        return False

    eventually(step, "the settings are followed", seconds=90)


def _names(site: Site, kind: str) -> set[str]:
    """Of the model's objects; another model serves beside it."""
    return {one["metadata"]["name"] for one in site.cluster.found(kind, {objects.MODEL_LABEL: "sample"})}


def _is_there(site: Site, path: str) -> bool:
    return site.cluster.plane.admin("GET", path) is not None


def test_a_gateway_that_is_taken_out_or_named_leaves_nothing_and_fails_no_request(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    site.configure(GATEWAY, replicas=1)
    site.target.apply(production, site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    theirs = {"metadata": {"name": "theirs"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
    site.cluster.plane.admin("POST", SERVICES, theirs)
    with clients(site) as answers:
        site.configure(replicas=1)
        site.target.apply(production, site.decision)
        assert _is_there(site, f"{ROUTES}/sample")
        _follow(site, production, lambda: not _is_there(site, f"{ROUTES}/sample"))
        _follow(site, production, lambda: not _is_there(site, f"{SERVICES}/{FOUR}"))
        site.configure(GATEWAY, replicas=1)
        _follow(site, production, lambda: not _is_there(site, f"{SERVICES}/sample"))
        site.target.wait(serves("4"), "serve version 4")
        site.configure(replicas=1)
        _follow(site, production, lambda: not _names(site, "HTTPRoute") and _names(site, "Service") == {"sample"})
    assert set(answers) == {"4"}, answers
    assert _is_there(site, f"{SERVICES}/theirs")
    site.cluster.plane.admin("DELETE", f"{SERVICES}/theirs")


def test_a_version_is_made_in_the_other_form_and_the_former_goes_once_it_serves(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    with clients(site) as answers:
        site.configure('form = "kserve"\n', replicas=1)
        _follow(site, production, lambda: _names(site, "Deployment") == {f"{FOUR}-isvc-predictor"})
        site.target.wait(serves("4"), "serve version 4")
        site.configure(replicas=1)
        _follow(site, production, lambda: _names(site, "InferenceService") == set())
        status = site.target.wait(serves("4"), "serve version 4")
        assert (status.expected, len(status.workers)) == (1, 1)
        eventually(lambda: len(_names(site, "Pod")) == 1, "the pods of KServe have gone")
    assert set(answers) == {"4"}, answers
    assert _names(site, "Deployment") == _names(site, "PodDisruptionBudget") == {FOUR}
    assert site.cluster.nodes.kserve.rollouts == []


def test_pods_whose_deployment_was_made_anew_while_an_api_server_was_away_are_removed(site: Site) -> None:
    """The garbage collector reads of the deletion and the new Deployment as of one change, and keeps the pods."""
    plane, production = site.cluster.plane, Production(champion=site.pin("4"))
    [former] = _names(site, "Pod")
    controllers = plane.processes["kube-controller-manager"]
    controllers.send_signal(signal.SIGSTOP)
    _restart(site)  # the watch is down
    site.target.api.delete("Deployment", FOUR)
    site.target.apply(production, site.decision)
    _restart(site)  # the server remembers no event of before
    controllers.send_signal(signal.SIGCONT)
    with clients(site) as answers:
        target = site.target
        eventually(lambda: target.observe().deployments["4" * 12].ready == 1, "the new pod is ready", seconds=60)
        status = target.wait(serves("4"), "serve version 4")
        kept = _owners(site)
        print(f"ReplicaSets whose Deployment was deleted: {kept}; workers: {len(status.workers)} of {status.expected}")
        time.sleep(15)
        assert len(_owners(site)) == len(kept) == 1  # for good
        assert former in _names(site, "Pod")
        _follow(site, production, lambda: _owners(site) == [])
        eventually(lambda: former not in _names(site, "Pod"), "the former pod has gone")
        target.wait(serves("4"), "serve version 4")
    assert set(answers) == {"4"}, answers
    assert len(_names(site, "Pod")) == 1
    target.stop()
    eventually(lambda: not _names(site, "Pod"), "no pod is left")


def _restart(site: Site) -> None:
    refused = set(site.cluster.refused)
    site.cluster.plane.stop_api_server()
    site.cluster.plane.start_api_server()
    site.target.api.list("Pod", {})
    site.cluster.requests()
    site.cluster.refused &= refused  # one that starts may forbid what it allows later


def _owners(site: Site) -> list[str]:
    """The ReplicaSets whose Deployment is another one by now."""
    present = {one["metadata"]["uid"] for one in site.cluster.found("Deployment", {})}
    found: list[dict[str, Any]] = site.cluster.found("ReplicaSet", {objects.MODEL_LABEL: "sample"})
    owners = [(one["metadata"]["name"], one["metadata"]["ownerReferences"][0]["uid"]) for one in found]
    return [name for name, uid in owners if uid not in present]
