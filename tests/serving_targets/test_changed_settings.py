"""What is left in a cluster when `[kubernetes]` changes while a model serves: it goes once the rest serves."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.contracts.serving_spec import ChallengerLimits, RolloutPolicy
from components.deployment import release_objects
from components.release.decision import DesiredState, ObservedState, Situation, decide
from components.release.production import Production
from flows.serving_targets import cluster_leftovers
from tests.serving_targets.cluster_site import Site, clients, served_by_fake, serves
from tests.waiting import eventually

GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\n"
LIMITS = ChallengerLimits(min_requests=1000, max_error_rate=1.0, max_latency_ratio=1000.0)
KSERVE = 'form = "kserve"\n'
FOUR, FIVE = f"sample-{'4' * 12}", f"sample-{'5' * 12}"
SECRETS = {("Secret", "sample-api-keys"), ("Secret", "sample-controller")}
PLAIN = {("Service", "sample"), ("Deployment", FOUR), ("PodDisruptionBudget", FOUR)}
ROUTED = {("HTTPRoute", "sample"), ("Service", FOUR), ("Deployment", FOUR), ("PodDisruptionBudget", FOUR)}
SERVICES = {
    ("Service", "sample"),
    ("InferenceService", f"{FOUR}-isvc"),
    ("Deployment", f"{FOUR}-isvc-predictor"),
    ("PodDisruptionBudget", FOUR),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_by_fake(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("HANDOVER_SECONDS", 1.0), ("BACKENDS_SECONDS", 0.5), ("ORPHAN_SECONDS", 0.5)):
        monkeypatch.setattr(cluster_leftovers, name, seconds)
    cluster_leftovers._found.clear()


def _objects(site: Site) -> set[tuple[str, str]]:
    """All but pods and their Services' slices, and the Secrets that stay."""
    return {name for name in site.cluster.store if name[0] not in ("Pod", "EndpointSlice")} - SECRETS


