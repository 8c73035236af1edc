"""What goes from a cluster after a switch: versions that production does not name, versions in their former form."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from components.contracts.kubernetes_settings import KubernetesSettings
from components.core.log import Log
from flows.serving_targets.cluster_objects import ClusterObjects
from flows.serving_targets.cluster_observation import ClusterObservation, DeploymentObservation
from flows.serving_targets.cluster_traffic import TrafficState

POLL_SECONDS = 0.25
LOADED_SECONDS = 300.0  # after a switch, until the autoscaler has observed the load for its whole window
ENDPOINT_SECONDS = 10.0  # after a switch, until the slices of the Service follow; then pods drain anyway
_told: dict[tuple[str, str], str] = {}  # by place and name of an object: the failure that was said last


def is_settled(traffic: TrafficState) -> bool:
    """Whether the autoscaler of what was switched to has had its time."""
    return traffic.applied is not None and time.time() - traffic.applied > LOADED_SECONDS


def former(observed: ClusterObservation, form: str) -> list[DeploymentObservation]:
    """The versions in another form than the settings ask for, beside the same in this form with all its pods ready."""
    return [one for one in observed.beside.values() if one.form != form]


@dataclass(frozen=True)
class ClusterRemoval:
    """Removes what is not wanted of one model.

    Args:
        observe: what the cluster holds of the model.
    """

    settings: KubernetesSettings
    objects: ClusterObjects
    observe: Callable[[], ClusterObservation]
    log: Log

    def clean_up(self, wanted: set[str], decision: int, before: TrafficState) -> ClusterObservation:
        """Remove Deployments that this decision does not name, unless a later one does; returns what was observed.

        The autoscaler owns the size of the others: of one that was just switched to, once that has its load.
        """
        observed = self.followed(wanted)
        for deployment in (*observed.deployments.values(), *observed.beside.values()):
            if deployment.key not in wanted and deployment.decision <= decision:
                self.objects.remove(deployment)
        for deployment in observed.deployments.values():
            is_loaded = deployment.key == observed.traffic.champion and not (
                before.champion == deployment.key and is_settled(before)
            )
            if deployment.key in wanted and not is_loaded and deployment.key not in observed.beside:
                self.objects.release_size(deployment)
        for deployment in former(observed, self.settings.form):
            if deployment.key in wanted:
                self._replace(deployment, observed.deployments[deployment.key])
        return observed

    def _replace(self, former: DeploymentObservation, present: DeploymentObservation) -> None:
        """Remove a version in its former form once it has as many pods in the present one."""
        due = min(former.replicas, self.settings.max_replicas or present.replicas)
        if present.replicas < due:
            self.objects.grow(present, due)
            return
        if self.objects.remove_form(former):
            name = former.document["metadata"]["name"]
            self.log(
                f"{self.objects.model}: {former.kind} {name} was removed from the cluster: its version has all "
                f'pods as {present.kind}, as [kubernetes] form = "{self.settings.form}" asks for'
            )

    def tell_failures(self, observed: ClusterObservation) -> None:
        """Say why a version that is to serve in the present form does not, once."""
        for deployment in observed.beside.values():
            name = (self.objects.api.place, str(deployment.document["metadata"]["name"]))
            if deployment.form == self.settings.form and deployment.failure and _told.get(name) != deployment.failure:
                _told[name] = deployment.failure
                self.log(
                    f"{self.objects.model}: {deployment.kind} {name[1]} does not become ready, so its version is "
                    f"served in the form of before: {deployment.failure}"
                )

    def followed(self, wanted: Collection[str]) -> ClusterObservation:
        """Wait until no request goes to the pods of a Deployment that is to be removed, or time is up."""
        deadline = time.monotonic() + ENDPOINT_SECONDS
        while True:
            observed = self.observe()
            going = {observed.keys.get(pod) for pod in observed.endpoints} - {*wanted}
            if not going & set(observed.deployments) or time.monotonic() > deadline:
                return observed
            time.sleep(POLL_SECONDS)
