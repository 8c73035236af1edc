"""The pods to which a Service sends requests, as its EndpointSlices name them.

A controller of the cluster rewrites the slices after a selector has changed; proxies follow the slices.
https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.serving_targets.cluster_api import ClusterApi, Document

SERVICE_LABEL = "kubernetes.io/service-name"


def of_service(api: ClusterApi, service: str) -> frozenset[str]:
    """The names of the pods that get the requests to a Service.

    Raises:
        ClusterAbsentError, ServingError: the API server does not answer, or refuses.
    """
    return answering(api.list("EndpointSlice", {SERVICE_LABEL: service}))


def answering(slices: Sequence[Document]) -> frozenset[str]:
    """The names of the pods that get requests: the ready ones, else those that end and still answer.

    kube-proxy chooses in the same way. A condition that is absent counts as true for `ready`, as the API defines it.
    """
    endpoints = [one for found in slices for one in found.get("endpoints") or []]
    ready = [one for one in endpoints if (one.get("conditions") or {}).get("ready") is not False]
    ending = [one for one in endpoints if {"serving", "terminating"} <= _true(one)]
    return frozenset(name for one in ready or ending if (name := (one.get("targetRef") or {}).get("name")))


def _true(endpoint: Document) -> set[str]:
    return {name for name, value in (endpoint.get("conditions") or {}).items() if value is True}
