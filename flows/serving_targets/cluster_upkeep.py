"""Keep the objects of a bundle as they were written: a Deployment or an InferenceService, and what is beside it.

What its pods are is noted on the object with the decision, as the cluster has taken it: `modelyard.written`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.errors import ServingError
from components.core.log import Log
from components.deployment import release_kserve
from components.deployment import release_objects as objects
from components.release.production import Pin
from flows.serving_targets import cluster_drift
from flows.serving_targets.cluster_api import ClusterApi, ConflictError, Document
from flows.serving_targets.cluster_observation import ClusterObservation, decision_of
from flows.serving_targets.cluster_traffic import key_of

Name = tuple[str, str]  # kind and name


@dataclass(frozen=True)
class ClusterUpkeep:
    """The objects of one model, but the one that directs the requests.

    Args:
        written: the object of a pinned bundle in a form, as it would be made now; None: it cannot be made here.
        log: takes a line on what was put back.
    """

    api: ClusterApi
    settings: KubernetesSettings
    model: str
    written: Callable[[Pin, str], Document | None]
    log: Log

    def stamped(self, pin: Pin, service: Document | None, decision: int, *, needed: bool) -> set[str]:
        """Note on the present objects of a bundle that this decision wants them, and put back what was changed.

        Args:
            service: the InferenceService; None: there is none.
            needed: without the bundle nothing can be served.

        Returns:
            The forms that are there.

        Raises:
            ServingError: it is needed, and its name is another's.
        """
        key, forms = key_of(pin), set()
        name = objects.name_of(self.model, key)
        deployment = self.api.get("Deployment", name)
        if deployment is not None and self._is_own(deployment, key, needed=needed):
            is_there = self._put_back(deployment, deployment, pin, decision)
            self._put_back_companions(self._companions(deployment, key))
            forms |= {"deployment"} if is_there else set()
        if service is not None and self._is_own(service, key, needed=needed):
            self._put_back_companions(release_kserve.companions(self.model, key, self.settings, decision))
            budget = self.api.get("PodDisruptionBudget", name)
            if budget is not None and self._put_back(service, budget, pin, decision):
                forms.add("kserve")
        return forms

    def _is_own(self, document: Document, key: str, *, needed: bool) -> bool:
        """Whether an object of the name of a bundle's is Modelyard's, whatever became of its labels.

        Raises:
            ServingError: it is not, and without it nothing can be served.
        """
        if document["kind"] == "Deployment":
            chosen = document["spec"]["selector"].get("matchLabels") or {}
            is_own = chosen == objects.selector(self.model, key)
        else:
            said = (document["metadata"].get("annotations") or {}).get(objects.BUNDLE_LABEL)
            is_own = said == f"{self.model}:{key}" or not self._missing_labels(document, key)
        if not is_own and needed:
            name = f"{document['kind']} {document['metadata']['name']}"
            raise ServingError(
                f"the {name} was not made by Modelyard, and has the name of the one that is to be made",
                where=self.api.place,
                expected=f"pods with the labels {json.dumps(objects.selector(self.model, key))}",
                next_step=f"`kubectl delete {name.lower().replace(' ', '/')}`, or name another namespace",
            )
        return is_own

    def is_changed(self, observed: ClusterObservation, pins: Iterable[Pin]) -> bool:
        """Whether somebody has changed what was written of the objects of pinned bundles, and it is to be put back."""
        for pin in pins:
            one = observed.deployments.get(key_of(pin))
            if one is None:
                continue
            document = {**one.document, "kind": one.kind}  # items of a list do not say their kind
            made = {**one.deployment, "kind": "Deployment"} if one.deployment is not None else None
            budget = {**one.stamp, "kind": "PodDisruptionBudget"} if one.stamp is not None else None
            changes, why = self._changes(document, document if one.kind == "Deployment" else budget, made, pin)
            if changes and (not why or cluster_drift.is_due(self.api.place, *_name_of(document))):
                return True
            if any(map(self._is_companion_due, self._companions(document, key_of(pin)).values())):
                return True
        return False

    def _put_back(self, document: Document, stamp: Document, pin: Pin, decision: int) -> bool:
        """Make an object what it was written as, and note on its stamp that a decision wants it; False: it is gone.

        Args:
            stamp: the object with the decision: a Deployment itself.
        """
        made = None
        if document["kind"] == "InferenceService":
            made = self.api.get("Deployment", f"{document['metadata']['name']}{release_kserve.PREDICTOR}")
        changes, why = self._changes(document, stamp, made, pin)
        if decision_of(stamp) < decision:
            own = changes.setdefault(_name_of(stamp), {"metadata": {}})
            own["metadata"].setdefault("annotations", {})[objects.DECISION] = str(decision)
        for (kind, name), change in changes.items():
            found = self.api.patch(kind, name, change)
            if found is None and (kind, name) in (_name_of(document), _name_of(stamp)):
                return False
            if (
                found is not None
                and (kind, name) == _name_of(document)
                and {"template", "predictor"} & _spec_of(change)
            ):
                self._note_pods(stamp, pods=change["spec"], found=found)
        if why:
            cluster_drift.note_mended(self.api.place, *_name_of(document))
            self.log(f"{self.model}: {' '.join(_name_of(document))} was put back in the cluster: {', '.join(why)}")
        return True

    def _changes(
        self, document: Document, stamp: Document | None, made: Document | None, pin: Pin
    ) -> tuple[dict[Name, Document], list[str]]:
        """Merge patches by kind and name that make an object what it was written as, and in words what they put back.

        Args:
            made: the Deployment that KServe has made of an InferenceService.
        """
        own, changes, why = _name_of(document), dict[Name, Document](), list[str]()
        change: Document = {"metadata": {}, "spec": {}}
        if missing := self._missing_labels(document, key_of(pin)):
            change["metadata"]["labels"] = missing
            why.append(f"it had lost its labels {', '.join(missing)}")
        least, replicas = self._least_replicas(document), _replicas(document)
        if replicas < least:
            change["spec"] |= _replicas_change(document, least)
            why.append(f"it was to have {replicas} pods instead of {least}")
        if made is not None and made["spec"].get("replicas", 1) == 0:  # its autoscaler leaves it alone then
            changes[_name_of(made)] = {"spec": {"replicas": least}}
            why.append(f"it was to have 0 pods instead of {least}")
        pods, note = self._pods_change(document, stamp, pin)
        if pods:
            change["spec"] |= _merged_predictor(pods, change["spec"])
            why.append("its pods were to be others than were written")
        if any(change.values()):
            changes[own] = change
        if note is not None and stamp is not None:
            noted = changes.setdefault(_name_of(stamp), {"metadata": {}})
            noted["metadata"].setdefault("annotations", {})[objects.WRITTEN] = note
        return changes, why

    def _pods_change(self, document: Document, stamp: Document | None, pin: Pin) -> tuple[Document, str | None]:
        """What is to be written of an object's pods, and what is to be noted of them.

        Where nothing is noted, an earlier Modelyard has made the object: with the right image, it is as it should be.
        """
        written = cluster_drift.said_of_pods((stamp or document)["metadata"].get("annotations") or {})
        if written is not None:
            return ({}, None) if cluster_drift.has_same_pods(written, document["spec"]) else (_whole(written), None)
        due = self.written(pin, "deployment" if document["kind"] == "Deployment" else "kserve") if stamp else None
        if due is None:
            return {}, None
        fresh = cluster_drift.pods_written(document["kind"], due["spec"])
        images = {one["image"].rpartition("@")[2] for one in cluster_drift.containers(fresh)}
        present = {str(one.get("image")).rpartition("@")[2] for one in cluster_drift.containers(document["spec"])}
        if images <= present:
            return {}, json.dumps(cluster_drift.kept(fresh, document["spec"]))
        return _whole(fresh), json.dumps(fresh)

    def _note_pods(self, stamp: Document, *, pods: Document, found: Document) -> None:
        """Note what the cluster has made of pods that were written: it may write a quantity otherwise."""
        written = cluster_drift.pods_written(found["kind"], pods)
        if cluster_drift.said_of_pods(stamp["metadata"].get("annotations") or {}) is None or not cluster_drift.holds(
            written, found["spec"]
        ):
            note = json.dumps(cluster_drift.kept(written, found["spec"]))
            self.api.patch(*_name_of(stamp), {"metadata": {"annotations": {objects.WRITTEN: note}}})

    def _least_replicas(self, document: Document) -> int:
        """How many pods there are to be at least: the autoscaler's number, where there is one."""
        name = document["metadata"]["name"]
        if document["kind"] == "Deployment" and self.settings.max_replicas is not None:
            if _replicas(document) >= self.settings.replicas:
                return self.settings.replicas
            found = self.api.get("HorizontalPodAutoscaler", name)
            return int(found["spec"].get("minReplicas", 1)) if found is not None else self.settings.replicas
        return self.settings.replicas

    def _missing_labels(self, document: Document, key: str) -> dict[str, str]:
        """The labels by which an object is found that it has not."""
        present = document["metadata"].get("labels") or {}
        own = objects.own_labels(self.model, key)
        return {name: value for name, value in own.items() if present.get(name) != value}

    def _companions(self, document: Document, key: str) -> dict[str, Document]:
        """What is to stand beside a bundle's object."""
        if document["kind"] == "InferenceService":
            return release_kserve.companions(self.model, key, self.settings, 0)
        labels = {**(document["metadata"].get("labels") or {}), **objects.own_labels(self.model, key)}
        match = {"matchLabels": objects.selector(self.model, key)}
        about = {"name": objects.name_of(self.model, key), "labels": labels}
        return objects.companions({"metadata": about, "spec": {"selector": match}}, self.settings)

    def _is_companion_due(self, wanted: Document) -> bool:
        kind, name = _name_of(wanted)
        present = self.api.get(kind, name)
        if (
            present is None and kind == "HorizontalPodAutoscaler"
        ):  # settings may ask for one since: the next step makes it
            return False
        is_changed = present is None or bool(self._companion_change(wanted, present))
        return is_changed and cluster_drift.is_due(self.api.place, kind, name)

    def _companion_change(self, wanted: Document, present: Document) -> Document:
        """A merge patch that has a companion choose what it is to choose; {}: it does, or it is another's."""
        labels, own = present["metadata"].get("labels") or {}, wanted["metadata"]["labels"]
        ours = {name: own[name] for name in (objects.MODEL_LABEL, objects.MANAGED_LABEL, objects.BUNDLE_LABEL)}
        if not ours.items() <= {objects.BUNDLE_LABEL: ours[objects.BUNDLE_LABEL], **labels}.items():
            return {}
        change, spec, due = dict[str, Any](), present["spec"], wanted["spec"]
        for part in ("selector", "scaleTargetRef"):
            if part in due and not cluster_drift.has_exactly(due[part], spec.get(part)):
                change[part] = cluster_drift.exactly(due[part], spec.get(part))
        if "ports" in due and not cluster_drift.holds(due["ports"], spec.get("ports")):
            change["ports"] = due["ports"]
        return {"spec": change} if change else {}

    def _put_back_companions(self, wanted: Mapping[str, Document]) -> None:
        """Make the companions that are not there, and put back what was changed of the others."""
        for document in wanted.values():
            kind, name = _name_of(document)
            present = self.api.get(kind, name)
            change = self._companion_change(document, present) if present is not None else {}
            if present is None:
                with suppress(ConflictError):
                    self.api.create(document)
            elif change and self.api.patch(kind, name, change) is not None:
                self.log(f"{self.model}: {kind} {name} was put back in the cluster: what it chooses was changed")
            if present is None or change:
                cluster_drift.note_mended(self.api.place, kind, name)


def _name_of(document: Document) -> Name:
    return str(document["kind"]), str(document["metadata"]["name"])


def _replicas(document: Document) -> int:
    """How many pods an object says there are to be, or to be at least."""
    spec = document["spec"]
    return int(spec.get("replicas", 1) if document["kind"] == "Deployment" else spec["predictor"].get("minReplicas", 1))


def _replicas_change(document: Document, replicas: int) -> Document:
    if document["kind"] == "Deployment":
        return {"replicas": replicas}
    return {"predictor": {"minReplicas": replicas}}


def _whole(written: Document) -> Document:
    """A merge patch of an object's spec that has its pods be what was written; a Deployment goes on rolling."""
    return {**written, **({"paused": None} if "template" in written else {})}


def _merged_predictor(pods: Document, change: Document) -> Document:
    """Pods beside a change of the least number of the same predictor."""
    if "predictor" not in pods:
        return pods
    return {"predictor": {**change.get("predictor", {}), **pods["predictor"]}}


def _spec_of(change: Document) -> set[str]:
    return set(change.get("spec") or {})
