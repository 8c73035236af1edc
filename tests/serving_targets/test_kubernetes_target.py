"""A model served by pods: the fake API server over HTTP, real processes of real bundles as pods."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import pytest
import yaml

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.access import api_keys, project_door
from components.contracts.serving_spec import (
    ChallengerLimits,
    OvertakenError,
    RolloutPolicy,
)
from components.core.errors import ServingError, SpecError, UsageError
from components.core.project import Project
from components.packaging import pushed_image
from components.release.decision import ObservedState
from components.release.production import Production
from flows.serving_targets import cluster_api, cluster_removal, cluster_report
from flows.serving_targets.cluster_api import ClusterAbsentError, ConflictError
from flows.serving_targets.cluster_switch import TrafficSwitch
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.serving_target import target_of
from tests.serving_targets.cluster_site import ROOT, Site, clients, served_by_fake, serves, status_of
from tests.serving_targets.fake_cluster import FakeCluster
from tests.waiting import eventually

LIMITS = ChallengerLimits(max_error_rate=0.5, max_latency_ratio=1000.0, min_requests=10_000)
GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\nmax_replicas = 4\nrequests_in_flight = 8\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_by_fake(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.mark.slow
def test_the_first_version_is_staged_proven_and_switched_to(site: Site) -> None:
    target, pin = site.target, site.pin("4")
    assert target.status() is None
    assert (target.url, target.state(), target.spec()) == (None, "stopped", None)
    assert target.is_applied(Production())
    target.check_rollout(pin, None)
    target.apply(Production(), site.decision, staged=pin)
    target.start(site.bundles["4"])
    status = target.wait(lambda worker: worker.staged is not None and worker.staged.state == "ready", "load version 4")
    assert (status.hosts, status.expected, len(status.workers)) == (2, 2, 2)
    assert all(worker.champion is None for worker in status.workers)
    assert site.predict().startswith("HTTP 503")
    assert target.check_golden_examples(site.packages["4"], 1e-4, 1) < 1e-4
    target.apply(Production(champion=pin), site.next())
    target.wait(serves("4"), "serve version 4")
    assert site.predict() == "4"
    assert target.is_applied(Production(champion=pin))
    assert (target.state(), target.url, target.ready_url()) == ("running", *(["http://sample.models.svc"] * 2))


def test_what_this_machine_served_before_ends_once_clients_had_time_to_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, production = site.target, Production(champion=site.pin("4"))
    stopped: list[str] = []
    monkeypatch.setattr(LocalServingTarget, "url", property(lambda own: None if stopped else "http://127.0.0.1:3000"))
    monkeypatch.setattr(LocalServingTarget, "stop", lambda own: stopped.append(own.name))
    assert target.is_applied(production)
    monkeypatch.setattr("flows.serving_targets.kubernetes_target.HANDOVER_SECONDS", 0.0)
    assert not target.is_applied(production)
    target.apply(production, site.next())
    assert stopped == ["sample"]
    assert target.is_applied(production)


def _changes(site: Site) -> list[tuple[str, str]]:
    """What was changed since the last call, but the noting of decisions on Deployments."""
    found = [(method, path.rpartition("/namespaces/models/")[2]) for method, path in site.cluster.log]
    site.cluster.log.clear()
    return [(method, path) for method, path in found if not (method == "PATCH" and path.startswith("deployments/"))]


@pytest.mark.slow
def test_the_switch_and_the_way_back_are_one_patch_and_fail_no_request(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    with clients(site) as answers:
        target.apply(Production(champion=four), site.decision, staged=five)
        target.start(site.bundles["5"])
        status = target.wait(lambda worker: worker.staged is not None, "load version 5")
        assert {worker.champion.version for worker in status.workers if worker.champion} == {"4"}
        assert target.check_golden_examples(site.packages["5"], 1e-4, 1) < 1e-4
        assert set(answers) == {"4"}
        _changes(site)
        target.apply(Production(champion=five, previous=four), site.next())
        assert _changes(site) == [("PATCH", "services/sample")]
        target.wait(serves("5"), "serve version 5")
        eventually(lambda: answers["5"] > 5, "clients are answered by version 5")
        assert len(site.running()) == 2
        target.apply(Production(champion=four, previous=five), site.next())
        assert _changes(site) == [("PATCH", "services/sample")]
        target.wait(serves("4"), "serve version 4", timeout_seconds=5)
        before = answers["4"]
        eventually(lambda: answers["4"] > before + 5, "clients are answered by version 4")
    assert set(answers) == {"4", "5"}, answers
    previous = [worker.previous for worker in status_of(site).workers]
    assert {slot.version for slot in previous if slot is not None} == {"5"}


@pytest.mark.slow
def test_a_version_is_served_once_the_slices_of_the_service_have_followed(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    site.cluster.slices_lag = True
    try:
        target.apply(Production(champion=five, previous=four), site.next())
        with pytest.raises(ServingError, match="did not serve version 5") as late:
            target.wait(serves("5"), "serve version 5", timeout_seconds=0.6)
        assert "EndpointSlices still hold sample-444444444444-" in str(late.value)
        assert {site.predict() for _ in range(5)} == {"4"}
        assert ObservedState.of(status_of(site)).champion is None
        assert target.ready_url() is None
        threading.Timer(0.5, lambda: setattr(site.cluster, "slices_lag", False)).start()
        target.wait(serves("5"), "serve version 5", timeout_seconds=10)
        assert {site.predict() for _ in range(5)} == {"5"}
    finally:
        site.cluster.slices_lag = False
    target.apply(Production(champion=four, previous=five), site.next())
    target.wait(serves("4"), "serve version 4")


@pytest.mark.slow
def test_an_older_decision_changes_nothing(site: Site) -> None:
    _changes(site)
    with pytest.raises(OvertakenError, match="later decision"):
        site.target.apply(Production(), site.decision - 1)
    assert _changes(site) == []
    service = site.target.api.get("Service", "sample")
    assert service is not None
    with pytest.raises(ConflictError):  # the check of the API server itself, for who reads before a later decision
        site.target.api.patch("Service", "sample", {"metadata": {"resourceVersion": "1"}, "spec": {}})
    deployment = next(iter(site.target.observe().deployments.values()))
    stale = {"metadata": {"name": deployment.document["metadata"]["name"], "resourceVersion": "1"}}
    site.target._objects.remove(replace(deployment, document=stale))
    assert deployment.key in site.target.observe().deployments
    assert site.predict() == "4"


@pytest.mark.slow
def test_a_later_decision_that_comes_between_reading_and_writing_wins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, production = site.target, Production(champion=site.pin("4"), previous=site.pin("5"))
    own, before = site.target, target._switch._document

    def later(*words: Any) -> Any:
        monkeypatch.undo()
        own.apply(production, site.next())
        return before(*words)

    monkeypatch.setattr(TrafficSwitch, "_document", lambda _, *words: later(*words))
    with pytest.raises(OvertakenError):
        target.apply(Production(champion=site.pin("5"), previous=site.pin("4")), site.decision)
    assert site.predict() == "4"
    assert target.is_applied(production)


@pytest.mark.long
def test_a_pod_that_is_killed_is_missing_until_it_is_back(site: Site) -> None:
    [pod, _] = site.cluster.found("Pod", {"modelyard.bundle": "4" * 12})
    site.cluster.kill(pod["metadata"]["name"])
    eventually(lambda: len(status_of(site).workers) == 1, "a worker is missing")
    assert status_of(site).expected == 2
    with pytest.raises(ServingError, match="did not serve version 4"):
        site.target.wait(serves("4"), "serve version 4", timeout_seconds=0)
    site.target.wait(serves("4"), "serve version 4")


@pytest.mark.slow
def test_a_version_without_an_image_is_refused_before_anything_is_made(site: Site) -> None:
    record = pushed_image.path(site.bundles["5"])
    content = record.read_bytes()
    record.unlink()
    with pytest.raises(UsageError, match="no image of the bundle sample:555555555555") as refused:
        site.target.check_rollout(site.pin("5"), None)
    assert "modelyard containerize sample --version 5" in str(refused.value.next_step)
    record.write_bytes(content.replace(site.pin("5").bundle_digest.encode(), b"0" * 64))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="no image"):
        site.target.check_rollout(site.pin("5"), None)
    record.write_bytes(content)
    site.target.check_rollout(site.pin("5"), None)
    with pytest.raises(UsageError, match="a tag may name another image"):
        pushed_image.record(site.bundles["5"], "registry.example/ml/sample:5")
    policy = RolloutPolicy(canary_percent=10.0, limits=LIMITS)
    with pytest.raises(UsageError, match="gets its requests from a Gateway"):
        site.target.check_rollout(site.pin("5"), policy)


@pytest.mark.long
def test_what_cannot_be_pulled_never_gets_a_request_and_the_status_says_why(site: Site) -> None:
    target, four, five = site.target, site.pin("4"), site.pin("5")
    target.apply(Production(champion=four), site.next())
    eventually(lambda: len(site.cluster.found("Pod", {"modelyard.bundle": "5" * 12})) == 0, "version 5 has gone")
    gone = site.cluster.images.pop(f"registry.example/ml/sample@sha256:{'5' * 64}")
    target.apply(Production(champion=four), site.decision, staged=five)
    target.start(site.bundles["5"])
    staged = [worker.staged for worker in status_of(site).workers]
    assert all(
        slot is not None and slot.state == "failed" and "ImagePullBackOff" in str(slot.reason) for slot in staged
    )
    _changes(site)
    target.apply(Production(champion=five, previous=four), site.next())
    assert site.predict() == "4"
    observed = ObservedState.of(status_of(site))
    assert observed.champion == "4"
    assert "ImagePullBackOff" in str(observed.unloadable)
    site.cluster.images[f"registry.example/ml/sample@sha256:{'5' * 64}"] = gone
    target.apply(Production(champion=four), site.next())
    assert ObservedState.of(status_of(site)).unloadable is None


@pytest.mark.slow
def test_a_cluster_that_is_away_or_refuses_changes_nothing(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    site.cluster.away = True
    try:
        for asked in (site.target.status, site.target.state, lambda: site.target.apply(Production(), site.decision)):
            with pytest.raises(ClusterAbsentError):
                asked()
        assert cluster_report.finding(site.project).verdict == "fail"
        threading.Timer(1.0, lambda: setattr(site.cluster, "away", False)).start()
        site.target.wait(serves("4"), "serve version 4", timeout_seconds=20)
    finally:
        site.cluster.away = False
    assert "Deployments" in cluster_report.finding(site.project).found
    site.cluster.forbidden.add(("PATCH", "Service"))
    try:
        with pytest.raises(ServingError, match="does not allow") as refused:
            site.target.apply(production, site.next())
        assert "docs/kubernetes.md" in str(refused.value.next_step)
    finally:
        site.cluster.forbidden.clear()
    assert site.predict() == "4"


@pytest.mark.slow
def test_api_keys_reach_the_cluster(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    site.target.apply(production, site.decision)
    assert site.target.is_applied(production)
    path = project_door.api_keys_file(site.project, "sample")
    api_keys.add(path, "somebody", "predict")
    assert not site.target.is_applied(production)
    site.target.apply(production, site.decision)
    assert site.target.is_applied(production)
    held = base64.b64decode(site.cluster.store["Secret", "sample-api-keys"]["data"]["api-keys"]).decode()
    assert held.startswith(path.read_text())
    key = site.target._keys.controller_key
    assert key is not None
    assert key not in held


@pytest.mark.long
def test_a_gateway_shares_the_requests_by_weights_and_mirrors_them_to_a_shadow(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(GATEWAY, replicas=1)
    target, four, five = site.target, site.pin("4"), site.pin("5")
    policy = RolloutPolicy(canary_percent=30.0, limits=LIMITS)
    target.check_rollout(five, policy)
    production = Production(champion=four, challenger=five, policy=policy)
    target.apply(production, site.next())
    target.start(site.bundles["5"])
    target.wait(lambda worker: worker.challenger is not None and worker.policy == policy, "take the challenger")
    assert target.url == "http://sample.example.com"
    answers = Counter(site.predict() for _ in range(100))
    assert set(answers) == {"4", "5"}
    assert 15 < answers["5"] < 45
    stats = [worker.challenger_stats.requests for worker in status_of(site).workers]
    assert sum(stats) == answers["5"]
    shadow = production.with_policy(policy.model_copy(update={"canary_percent": 0.0}))
    _changes(site)
    target.apply(shadow, site.next())
    assert _changes(site) == [("PATCH", "httproutes/sample")]
    assert {site.predict() for _ in range(5)} == {"4"}
    assert sum(worker.challenger_stats.requests for worker in status_of(site).workers) == answers["5"] + 5
    strict = policy.model_copy(
        update={"limits": LIMITS.model_copy(update={"min_requests": 1, "max_latency_ratio": 0.0})}
    )
    target.apply(production.with_policy(strict), site.next())
    assert "more than max_latency_ratio" in str(ObservedState.of(status_of(site)).broken)
    loaded = site.cluster.store["Deployment", f"sample-{'4' * 12}"]
    site.cluster.save({**loaded, "spec": {**loaded["spec"], "replicas": 2}})  # as its autoscaler would under load
    target.apply(production.with_champion(five), site.next())
    assert {site.predict() for _ in range(5)} == {"5"}
    assert status_of(site).expected == 2
    assert target.is_applied(production.with_champion(five))
    monkeypatch.setattr(cluster_removal, "LOADED_SECONDS", -1.0)
    assert not target.is_applied(production.with_champion(five))
    target.apply(production.with_champion(five), site.decision)
    assert target.is_applied(production.with_champion(five))
    [scaler] = [
        one for (kind, name), one in site.cluster.store.items() if name == "sample-" + "5" * 12 and "Horiz" in kind
    ]
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == "bentoml_service_request_in_progress"


@pytest.mark.slow
def test_the_metric_of_the_autoscaler_is_one_that_pods_have(site: Site) -> None:
    [pod, _] = {name for (kind, name) in site.cluster.store if kind == "Pod" and "5" * 12 in name}
    key = site.target._keys.controller_key
    assert key is not None
    answer = site.target.api.ask_pod(pod, 3000, "/metrics", {"X-API-Key": key})
    assert b"bentoml_service_request_in_progress" in answer.content


@pytest.mark.long
def test_a_service_that_is_stopped_leaves_no_pod(site: Site) -> None:
    observed = site.target.observe().deployments["5" * 12]
    site.cluster.save(site.cluster.store["Deployment", f"sample-{'5' * 12}"])  # as a new status does
    site.target._objects.remove(observed)
    assert f"sample-{'5' * 12}" not in site.running()
    site.target.stop()
    assert (site.target.url, site.target.state(), site.running()) == (None, "stopped", set())
    assert site.target.is_applied(Production())
    kinds = {kind for kind, name in site.cluster.store if name.startswith("sample-")} - {"Pod"}
    assert kinds == {"Secret"}
    eventually(lambda: not site.cluster.found("Pod", {}), "no pod is left")
    with pytest.raises(OvertakenError):
        site.target.apply(Production(champion=site.pin("4")), site.decision - 1)


def test_a_cluster_that_cannot_be_reached_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import kube_config

    cluster = FakeCluster(tmp_path, {})
    cluster.url = "http://127.0.0.1:9"
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    (tmp_path / "modelyard.toml").write_text("[kubernetes]\nnamespace = 'far'\n")
    with pytest.raises(ClusterAbsentError, match="does not answer"):
        target_of(Project(tmp_path), "sample").status()


MODELYARD = "system:serviceaccount:models:modelyard"
STRICT = ' "" is invalid: patch: Invalid value: "{{{}}}": strict decoding error: unknown field "spec.selectors"'
ABSENT = "knows no objects of this kind"


@pytest.mark.parametrize(
    ("status", "said", "what"),
    [
        (403, f'secrets "a" is forbidden: User "{MODELYARD}" cannot delete resource "secrets"', "does not allow this"),
        (403, 'deployments.apps "a" is forbidden: exceeded quota: small, requested: count/deployments=1', "refuses"),
        (403, 'pods "a" is forbidden: violates PodSecurity "restricted:latest": privileged', "refuses"),
        (403, 'admission webhook "rules.example.com" denied the request: no', "refuses"),
        (401, "Unauthorized", "does not allow this"),
        (422, STRICT.format(""), "refuses"),
        (404, "the server could not find the requested resource", ABSENT),
        (404, "404 page not found\n", ABSENT),
        (404, 'namespaces "models" not found', "refuses"),
    ],
)
def test_what_an_api_server_refuses_is_told_by_who_refused_it(
    status: int, said: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words of API servers of Kubernetes 1.20 and 1.36, which tell of an unknown path in plain text."""
    content = said if said.startswith("404") else json.dumps({"kind": "Status", "message": said})
    api, _ = _api(monkeypatch, [])
    monkeypatch.setattr(api, "_send", lambda *_: cluster_api.Response(status, {}, content.encode()))
    with pytest.raises(ServingError, match=f"^the cluster.*{what}") as refused:
        api.list("Deployment", {})
    assert said.strip() in str(refused.value)


