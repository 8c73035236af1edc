"""What a cluster's own rules do with Modelyard's objects: admission, quotas, budgets, rights, kinds it does not know.

`test_control_plane.py` runs these cases after the other cases, against the same control plane.
"""

from __future__ import annotations

import http
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components.core.errors import ServingError
from components.deployment import release_objects
from components.release.decision import ObservedState
from components.release.production import Production
from flows.serving_targets import cluster_report
from tests.serving_targets import custom_resources
from tests.serving_targets.cluster_site import Site, serves, status_of
from tests.serving_targets.real_cluster import role
from tests.waiting import eventually

NAMESPACE = "/api/v1/namespaces/models"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
STRICT_SINCE, POLICIES_SINCE, ALWAYS_ALLOW_SINCE = 25, 30, 27  # minor releases
FIVE = f"sample-{'5' * 12}"


def test_a_version_is_served_again(site: Site) -> None:
    site.configure("max_replicas = 4\n")
    site.target.apply(Production(champion=site.pin("4")), site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    assert site.predict() == "4"


def test_pods_were_admitted_by_the_restricted_standard(site: Site) -> None:
    if site.cluster.minor < STRICT_SINCE:
        pytest.skip("the API server knows no pod security standards")
    pod = _free("free")["spec"]["template"]
    code, said = site.cluster.plane.refusal("POST", f"{NAMESPACE}/pods", pod)
    assert (code, "restricted:latest" in said) == (http.HTTPStatus.FORBIDDEN, True), said
    site.cluster.requests()
    assert site.cluster.disapproved == []
    site.target.api.create(_free("free"))
    site.target.api.delete("Deployment", "free")
    site.cluster.requests()
    [said] = site.cluster.disapproved
    assert "would violate PodSecurity" in said
    site.cluster.disapproved.clear()


def test_a_change_with_a_field_that_the_server_does_not_know_is_refused(site: Site) -> None:
    if site.cluster.minor < STRICT_SINCE:
        pytest.skip("the API server drops unknown fields")
    with pytest.raises(ServingError, match="the cluster refuses") as refused:
        site.target.api.patch("Service", "sample", {"spec": {"selectors": {"a": "b"}}})
    assert 'unknown field "spec.selectors"' in str(refused.value)
    site.configure("gateway = 'infra/web'\nhostname = '{model}.example.com'\n")
    route = release_objects.route("odd", {"4" * 12: 1}, None, site.target.settings, {})
    route["spec"]["rules"][0]["backendRef"] = []
    with pytest.raises(ServingError, match="the cluster refuses") as refused:
        site.target.api.create(route)
    assert 'unknown field "spec.rules[0].backendRef"' in str(refused.value)
    site.configure("max_replicas = 4\n")


def _evict(site: Site, pod: str) -> int:
    version = "policy/v1" if site.cluster.minor >= 22 else "policy/v1beta1"
    eviction = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": pod, "namespace": "models"}}
    code, _ = site.cluster.plane.refusal("POST", f"{NAMESPACE}/pods/{pod}/eviction", eviction)
    return int(code)


def _pods(site: Site, version: str) -> list[str]:
    pods = site.cluster.found("Pod", {release_objects.BUNDLE_LABEL: version * 12})
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def test_the_budget_lets_one_pod_be_drained_at_a_time(site: Site) -> None:
    one, other = _pods(site, "4")
    eventually(lambda: _evict(site, one) == http.HTTPStatus.CREATED, "a pod may go")
    assert _evict(site, other) == http.HTTPStatus.TOO_MANY_REQUESTS
    assert site.predict() == "4"
    eventually(lambda: len(_pods(site, "4")) == 2, "it is replaced")
    site.target.wait(serves("4"), "serve version 4")
    assert other in _pods(site, "4")


def test_a_quota_that_holds_pods_back_is_the_reason_in_the_status(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    eventually(lambda: len(site.cluster.found("Pod", {})) == 2, "pods that were evicted have ended")
    with _quota(site, {"pods": "2"}):
        site.target.apply(Production(champion=four), site.next(), staged=five)
        site.target.start(site.bundles["5"])
        staged = [worker.staged for worker in status_of(site).workers]
        assert all(slot is not None and "exceeded quota" in str(slot.reason) for slot in staged), staged
        site.target.apply(Production(champion=five, previous=four), site.next())
        assert site.predict() == "4"
        assert "exceeded quota" in str(ObservedState.of(status_of(site)).unloadable)
    site.target.apply(Production(champion=four), site.next())
    assert FIVE not in site.running()


def test_what_admission_refuses_is_no_matter_of_rights(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    with _quota(site, {"count/deployments.apps": "1"}), pytest.raises(ServingError, match="exceeded quota") as refused:
        site.target.apply(Production(champion=four), site.decision, staged=five)
    assert "the cluster refuses" in str(refused.value)
    assert "docs/kubernetes.md names" not in str(refused.value)
    assert (site.predict(), FIVE in site.running()) == ("4", False)


def test_what_a_policy_of_the_cluster_refuses_is_said_in_its_words(site: Site) -> None:
    if site.cluster.minor < POLICIES_SINCE:
        pytest.skip("the API server knows no ValidatingAdmissionPolicy")
    plane, four, five = site.cluster.plane, site.pin("4"), site.pin("5")
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    image = "object.spec.template.spec.containers.all(one, one.image.contains('@sha256:{}'))"
    for name, digest in (("digests", ""), ("fours", "4")):
        validation = {"expression": image.format(digest), "message": f"only {name} run here", "reason": "Forbidden"}
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
        plane.admin("POST", f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    _bind(site, "digests")
    dry = "/apis/apps/v1/namespaces/models/deployments?dryRun=All"
    eventually(
        lambda: "only digests run here" in plane.refusal("POST", dry, _free("tagged"))[1], "the policy is in force"
    )
    site.target.apply(Production(champion=four), site.decision, staged=five)  # images by digest pass
    assert FIVE in site.running()
    site.target.apply(Production(champion=four), site.next())
    plane.admin("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/digests")
    _bind(site, "fours")
    eventually(
        lambda: "only fours run here" in plane.refusal("POST", dry, _free("tagged"))[1], "the policy is in force"
    )
    with pytest.raises(ServingError, match="only fours run here") as refused:
        site.target.apply(Production(champion=four), site.next(), staged=five)
    assert "the cluster refuses" in str(refused.value)
    assert (site.predict(), FIVE in site.running()) == ("4", False)
    plane.admin("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/fours")
    eventually(
        lambda: plane.refusal("POST", dry, _free("tagged"))[0] == http.HTTPStatus.CREATED, "no policy is in force"
    )


def test_pods_that_are_not_ready_do_not_hold_up_a_drain(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    image = f"registry.example/ml/sample@sha256:{'5' * 64}"
    gone = site.cluster.nodes.images.pop(image)
    site.target.apply(Production(champion=four), site.next(), staged=five)
    site.target.start(site.bundles["5"])  # until the cluster says that it fails
    if site.cluster.minor >= ALWAYS_ALLOW_SINCE:
        assert [_evict(site, pod) for pod in _pods(site, "5")] == [http.HTTPStatus.CREATED] * 2
    site.cluster.nodes.images[image] = gone
    site.target.apply(Production(champion=four), site.next())


def test_a_cluster_without_kserve_is_told_to_install_it(site: Site) -> None:
    site.target.stop()
    site.configure('form = "kserve"\n')
    site.target.check_rollout(site.pin("4"), None)
    assert cluster_report.finding(site.project).verdict == "ok"
    custom_resources.withdraw(site.cluster.plane, "inferenceservices.serving.kserve.io")
    with pytest.raises(ServingError, match="the cluster knows no objects of this kind") as refused:
        site.target.check_rollout(site.pin("4"), None)
    assert "KServe" in str(refused.value.next_step)
    assert "KServe" in cluster_report.finding(site.project).what_to_do


def test_the_role_of_the_docs_is_enough_and_no_more(site: Site) -> None:
    site.cluster.requests()
    assert site.cluster.refused == ({("delete", "secrets/odd")} if site.cluster.minor < STRICT_SINCE else set())
    allowed = {
        (group, resource, verb)
        for rule in role()["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert site.cluster.used == allowed
    assert site.cluster.minor < STRICT_SINCE or site.cluster.disapproved == []


def _free(name: str) -> dict[str, Any]:
    """A Deployment of another image than by digest, whose pods keep to no standard."""
    pod = {"containers": [{"name": "a", "image": "registry.example/a:latest"}]}
    template = {"metadata": {"name": name, "labels": {"app": name}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@contextmanager
def _quota(site: Site, most: dict[str, str]) -> Iterator[None]:
    """A ResourceQuota of the namespace, in force while the block lasts."""
    path = f"{NAMESPACE}/resourcequotas"
    site.cluster.plane.admin("POST", path, {"metadata": {"name": "small"}, "spec": {"hard": most}})

    def is_counted() -> bool:
        found: dict[str, Any] = site.cluster.plane.admin("GET", f"{path}/small") or {}
        return set((found.get("status") or {}).get("used") or {}) == set(most)

    try:
        eventually(is_counted, "the quota is counted", seconds=30)
        yield
    finally:
        site.cluster.plane.admin("DELETE", f"{path}/small")


def _bind(site: Site, policy: str) -> None:
    spec = {"policyName": policy, "validationActions": ["Deny"]}
    path = f"{ADMISSION}/validatingadmissionpolicybindings"
    site.cluster.plane.admin("POST", path, {"metadata": {"name": policy}, "spec": spec})
