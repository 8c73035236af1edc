"""What somebody else has changed of a model's objects in a cluster is put back, and nothing else is touched."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed: pip install kubernetes")

from components.core.errors import ServingError
from components.deployment import release_objects as objects
from components.release.production import Production
from flows.serving_targets import cluster_drift
from tests.serving_targets.cluster_site import Site, clients, served_by_fake, serves
from tests.waiting import eventually

GATEWAY = "gateway = 'infra/web'\nhostname = '{model}.example.com'\n"
FOUR = f"sample-{'4' * 12}"
SELECTOR = {objects.MODEL_LABEL: "sample", objects.BUNDLE_LABEL: "4" * 12}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served_by_fake(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(autouse=True)
def forgotten() -> None:
    cluster_drift._mended.clear()


def _serve(site: Site, more: str = "", replicas: int = 1) -> Production:
    """Have version 4 serve by these settings."""
    site.configure(more, replicas=replicas)
    production = Production(champion=site.pin("4"))
    site.target.apply(production, site.next())
    site.target.start(site.bundles["4"])
    site.target.wait(serves("4"), "serve version 4")
    assert site.target.is_applied(production)
    return production


def _mend(site: Site, production: Production) -> None:
    """Do what the controller does: the change is noticed, and put back by one step that leaves nothing to do."""
    assert not site.target.is_applied(production)
    site.target.apply(production, site.decision)
    assert site.target.is_applied(production)
    site.target.wait(serves("4"), "serve version 4", timeout_seconds=30)
    assert site.predict() == "4"


def _spec(site: Site, kind: str, name: str = FOUR) -> Any:
    return site.cluster.store[kind, name]["spec"]


@pytest.mark.slow
def test_a_label_that_somebody_adds_to_the_selector_is_removed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    production = _serve(site)
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    for change in ({"selector": {"track": "stable"}}, {"selector": {objects.BUNDLE_LABEL: None}}, {"ports": ports}):
        cluster_drift._mended.clear()
        site.target.api.patch("Service", "sample", {"spec": change})
        if "track" in str(change):
            eventually(lambda: site.predict().startswith("HTTP 503"), "nobody is asked")
        _mend(site, production)
        assert _spec(site, "Service", "sample")["selector"] == SELECTOR
    assert 'sample: Service sample was put back in the cluster: its selector was {"' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.long
def test_a_route_that_somebody_changes_is_put_back(site: Site) -> None:
    production = _serve(site, GATEWAY)
    written = copy.deepcopy(_spec(site, "HTTPRoute", "sample"))
    [rule] = written["rules"]
    theirs = {"backendRefs": [{"name": "theirs", "port": 80}]}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "theirs", "port": 80}}}
    for rules in ([theirs, rule], [rule, theirs], [{**rule, "filters": [mirror]}]):
        cluster_drift._mended.clear()
        site.target.api.patch("HTTPRoute", "sample", {"spec": {"rules": rules}})
        _mend(site, production)
        assert _spec(site, "HTTPRoute", "sample") == written
    for kind, change in (
        ("Service", {"selector": {"track": "stable"}}),
        ("PodDisruptionBudget", {"selector": {"matchLabels": {"track": "stable"}}}),
    ):
        before = copy.deepcopy(_spec(site, kind))
        site.target.api.patch(kind, FOUR, {"spec": change})
        _mend(site, production)
        assert _spec(site, kind) == before


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "max_replicas = 3\n"], ids=["alone", "with an autoscaler"])
def test_pods_that_somebody_takes_away_are_put_back(more: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    production = _serve(site, more)
    site.target.api.patch("Deployment", FOUR, {"spec": {"replicas": 0}})
    eventually(lambda: site.predict().startswith("HTTP 503"), "nobody answers")
    _mend(site, production)
    assert "was put back in the cluster: it was to have 0 pods instead of 1" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("label", [objects.BUNDLE_LABEL, objects.MANAGED_LABEL])
def test_a_label_that_somebody_removes_is_put_back(label: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    production = _serve(site)
    before = site.cluster.store["Deployment", FOUR]["metadata"]
    site.target.api.patch("Deployment", FOUR, {"metadata": {"labels": {label: None}}})
    _mend(site, production)
    assert site.cluster.store["Deployment", FOUR]["metadata"]["labels"] == before["labels"]
    assert site.cluster.store["Deployment", FOUR]["metadata"]["uid"] == before["uid"]
    assert f"it had lost its labels {label}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_deployment_of_another_with_the_name_is_an_error_and_stays(site: Site) -> None:
    production = _serve(site)
    theirs = copy.deepcopy(site.cluster.store["Deployment", FOUR])
    theirs["metadata"] |= {"labels": {}, "uid": "theirs"}
    theirs["spec"] |= {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}}
    kept = site.cluster.save(theirs)
    with pytest.raises(ServingError, match="was not made by Modelyard") as refused:
        site.target.apply(production, site.decision)
    assert f"`kubectl delete deployment/{FOUR}`" in str(refused.value.next_step)
    assert site.cluster.store["Deployment", FOUR]["metadata"]["annotations"] == kept["metadata"]["annotations"]
    site.target.api.delete("Deployment", FOUR)


@pytest.mark.slow
def test_an_image_that_somebody_sets_is_put_back_and_no_request_fails(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    production = _serve(site)
    written = copy.deepcopy(_spec(site, "Deployment"))
    assert written["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    other = copy.deepcopy(written["template"]["spec"]["containers"])
    other[0]["image"] = f"registry.example/ml/sample@sha256:{'5' * 64}"
    with clients(site) as answers:
        site.target.api.patch("Deployment", FOUR, {"spec": {"template": {"spec": {"containers": other}}}})
        eventually(lambda: answers["5"] > 0, "version 5 answers")
        assert not site.target.is_applied(production)
        site.target.apply(production, site.decision)
        eventually(lambda: {site.predict() for _ in range(5)} == {"4"}, "version 4 answers")
    assert set(answers) == {"4", "5"}, answers
    assert _spec(site, "Deployment") == written
    assert site.target.is_applied(production)
    assert "its pods were to be others than were written" in capsys.readouterr().out


@pytest.mark.slow
def test_what_an_earlier_modelyard_made_is_noted_and_not_rolled(site: Site) -> None:
    production = _serve(site)
    made = site.cluster.store["Deployment", FOUR]
    for limit, generations in ((None, 0), ("wrong image", 1)):
        before = site.cluster.store["Deployment", FOUR]["metadata"]["generation"]
        change: dict[str, Any] = {"metadata": {"annotations": {objects.WRITTEN: None}}}
        if limit is not None:
            [container] = copy.deepcopy(made["spec"]["template"]["spec"]["containers"])
            change["spec"] = {"template": {"spec": {"containers": [{**container, "image": "theirs@sha256:0"}]}}}
        site.target.api.patch("Deployment", FOUR, change)
        _mend(site, production)
        present = site.cluster.store["Deployment", FOUR]
        assert present["metadata"]["generation"] - before == 2 * generations
        assert json.loads(present["metadata"]["annotations"][objects.WRITTEN])["template"] == made["spec"]["template"]


@pytest.mark.slow
@pytest.mark.long
def test_an_inference_service_is_put_back(site: Site) -> None:
    production = _serve(site, 'form = "kserve"\n')

    def is_turned() -> bool:
        site.target.apply(production, site.decision)
        return ("Deployment", FOUR) not in site.cluster.store

    eventually(is_turned, "the version is an InferenceService alone")
    service, made = f"{FOUR}-isvc", f"{FOUR}-isvc-predictor"
    before = copy.deepcopy(_spec(site, "InferenceService", service))
    [container] = copy.deepcopy(before["predictor"]["containers"])
    container["env"][0]["value"] = "theirs"
    for kind, name, change in (
        ("Deployment", made, {"spec": {"replicas": 0}}),
        ("InferenceService", service, {"spec": {"predictor": {"containers": [container], "minReplicas": 0}}}),
        ("InferenceService", service, {"metadata": {"labels": {objects.BUNDLE_LABEL: None}}}),
    ):
        cluster_drift._mended.clear()
        site.target.api.patch(kind, name, change)
        assert not site.target.is_applied(production)
        site.target.apply(production, site.decision)
        assert site.target.is_applied(production)
        assert _spec(site, "InferenceService", service) == before
        assert _spec(site, "Deployment", made)["replicas"] == 1


def test_only_what_was_written_is_compared() -> None:
    written = {
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "model", "image": "i", "resources": {"requests": {"cpu": "1000m"}}}]},
        }
    }
    present = copy.deepcopy(written)
    pod: Any = present["template"]["spec"]
    pod |= {"containers": [{"name": "sidecar"}, {**pod["containers"][0], "terminationMessagePath": "/dev"}]}
    pod["dnsPolicy"] = "ClusterFirst"
    assert cluster_drift.has_same_pods(written, present)
    pod["containers"][1]["resources"] = {"requests": {"cpu": "1"}}  # as the API server writes it
    assert not cluster_drift.has_same_pods(written, present)
    assert cluster_drift.has_same_pods(cluster_drift.kept(written, present), present)
    pod["containers"][1]["args"] = ["another"]
    assert not cluster_drift.has_same_pods(cluster_drift.kept(written, present), present)


def test_what_is_changed_again_and_again_is_put_back_with_a_growing_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(cluster_drift.time, "monotonic", lambda: now[0])
    pauses = []
    for _ in range(9):
        begun = now[0]
        while not cluster_drift.is_due("here", "Service", "sample"):
            now[0] += 1.0
        pauses.append(now[0] - begun)
        cluster_drift.note_mended("here", "Service", "sample")
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