def _api(monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, str]]) -> tuple[cluster_api.ClusterApi, list[str]]:
    """An API that gets these answers, and the paths for which it asks."""
    asked: list[str] = []

    def send(_: str, path: str, *__: Any) -> cluster_api.Response:
        asked.append(path)
        status, said = answers[len(asked) - 1]
        content = said if status in (200, 500) else json.dumps({"kind": "Status", "message": said, "code": status})
        return cluster_api.Response(status, {"retry-after": "1"} if status == 429 else {}, content.encode())

    client = SimpleNamespace(configuration=SimpleNamespace(host="https://cluster.example"))
    api = cluster_api.ClusterApi(client, "models")
    monkeypatch.setattr(api, "_send", send)
    return api, asked


def test_a_refusal_that_quotes_the_whole_object_still_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server answers a patch with an unknown field so, when it is to be strict."""
    api, _ = _api(monkeypatch, [(422, STRICT.format("m" * 5000))])
    with pytest.raises(ServingError, match="the cluster refuses") as refused:
        api.list("Service", {})
    said = str(refused.value)
    assert 'unknown field "spec.selectors"' in said
    assert len(said) < 1000


LATE = (429, "storage is (re)initializing")  # as an API server of 1.36 says after a start
DENIED = (403, f'services is forbidden: User "{MODELYARD}" cannot list resource "services"')
NOT_READY = (500, "[+]ping ok\n[-]informer-sync failed: reason withheld\nreadyz check failed\n")
FOUND = (200, '{"items": [{}]}')


@pytest.mark.parametrize(("put_off", "is_answered"), [(4, True), (5, False)])
def test_a_request_that_the_api_server_puts_off_is_sent_again(
    put_off: int, is_answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    api, _ = _api(monkeypatch, [LATE] * put_off + [FOUND])
    if is_answered:
        assert api.list("Service", {}) == [{}]
    else:
        with pytest.raises(ClusterAbsentError, match="does not answer as it should"):
            api.list("Service", {})
    assert pauses == [1.0] * 4


@pytest.mark.parametrize("answer", [None, (500, "etcdserver: leader changed")])
@pytest.mark.parametrize(("failures", "is_answered"), [(2, True), (3, False)])
def test_what_only_reads_is_sent_again_after_a_hiccup(
    failures: int, is_answered: bool, answer: tuple[int, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Any] = [answer] * failures

    def send(*_: Any) -> cluster_api.Response:
        status, said = (left.pop() if left else FOUND) or (0, "")
        if not status:
            raise cluster_api.CutOffError("the cluster does not answer")
        return cluster_api.Response(status, {}, said.encode())

    monkeypatch.setattr(time, "sleep", lambda _: None)
    api, _ = _api(monkeypatch, [])
    monkeypatch.setattr(api, "_send", send)
    if is_answered:
        assert api.list("Service", {}) == [{}]
    else:
        with pytest.raises(ClusterAbsentError):
            api.list("Service", {})
    left[:] = [None]
    with pytest.raises(ClusterAbsentError):  # nobody knows whether it was carried out
        api.delete("Service", "a")


STATUS = b'{"kind": "Status", "message": "etcdserver: leader changed"}'


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([None, (429, STATUS), (200, b"ok")], 200),
        ([(500, STATUS)] * 3, None),
        ([None] * 3, None),
        ([(500, b'{"error": "model"}')], 500),
        ([(503, STATUS)], 503),
    ],
)
def test_a_failure_of_the_api_server_is_not_taken_for_one_of_a_pod(
    answers: list[tuple[int, bytes] | None], status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a golden example that the API server puts off would refuse a version."""
    left = list(reversed(answers))

    def send(*_: Any) -> cluster_api.Response:
        if (found := left.pop()) is None:
            raise cluster_api.CutOffError("the cluster does not answer")
        return cluster_api.Response(found[0], {}, found[1])

    monkeypatch.setattr(time, "sleep", lambda _: None)
    api, _ = _api(monkeypatch, [])
    monkeypatch.setattr(api, "_send", send)
    if status is None:
        with pytest.raises(ClusterAbsentError):
            api.ask_pod("pod", 3000, "/predict", {}, b"image")
    else:
        assert api.ask_pod("pod", 3000, "/predict", {}, b"image").status == status
    assert left == []