def _serve(site: Site, more: str = "") -> Production:
    """Have version 4 serve by these settings."""
    site.configure(more, replicas=1)
    production = Production(champion=site.pin("4"))
    site.target.apply(production, site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    return production


def _follow(site: Site, production: Production, holds: Callable[[], bool], seconds: float = 30) -> None:
    """Look as the controller does, and apply what is pinned, until something holds and nothing is to be done."""
    target = site.target

    def step() -> bool:
        if target.is_applied(production):
            return holds()
        target.apply(production, site.decision)
        return False

    eventually(step, "the settings are followed", seconds=seconds)


@pytest.mark.slow
def test_a_gateway_that_is_taken_out_or_named_leaves_nothing_and_fails_no_request(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site, GATEWAY)
    assert _objects(site) == ROUTED
    capsys.readouterr()
    with clients(site) as answers:
        site.configure(replicas=1)
        target = site.target
        assert not target.is_applied(production)
        target.apply(production, site.decision)
        assert _objects(site) == PLAIN | ROUTED  # both addresses answer
        target.wait(serves("4"), "serve version 4")
        assert capsys.readouterr().out == ""
        _follow(site, production, lambda: ("HTTPRoute", "sample") not in _objects(site))
        said = capsys.readouterr().out
        assert "sample: HTTPRoute sample was removed from the cluster: no setting of [kubernetes] asks for it" in said
        assert ("Service", FOUR) in _objects(site)  # a Gateway follows late
        _follow(site, production, lambda: _objects(site) == PLAIN)
        site.configure(GATEWAY, replicas=1)
        _follow(site, production, lambda: _objects(site) == ROUTED)
        assert "Service sample was removed" in capsys.readouterr().out
    assert set(answers) == {"4"}, answers


@pytest.mark.slow
def test_a_challenger_is_taken_out_when_its_gateway_is(site: Site) -> None:
    four, five = site.pin("4"), site.pin("5")
    policy = RolloutPolicy(canary_percent=0.0, limits=LIMITS)
    _serve(site, GATEWAY)
    production = Production(champion=four, challenger=five, policy=policy)
    site.target.apply(production, site.next())
    site.target.start(site.bundles["5"])
    site.target.wait(lambda worker: worker.challenger is not None, "take the challenger")
    site.configure(replicas=1)
    _follow(site, production, lambda: True)
    status = site.target.wait(serves("4"), "serve version 4")
    observed = ObservedState.of(status)
    decision = decide(Situation(production, observed=observed, service="running", policy=policy))
    assert decision is not None
    assert (decision.step, decision.role, decision.broken) == ("wait", "challenger", None)  # until the registry answers
    desired = DesiredState("4", "5")
    decision = decide(Situation(production, desired=desired, observed=observed, service="running", policy=policy))
    assert decision is not None
    assert (decision.step, decision.role) == ("release", "challenger")
    assert "names none any more" in str(decision.broken)
    site.target.apply(production.without_challenger(), site.next())
    site.target.wait(lambda worker: worker.challenger is None, "let the challenger go")
    _follow(site, production.without_challenger(), lambda: _objects(site) == PLAIN)


@pytest.mark.long
def test_the_old_address_never_answers_by_a_version_that_is_not_in_force(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_leftovers, "HANDOVER_SECONDS", 1000.0)
    four, five = site.pin("4"), site.pin("5")
    _serve(site, GATEWAY)
    _serve(site)
    assert site.target.is_applied(Production(champion=four))
    assert ("HTTPRoute", "sample") in _objects(site)
    site.target.apply(Production(champion=four), site.decision, staged=five)
    site.target.start(site.bundles["5"])
    at_switch: list[set[tuple[str, str]]] = []
    direct = type(site.target._switch).direct

    def observed(switch: Any, *words: Any) -> Any:
        at_switch.append(_objects(site))
        return direct(switch, *words)

    monkeypatch.setattr(type(site.target._switch), "direct", observed)
    site.target.apply(Production(champion=five, previous=four), site.next())
    assert ("HTTPRoute", "sample") not in at_switch[0]
    site.target.wait(serves("5"), "serve version 5")
    assert site.predict() == "5"
    site.target.apply(Production(champion=four), site.next())
    _follow(site, Production(champion=four), lambda: _objects(site) == PLAIN)


@pytest.mark.long
def test_a_version_is_made_in_the_other_form_and_the_former_goes_once_it_serves(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site)
    _follow(site, production, lambda: _objects(site) == PLAIN)
    capsys.readouterr()
    with clients(site) as answers:
        site.configure(KSERVE, replicas=1)
        _follow(site, production, lambda: _objects(site) == SERVICES)
        said = capsys.readouterr().out
        assert f"Deployment {FOUR} was removed from the cluster: its version has all pods as InferenceService" in said
        site.target.wait(serves("4"), "serve version 4")
        site.configure(replicas=1)
        _follow(site, production, lambda: _objects(site) == PLAIN)
        assert f"InferenceService {FOUR}-isvc was removed from the cluster" in capsys.readouterr().out
        status = site.target.wait(serves("4"), "serve version 4")
        assert (status.expected, len(status.workers)) == (1, 1)
    assert set(answers) == {"4"}, answers
    assert site.cluster.kserve.rollouts == []


@pytest.mark.long
def test_a_version_that_the_other_form_cannot_serve_stays_in_its_own(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site)
    site.cluster.kserve.broken.add(f"{FOUR}-isvc")
    site.configure(KSERVE, replicas=1)
    target = site.target
    target.apply(production, site.decision)
    eventually(lambda: target.is_applied(production) and capsys.readouterr().out, "it is said")
    assert target.observe().deployments["4" * 12].kind == "Deployment"
    assert target.is_applied(production)
    assert {("Deployment", FOUR), ("InferenceService", f"{FOUR}-isvc")} <= _objects(site)
    site.configure(replicas=1)
    _follow(site, production, lambda: _objects(site) == PLAIN)
    site.cluster.kserve.broken.clear()


@pytest.mark.long
def test_a_version_under_load_gets_as_many_pods_in_the_other_form(site: Site) -> None:
    production, more = _serve(site, "max_replicas = 3\n"), "max_replicas = 3\n"
    loaded = site.cluster.store["Deployment", FOUR]
    site.cluster.save({**loaded, "spec": {**loaded["spec"], "replicas": 2}})  # as its autoscaler would
    eventually(lambda: site.target.observe().deployments["4" * 12].ready == 2, "two pods are ready")
    site.configure(KSERVE + more, replicas=1)
    _follow(site, production, lambda: _objects(site) == SERVICES)
    assert site.target.observe().deployments["4" * 12].ready == 2
    site.configure(more, replicas=1)
    _follow(site, production, lambda: _objects(site) == PLAIN | {("HorizontalPodAutoscaler", FOUR)})
    assert site.target.observe().deployments["4" * 12].ready == 2


@pytest.mark.slow
def test_an_autoscaler_without_max_replicas_goes(site: Site) -> None:
    production = _serve(site, "max_replicas = 3\n")
    assert ("HorizontalPodAutoscaler", FOUR) in _objects(site)
    site.configure(replicas=1)
    _follow(site, production, lambda: _objects(site) == PLAIN)


@pytest.mark.slow
def test_a_cluster_that_knows_no_route_and_no_kserve_is_looked_at_all_the_same(site: Site) -> None:
    site.cluster.undefined |= {"HTTPRoute", "InferenceService"}
    try:
        production = _serve(site, "max_replicas = 3\n")
        site.configure(replicas=1)
        _follow(site, production, lambda: _objects(site) == PLAIN)
    finally:
        site.cluster.undefined.clear()


@pytest.mark.slow
def test_what_is_of_others_or_without_our_labels_is_never_touched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HANDOVER_SECONDS", "BACKENDS_SECONDS", "ORPHAN_SECONDS"):
        monkeypatch.setattr(cluster_leftovers, name, 0.0)
    production = _serve(site)
    _follow(site, production, lambda: _objects(site) == PLAIN)
    of_ours = site.target._switch._document(production, 1, None, "4" * 12, None)
    routed = site.target.settings.model_copy(update={"gateway": "infra/web", "hostname": "{model}.example.com"})
    route = release_objects.route("sample", {"4" * 12: 1}, None, routed, of_ours["metadata"]["annotations"])

    def altered(**metadata: Any) -> dict[str, Any]:
        found = copy.deepcopy(route)
        found["metadata"] |= {"generation": 1, **metadata}
        return found

    other = {release_objects.MODEL_LABEL: "other", release_objects.MANAGED_LABEL: "modelyard"}
    deployment = site.cluster.store["Deployment", FOUR]["metadata"]
    sets = [
        _replica_set("of-ours", deployment["labels"], deployment["uid"]),
        _replica_set("of-nobody", deployment["labels"], None),
        _replica_set("of-other", {**deployment["labels"], **other}, "gone"),
        _replica_set("of-a-file", {**deployment["labels"], release_objects.BUNDLE_LABEL: None}, "gone"),
    ]
    autoscaler = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": FOUR, "labels": {"app": "theirs"}}}
    backend = {
        "kind": "Service",
        "metadata": {"name": FOUR, "labels": {**deployment["labels"], release_objects.BUNDLE_LABEL: "5" * 12}},
        "spec": {"selector": {"app": "theirs"}},
    }
    routes = [altered(labels={}), altered(labels=other), altered(annotations={})]
    for theirs in (*routes, autoscaler, backend, *sets):
        site.cluster.save(theirs)
        theirs = (theirs["kind"], theirs["metadata"]["name"])
        cluster_leftovers._found.clear()
        assert site.target.is_applied(production)
        site.target.apply(production, site.decision)
        assert theirs in _objects(site)
        site.cluster.store.pop(theirs)


def _replica_set(name: str, labels: dict[str, Any], owner: str | None) -> dict[str, Any]:
    kept = {key: value for key, value in labels.items() if value is not None}
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "name": FOUR, "uid": owner, "controller": True}
    metadata = {"name": name, "labels": kept, **({"ownerReferences": [about]} if owner else {})}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}


