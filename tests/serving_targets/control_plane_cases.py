"""A model served by the objects of a real control plane: API server, scheduler and controllers of Kubernetes.

`test_control_plane.py` runs these cases in order, in a network namespace of their own, and then those of
`control_plane_settings_cases.py` and `control_plane_rules_cases.py`. The fixture `site` is that of `real_cluster.py`.
"""

from __future__ import annotations

import http
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.access import api_keys, project_door
from components.contracts.serving_spec import ChallengerLimits, OvertakenError, RolloutPolicy
from components.core.errors import ServingError
from components.deployment.container import PORT
from components.release.decision import ObservedState
from components.release.production import Production
from flows.serving_targets import cluster_api, cluster_removal, cluster_report
from flows.serving_targets.cluster_api import ClusterAbsentError, ConflictError
from flows.serving_targets.cluster_observation import is_ready
from tests.endtoend.cluster_release import release_and_go_back
from tests.serving_targets.cluster_site import Site, clients, serves, status_of
from tests.waiting import eventually

LIMITS = ChallengerLimits(max_error_rate=0.5, max_latency_ratio=1000.0, min_requests=10_000)


def test_the_first_version_is_staged_proven_and_switched_to(site: Site) -> None:
    target, pin = site.target, site.pin("4")
    assert target.status() is None
    assert (target.url, target.state(), target.spec()) == (None, "stopped", None)
    assert cluster_report.finding(site.project).verdict == "ok"
    target.apply(Production(), site.decision, staged=pin)
    target.start(site.bundles["4"])
    status = target.wait(lambda worker: worker.staged is not None and worker.staged.state == "ready", "load version 4")
    assert (status.hosts, status.expected, len(status.workers)) == (2, 2, 2)
    pods = site.cluster.found("Pod", {})
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-a", "node-b"}  # the scheduler spread them
    assert site.predict().startswith("HTTP 503")
    assert target.check_golden_examples(site.packages["4"], 1e-4, 1) < 1e-4
    target.apply(Production(champion=pin), site.next())
    target.wait(serves("4"), "serve version 4")
    assert site.predict() == "4"
    assert target.is_applied(Production(champion=pin))
    assert (target.state(), target.ready_url()) == ("running", "http://sample.models.svc")


def test_what_is_applied_again_is_a_change_of_the_service_alone(site: Site) -> None:
    def present() -> list[Any]:
        deployments = [(one["metadata"]["uid"], one["spec"]) for one in site.cluster.found("Deployment", {})]
        return [deployments, {one["metadata"]["uid"] for one in site.cluster.found("Pod", {})}]

    before = present()
    site.cluster.changes()
    site.target.apply(Production(champion=site.pin("4")), site.next())
    assert site.cluster.changes() == [("patch", "services/sample")]
    assert present() == before