def test_an_api_server_that_starts_and_knows_no_rights_yet_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    api, asked = _api(monkeypatch, [DENIED, NOT_READY])
    with pytest.raises(ClusterAbsentError, match="is not ready") as absent:
        api.list("Service", {})
    assert "\n  got:      [-]informer-sync failed: reason withheld\n" in str(absent.value)
    assert asked[1] == "/readyz"
    api, _ = _api(monkeypatch, [DENIED, (200, "ok"), FOUND])  # it has become ready between the two
    assert api.list("Service", {}) == [{}]
    api, _ = _api(monkeypatch, [DENIED, (200, "ok"), DENIED])
    with pytest.raises(ServingError, match="does not allow"):
        api.list("Service", {})


LOGIN = b"<html><title>Log in</title>"


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ((200, {"content-type": "text/html"}, LOGIN), "HTTP 200, text/html: <html><title>Log in</title>"),
        ((200, {"content-type": "application/json"}, b'["a"]'), 'HTTP 200, application/json: ["a"]'),
        ((200, {}, b""), "HTTP 200, no content type: nothing"),
        ((302, {"location": "https://login.example/in?state=s"}, b""), "HTTP 302 to https://login.example/in"),
        ((404, {"content-type": "text/html"}, LOGIN), "HTTP 404, text/html: <html><title>Log in</title>"),
    ],
)
def test_an_answer_that_is_of_no_api_server_is_none(
    answer: tuple[int, dict[str, str], bytes], got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway in between may answer in its place; an object is not gone because the gateway knows no such page."""
    api, _ = _api(monkeypatch, [])
    monkeypatch.setattr(api, "_send", lambda *_: cluster_api.Response(*answer))
    for ask in (lambda: api.get("Service", "a"), lambda: api.delete("Service", "a"), lambda: api.list("Pod", {})):
        with pytest.raises(ClusterAbsentError, match="no API server of Kubernetes") as absent:
            ask()
        assert absent.value.got == got


def test_a_refusal_without_words_says_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    api, _ = _api(monkeypatch, [])
    monkeypatch.setattr(api, "_send", lambda *_: cluster_api.Response(400, {}, b""))
    with pytest.raises(ServingError, match="the cluster refuses") as refused:
        api.get("Service", "a")
    assert refused.value.got == "HTTP 400"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[hosts.a]\nfolder = '/x'\n[kubernetes]\nnamespace = 'models'\n", "remove [kubernetes], or every"),
        ("[kubernetes]\nnamespace = 'models'\ngateway = 'web'\n", "gateway and hostname go together"),
        ("[kubernetes]\nnamespace = 'models'\nreplicas = 3\nmax_replicas = 2\n", "less than replicas"),
        ("[kubernetes]\nnamespace = 'models'\nrequests_in_flight = 3\n", "needs max_replicas"),
        ("[kubernetes]\nnamespace = 'models'\ncontext = 'a'\nin_cluster = true\n", "does not read"),
        ("[kubernetes]\nnamespace = 'Models'\n", "pattern"),
        ("[kubernetes]\nnamespace = 'models'\nreplica = 2\n", "max_replicas, requests_in_flight"),
    ],
)
def test_settings_that_do_not_fit_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text(text)
    with pytest.raises(SpecError) as refused:
        target_of(Project(tmp_path), "sample")
    assert problem in str(refused.value)


def test_credentials_that_are_not_there_are_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    (tmp_path / "modelyard.toml").write_text("[kubernetes]\nnamespace = 'elsewhere'\n")
    with pytest.raises(UsageError, match="credentials of the cluster cannot be read"):
        target_of(Project(tmp_path), "sample").status()
    (tmp_path / "modelyard.toml").write_text("[kubernetes]\nnamespace = 'elsewhere'\nin_cluster = true\n")
    with pytest.raises(UsageError, match="credentials of the cluster cannot be read"):
        target_of(Project(tmp_path), "sample").status()


@pytest.mark.long
def test_a_deployment_that_somebody_deletes_is_made_again(site: Site) -> None:
    production = Production(champion=site.pin("4"))
    site.target.apply(production, site.next())
    site.target.start(site.bundles["4"])
    site.target.api.delete("Deployment", f"sample-{'4' * 12}")
    assert not site.target.is_applied(production)
    assert (site.target.state(), site.target.status()) == ("stopped", None)
    site.target.apply(production, site.decision)
    site.target.start(site.bundles["4"])
    deployment = site.cluster.store["Deployment", f"sample-{'4' * 12}"]
    assert deployment["status"]["readyReplicas"] == deployment["spec"]["replicas"]  # not the pods of the one before
    site.target.wait(serves("4"), "serve version 4")
    site.target.stop()


def test_the_role_of_the_docs_has_what_is_asked_for() -> None:
    """The rights by kind, against the requests that the module makes."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    role = yaml.safe_load(text.partition("## Rights")[2].partition("```text\n")[2].partition("```")[0])
    kubernetes_validate.validate(role, "1.37", strict=True)
    allowed = {
        (group, resource) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
    }
    for root, plural in cluster_api.COLLECTIONS.values():
        group = root.split("/")[2] if root.startswith("/apis") else ""
        assert (group, plural) in allowed