@pytest.mark.slow
def test_a_replica_set_whose_deployment_was_made_anew_goes_after_a_while(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site)
    labels = site.cluster.store["Deployment", FOUR]["metadata"]["labels"]
    site.cluster.save(_replica_set("orphan", labels, "the-one-before"))
    cluster_leftovers._found.clear()  # else it is looked for a minute later
    assert site.target.is_applied(production)  # the garbage collector may do it
    _follow(site, production, lambda: ("ReplicaSet", "orphan") not in _objects(site))
    assert "sample: ReplicaSet orphan was removed" in capsys.readouterr().out
    assert site.target.is_applied(production)


@pytest.mark.long
def test_a_removal_that_is_not_allowed_is_said_and_holds_nothing_up(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site, GATEWAY)
    site.configure(replicas=1)
    site.cluster.forbidden.add(("DELETE", "HTTPRoute"))
    try:
        site.target.apply(production, site.decision)
        site.target.wait(serves("4"), "serve version 4")
        said: list[str] = []

        def is_said() -> bool:
            if not site.target.is_applied(production):
                site.target.apply(production, site.decision)
            said.append(capsys.readouterr().out)
            return "HTTPRoute sample stays in the cluster, which does not allow its removal" in "".join(said)

        eventually(is_said, "it is said")
        assert site.target.is_applied(production)
        assert "".join(said).count("stays") == 1
        site.cluster.forbidden.add(("GET", "HTTPRoute"))
        cluster_leftovers._found.clear()
        cluster_leftovers._refused.clear()
        time.sleep(0.6)
        assert site.target.is_applied(production)
        assert ("Service", FOUR) in _objects(site)  # a route that nobody may read may need it
    finally:
        site.cluster.forbidden.clear()
        cluster_leftovers._found.clear()
    _follow(site, production, lambda: _objects(site) == PLAIN)


@pytest.mark.long
def test_a_service_that_is_stopped_leaves_no_object_of_other_settings(site: Site) -> None:
    production = _serve(site)
    site.cluster.kserve.broken.add(f"{FOUR}-isvc")
    site.configure(KSERVE + GATEWAY, replicas=1)
    site.target.apply(production, site.decision)
    assert {("Deployment", FOUR), ("InferenceService", f"{FOUR}-isvc"), ("Service", "sample")} <= _objects(site)
    site.target.stop()
    eventually(lambda: _objects(site) == {("HTTPRoute", "sample")}, "nothing else is left")
    site.cluster.kserve.broken.clear()
