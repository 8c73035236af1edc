"""Versions as InferenceServices: a fake API server, a stand-in of KServe's controller, pods of real bundles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.contracts.serving_spec import ChallengerLimits, RolloutPolicy
from components.core.errors import ServingError, SpecError, UsageError
from components.deployment import release_kserve
from components.release.decision import ObservedState
from components.release.production import Production
from flows.serving_targets import cluster_kserve, cluster_removal, cluster_report
from flows.serving_targets.cluster_objects import ClusterObjects
from tests.serving_targets.cluster_site import Site, clients, served_by_fake, serves, status_of
from tests.waiting import eventually

KSERVE = 'form = "kserve"\nmax_replicas = 4\n'
LIMITS = ChallengerLimits(max_error_rate=0.5, max_latency_ratio=1000.0, min_requests=10_000)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_by_fake(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def _names(site: Site, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in site.cluster.found(kind, {})}


def _changes(site: Site) -> list[tuple[str, str]]:
    found = [(method, path.rpartition("/namespaces/models/")[2]) for method, path in site.cluster.log]
    site.cluster.log.clear()
    return [one for one in found if not (one[0] == "PATCH" and one[1].startswith(("deployments/", "poddisruption")))]


@pytest.mark.long
def test_the_switch_and_the_way_back_are_one_patch_where_one_version_is_a_deployment_still(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project that turns to KServe goes on serving: what cannot be made anew stays a Deployment."""
    site.configure()
    four, five = site.pin("4"), site.pin("5")
    site.target.apply(Production(champion=four), site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    monkeypatch.setattr(ClusterObjects, "can_make", lambda _, pin, __: pin != four)
    site.configure(KSERVE)
    target = site.target
    assert target.is_applied(Production(champion=four))
    with clients(site) as answers:
        target.apply(Production(champion=four), site.decision, staged=five)
        target.start(site.bundles["5"])
        target.wait(lambda worker: worker.staged is not None, "load version 5")
        assert target.check_golden_examples(site.packages["5"], 1e-4, 1) < 1e-4
        assert _names(site, "InferenceService") == {f"sample-{'5' * 12}-isvc"}
        assert set(answers) == {"4"}
        _changes(site)
        target.apply(Production(champion=five, previous=four), site.next())
        assert _changes(site) == [("PATCH", "services/sample")]
        status = target.wait(serves("5"), "serve version 5")
        assert (status.hosts, status.expected, len(status.workers)) == (2, 2, 2)
        target.apply(Production(champion=four, previous=five), site.next())
        assert _changes(site) == [("PATCH", "services/sample")]
        target.wait(serves("4"), "serve version 4", timeout_seconds=5)
        target.apply(Production(champion=five), site.next())
        target.wait(serves("5"), "serve version 5", timeout_seconds=5)
        eventually(lambda: not site.cluster.found("Pod", {"modelyard.bundle": "4" * 12}), "version 4 has gone")
    assert set(answers) == {"4", "5"}, answers
    assert _names(site, "Deployment") == {f"sample-{'5' * 12}-isvc-predictor"}
    assert site.cluster.kserve.rollouts == []  # no decision rolls pods


@pytest.mark.long
def test_what_kserve_refuses_never_gets_a_request_and_the_status_says_why(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    site.cluster.kserve.broken.add(f"sample-{'4' * 12}-isvc")
    target.apply(Production(champion=five), site.decision, staged=four)
    eventually(lambda: target.observe().deployments["4" * 12].failure, "KServe refuses it")
    target.start(site.bundles["4"])
    [slot, _] = [worker.staged for worker in status_of(site).workers]
    assert slot is not None
    assert "InvalidSpec: InvalidPredictorSpec, no runtime takes it" in str(slot.reason)
    target.apply(Production(champion=four, previous=five), site.next())
    assert site.predict() == "5"
    assert "InvalidSpec" in str(ObservedState.of(status_of(site)).unloadable)
    site.cluster.kserve.broken.clear()
    target.apply(Production(champion=five), site.next())
    target.wait(serves("5"), "serve version 5")


@pytest.mark.long
def test_a_later_decision_keeps_an_inference_service_that_an_older_one_would_remove(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    target.apply(Production(champion=five), site.decision, staged=four)
    stale = target.observe().deployments["4" * 12]
    target.apply(Production(champion=five, previous=four), site.next())
    target._objects.remove(stale)
    assert f"sample-{'4' * 12}-isvc" in _names(site, "InferenceService")
    [budget] = [one for one in site.cluster.found("PodDisruptionBudget", {}) if "4" * 12 in one["metadata"]["name"]]
    assert budget["metadata"]["annotations"]["modelyard.decision"] == str(site.decision)


@pytest.mark.long
def test_a_version_that_is_switched_to_has_as_many_pods_as_the_one_under_load(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"sample-{'5' * 12}-isvc-predictor"
    loaded = site.cluster.store["Deployment", name]
    site.cluster.save({**loaded, "spec": {**loaded["spec"], "replicas": 3}})  # as its autoscaler would under load
    target, production = site.target, Production(champion=site.pin("4"), previous=site.pin("5"))
    target.apply(production, site.next())
    assert target.wait(serves("4"), "serve version 4").expected == 3
    monkeypatch.setattr(cluster_removal, "LOADED_SECONDS", -1.0)
    assert not target.is_applied(production)
    target.apply(production, site.decision)
    assert target.is_applied(production)
    assert site.cluster.kserve.rollouts == []


@pytest.mark.long
def test_a_challenger_needs_a_gateway_which_shares_the_requests(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    policy = RolloutPolicy(canary_percent=30.0, limits=LIMITS)
    with pytest.raises(UsageError, match="gets its requests from a Gateway"):
        site.target.check_rollout(five, policy)
    site.target.stop()
    eventually(lambda: not site.cluster.found("Pod", {}), "no pod is left")
    site.configure(KSERVE + "gateway = 'infra/web'\nhostname = '{model}.example.com'\n", replicas=1)
    target = site.target
    target.check_rollout(five, policy)
    target.apply(Production(champion=four, challenger=five, policy=policy), site.next())
    target.start(site.bundles["5"])
    target.wait(lambda worker: worker.challenger is not None and worker.policy == policy, "take the challenger")
    answers = Counter(site.predict() for _ in range(100))
    assert set(answers) == {"4", "5"}
    assert 15 < answers["5"] < 45
    target.stop()
    eventually(lambda: not site.cluster.found("Pod", {}), "no pod is left")
    assert _names(site, "InferenceService") == _names(site, "PodDisruptionBudget") == set()


@pytest.mark.long
def test_a_cluster_without_kserve_is_refused_before_anything_is_made(site: Site) -> None:
    site.configure(KSERVE)
    site.cluster.undefined.add("InferenceService")
    try:
        _changes(site)
        with pytest.raises(ServingError, match="knows no objects of this kind") as refused:
            site.target.check_rollout(site.pin("4"), None)
        assert "install what defines them: KServe" in str(refused.value.next_step)
        assert cluster_report.finding(site.project).verdict == "fail"
        assert _changes(site) == []
    finally:
        site.cluster.undefined.clear()
    site.target.check_rollout(site.pin("4"), None)
    assert cluster_report.finding(site.project).verdict == "ok"


def test_what_kserve_cannot_scale_by_is_refused(tmp_path: Any) -> None:
    from components.contracts import settings

    (tmp_path / "modelyard.toml").write_text(
        "[kubernetes]\nnamespace = 'models'\nform = 'kserve'\nmax_replicas = 3\nrequests_in_flight = 2\n"
    )
    with pytest.raises(SpecError, match="KServe scales by the processor or memory"):
        settings.read(tmp_path)


def test_a_name_that_is_too_long_for_kserve_is_refused() -> None:
    assert release_kserve.name_of("m" * 35, "4" * 12) == f"{'m' * 35}-{'4' * 12}-isvc"
    with pytest.raises(UsageError, match="too long for KServe") as refused:
        release_kserve.name_of("m" * 36, "4" * 12)
    assert refused.value.expected == "at most 35 characters"


def test_an_inference_service_is_ready_once_kserve_says_so_of_the_present_one() -> None:
    def service(generation: int, observed: int, **conditions: str) -> dict[str, Any]:
        said = [{"type": name, "status": value} for name, value in conditions.items()]
        return {
            "metadata": {"generation": generation},
            "spec": {"predictor": {"minReplicas": 2}},
            "status": {"observedGeneration": observed, "conditions": said},
        }

    assert cluster_kserve.is_ready(service(2, 2, PredictorReady="True", IngressReady="False", Ready="False"))
    assert not cluster_kserve.is_ready(service(2, 1, PredictorReady="True"))
    assert not cluster_kserve.is_ready(service(2, 2, PredictorReady="Unknown"))
    assert not cluster_kserve.is_ready({"metadata": {}, "spec": {"predictor": {}}})
    assert cluster_kserve.failure(service(2, 2, PredictorReady="False")) is None  # not yet
    assert cluster_kserve.replicas(service(1, 1), None) == 2
    assert cluster_kserve.replicas(service(1, 1), {"spec": {"replicas": 3}}) == 3