def test_the_switch_and_the_way_back_are_one_patch_and_fail_no_request(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    with clients(site) as answers:
        target.apply(Production(champion=four), site.decision, staged=five)
        target.start(site.bundles["5"])
        target.wait(lambda worker: worker.staged is not None, "load version 5")
        assert target.check_golden_examples(site.packages["5"], 1e-4, 1) < 1e-4
        assert set(answers) == {"4"}
        site.cluster.changes()
        target.apply(Production(champion=five, previous=four), site.next())
        assert site.cluster.changes() == [("patch", "services/sample")]
        target.wait(serves("5"), "serve version 5")
        assert {site.predict() for _ in range(5)} == {"5"}
        target.apply(Production(champion=four, previous=five), site.next())
        assert site.cluster.changes() == [("patch", "services/sample")]
        target.wait(serves("4"), "serve version 4", timeout_seconds=5)
        assert {site.predict() for _ in range(5)} == {"4"}
    assert set(answers) == {"4", "5"}, answers


def test_the_controllers_hold_the_budget_and_the_autoscaler_for_ours(site: Site) -> None:
    def guarded() -> bool:
        [budget] = [one for one in site.cluster.found("PodDisruptionBudget", {}) if "4" * 12 in one["metadata"]["name"]]
        status = budget.get("status", {})
        return bool((status.get("currentHealthy"), status.get("disruptionsAllowed")) == (2, 1))

    eventually(guarded, "the budget counts two healthy pods, and lets one be disrupted", seconds=30)

    def is_followed() -> bool:
        scalers = site.cluster.found("HorizontalPodAutoscaler", {})
        [scaler] = [one for one in scalers if "4" * 12 in one["metadata"]["name"]]
        conditions = {one["type"]: one["status"] for one in scaler.get("status", {}).get("conditions") or []}
        return conditions.get("AbleToScale") == "True"

    eventually(is_followed, "the autoscaler has found its Deployment", seconds=60)


def test_an_older_decision_changes_nothing(site: Site) -> None:
    site.cluster.changes()
    with pytest.raises(OvertakenError, match="later decision"):
        site.target.apply(Production(), site.decision - 1)
    assert site.cluster.changes() == []
    with pytest.raises(ConflictError):
        site.target.api.patch("Service", "sample", {"metadata": {"resourceVersion": "1"}, "spec": {}})
    with pytest.raises(ConflictError):
        site.target.api.delete("Deployment", f"sample-{'4' * 12}", "1")
    assert site.predict() == "4"


def test_of_two_decisions_at_once_the_later_one_stays(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    for _ in range(4):
        older, later = site.next(), site.next()
        chosen = {older: Production(champion=five, previous=four), later: Production(champion=four, previous=five)}

        def decide(decision: int, chosen: dict[int, Production] = chosen) -> str:
            try:
                site.target.apply(chosen[decision], decision)
            except OvertakenError:
                return "overtaken"
            return "applied"

        with ThreadPoolExecutor(2) as threads:
            outcomes = dict(zip((older, later), threads.map(decide, (older, later)), strict=True))
        assert outcomes[later] == "applied", outcomes
        assert site.target.is_applied(chosen[later])
        spec = site.target.spec()
        assert spec is not None
        assert spec.decision == later
    site.target.wait(serves("4"), "serve version 4")
    assert site.predict() == "4"


def test_a_version_is_served_once_the_controller_of_slices_has_followed(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    controllers = site.cluster.plane.processes["kube-controller-manager"]
    controllers.send_signal(signal.SIGSTOP)
    try:
        site.target.apply(Production(champion=five, previous=four), site.next())
        with pytest.raises(ServingError, match="did not serve version 5") as late:
            site.target.wait(serves("5"), "serve version 5", timeout_seconds=1)
        assert "EndpointSlices still hold sample-444444444444-" in str(late.value)
        assert {site.predict() for _ in range(5)} == {"4"}
    finally:
        controllers.send_signal(signal.SIGCONT)
    site.target.wait(serves("5"), "serve version 5")
    assert {site.predict() for _ in range(5)} == {"5"}
    site.target.apply(Production(champion=four, previous=five), site.next())
    site.target.wait(serves("4"), "serve version 4")


def test_a_field_that_the_server_does_not_know_is_refused_or_dropped(site: Site) -> None:
    _, minor = site.cluster.plane.version()
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}, "stringdata": {"a": "b"}}
    if minor >= 25:
        with pytest.raises(ServingError, match="the cluster refuses"):
            site.target.api.create(document)
    else:  # the request is understood all the same
        assert "stringdata" not in site.target.api.create(document)
        with pytest.raises(ServingError, match="does not allow"):  # a right that Modelyard needs not
            site.target.api.delete("Secret", "odd")
        site.cluster.requests()
    bad = {**document, "metadata": {"name": "Odd_Name"}}
    with pytest.raises(ServingError, match="the cluster refuses"):
        site.target.api.create(bad)


def test_a_pod_that_is_killed_is_missing_until_it_is_back(site: Site) -> None:
    [pod, _] = site.cluster.found("Pod", {"modelyard.bundle": "4" * 12})
    site.cluster.nodes.kill(pod["metadata"]["name"])
    eventually(lambda: len(status_of(site).workers) == 1, "a worker is missing")
    assert status_of(site).expected == 2
    site.target.wait(serves("4"), "serve version 4")


def test_a_pod_that_is_evicted_is_replaced_on_a_node(site: Site) -> None:
    [pod, _] = site.cluster.found("Pod", {"modelyard.bundle": "4" * 12})
    name = pod["metadata"]["name"]
    with clients(site) as answers:
        site.cluster.plane.admin("DELETE", f"/api/v1/namespaces/models/pods/{name}")
        eventually(lambda: name not in {one["metadata"]["name"] for one in site.cluster.found("Pod", {})}, "it is gone")
        site.target.wait(serves("4"), "serve version 4")
    assert set(answers) == {"4"}, answers


def test_what_cannot_be_pulled_never_gets_a_request_and_the_status_says_why(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    target.apply(Production(champion=four), site.next())
    eventually(lambda: len(site.cluster.found("Pod", {"modelyard.bundle": "5" * 12})) == 0, "version 5 has gone")
    gone = site.cluster.nodes.images.pop(f"registry.example/ml/sample@sha256:{'5' * 64}")
    target.apply(Production(champion=four), site.decision, staged=five)
    target.start(site.bundles["5"])
    staged = [worker.staged for worker in status_of(site).workers]
    assert all(slot is not None and "ImagePullBackOff" in str(slot.reason) for slot in staged)
    target.apply(Production(champion=five, previous=four), site.next())
    assert site.predict() == "4"
    observed = ObservedState.of(status_of(site))
    assert observed.champion == "4"
    assert "ImagePullBackOff" in str(observed.unloadable)
    site.cluster.nodes.images[f"registry.example/ml/sample@sha256:{'5' * 64}"] = gone
    target.apply(Production(champion=four), site.next())
    assert ObservedState.of(status_of(site)).unloadable is None


def test_api_keys_reach_the_cluster(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    api_keys.add(project_door.api_keys_file(site.project, "sample"), "somebody", "predict")
    assert not site.target.is_applied(production)
    site.target.apply(production, site.decision)
    assert site.target.is_applied(production)


def test_a_deployment_that_somebody_deletes_is_made_again(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    before = {one["metadata"]["uid"] for one in site.cluster.found("Pod", {})}
    site.target.api.delete("Deployment", f"sample-{'4' * 12}")
    assert not site.target.is_applied(production)
    site.target.apply(production, site.decision)
    site.target.start(site.bundles["4"])  # the pods of the Deployment that was deleted may still answer
    after = [one for one in site.cluster.found("Pod", {}) if one["metadata"]["uid"] not in before]
    assert sum(map(is_ready, after)) == 2
    site.target.wait(serves("4"), "serve version 4")


def test_a_version_that_is_switched_to_has_as_many_pods_as_the_one_under_load(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    four, five = site.pin("4"), site.pin("5")
    path = f"/apis/apps/v1/namespaces/models/deployments/sample-{'4' * 12}"
    site.cluster.plane.admin("PATCH", path, {"spec": {"replicas": 3}}, cluster_api.MERGE)  # as its autoscaler does
    eventually(lambda: site.target.observe().deployments["4" * 12].ready == 3, "three pods are ready")
    production = Production(champion=five, previous=four)
    site.target.apply(production, site.next())
    assert site.target.wait(serves("5"), "serve version 5").expected == 3
    assert site.target.is_applied(production)
    monkeypatch.setattr(cluster_removal, "LOADED_SECONDS", -1.0)
    assert not site.target.is_applied(production)
    site.target.apply(production, site.decision)
    assert site.target.is_applied(production)


def test_an_api_server_that_is_away_changes_nothing_for_clients(site: Site) -> None:
    """Late, as the garbage collector takes a Deployment made anew while its watch is down for the one before."""
    site.target.apply(Production(champion=site.pin("4"), previous=site.pin("5")), site.next())
    site.target.wait(serves("4"), "serve version 4")
    site.cluster.requests()
    refused = set(site.cluster.refused)
    pods = sorted(site.cluster.nodes.processes.values(), key=lambda one: one[1])
    site.cluster.plane.stop_api_server()
    with pytest.raises(ClusterAbsentError):
        site.target.status()
    assert httpx.get(f"http://{pods[0][1]}:{PORT}/readyz", trust_env=False).status_code == http.HTTPStatus.OK
    starter = threading.Thread(target=site.cluster.plane.start_api_server)
    starter.start()
    try:
        site.target.wait(serves("4"), "serve version 4", timeout_seconds=60)
    finally:
        starter.join()
    assert site.target.is_applied(Production(champion=site.pin("4"), previous=site.pin("5")))
    site.cluster.requests()
    site.cluster.refused &= refused  # one that starts may forbid what it allows later


def test_a_service_that_is_stopped_leaves_no_pod(site: Site) -> None:
    site.target.stop()
    assert (site.target.url, site.target.state(), site.running()) == (None, "stopped", set())
    assert site.target.is_applied(Production())
    eventually(lambda: not site.cluster.found("Pod", {}), "the garbage collector and the kubelet have ended all pods")
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "Deployment"):
        assert site.cluster.found(kind, {}) == []


def test_versions_as_inference_services_are_switched_by_one_patch(site: Site) -> None:
    site.configure('form = "kserve"\nmax_replicas = 4\n')
    target, four, five = site.target, site.pin("4"), site.pin("5")
    target.apply(Production(champion=four), site.next())
    target.start(site.bundles["4"])
    target.wait(serves("4"), "serve version 4")
    with clients(site) as answers:
        target.apply(Production(champion=four), site.decision, staged=five)
        target.start(site.bundles["5"])
        target.wait(lambda worker: worker.staged is not None, "load version 5")
        assert target.check_golden_examples(site.packages["5"], 1e-4, 1) < 1e-4
        site.cluster.changes()
        target.apply(Production(champion=five, previous=four), site.next())
        assert ("patch", "services/sample") in (changes := site.cluster.changes())
        assert {about.partition("/")[0] for _, about in changes} == {"services", "poddisruptionbudgets"}
        target.wait(serves("5"), "serve version 5")
        target.apply(Production(champion=four, previous=five), site.next())
        target.wait(serves("4"), "serve version 4", timeout_seconds=5)
    assert set(answers) == {"4", "5"}, answers
    path = f"/apis/apps/v1/namespaces/models/deployments/sample-{'4' * 12}-isvc-predictor"
    site.cluster.plane.admin("PATCH", path, {"spec": {"replicas": 3}}, cluster_api.MERGE)  # as its autoscaler does
    eventually(lambda: target.observe().deployments["4" * 12].ready == 3, "three pods are ready")
    target.apply(Production(champion=five, previous=four), site.next())
    assert target.wait(serves("5"), "serve version 5").expected == 3
    assert site.cluster.nodes.kserve.rollouts == []
    target.stop()
    eventually(lambda: not site.cluster.found("Pod", {}), "no pod is left")
    assert site.cluster.found("InferenceService", {}) == site.cluster.found("PodDisruptionBudget", {}) == []


def test_a_gateway_shares_the_requests_by_weights_and_mirrors_them_to_a_shadow(site: Site) -> None:
    site.configure("gateway = 'infra/web'\nhostname = '{model}.example.com'\nmax_replicas = 4\n", replicas=1)
    target, four, five = site.target, site.pin("4"), site.pin("5")
    policy = RolloutPolicy(canary_percent=30.0, limits=LIMITS)
    production = Production(champion=four, challenger=five, policy=policy)
    target.apply(production, site.next())
    target.start(site.bundles["4"])
    target.start(site.bundles["5"])
    target.wait(lambda worker: worker.challenger is not None and worker.policy == policy, "take the challenger")
    target.wait(serves("4"), "serve version 4")
    answers = Counter(site.predict() for _ in range(100))
    assert set(answers) == {"4", "5"}
    assert 15 < answers["5"] < 45
    site.cluster.changes()
    target.apply(production.with_policy(policy.model_copy(update={"canary_percent": 0.0})), site.next())
    assert site.cluster.changes() == [("patch", "httproutes/sample")]
    assert {site.predict() for _ in range(5)} == {"4"}
    target.apply(production.with_champion(five), site.next())
    target.wait(serves("5"), "serve version 5")
    assert {site.predict() for _ in range(5)} == {"5"}
    target.stop()
    eventually(lambda: not site.cluster.found("Pod", {}), "no pod is left")


def test_the_commands_release_versions_and_go_back(site: Site, tmp_path: Path) -> None:
    settings = "[kubernetes]\nnamespace = 'models'\nready_seconds = 90\n"
    release_and_go_back(tmp_path, settings, site.cluster.nodes.images, site.cluster.ask)
