"""Which pods get the requests of a Service, by its EndpointSlices; what is served while they lag."""

from __future__ import annotations

from typing import Any

import pytest

from flows.serving_targets.cluster_endpoints import answering
from flows.serving_targets.cluster_observation import ClusterObservation
from flows.serving_targets.cluster_traffic import TrafficState

NEW, OLD = "sample-new-a", "sample-old-a"


def endpoint(pod: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": pod}}


@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        ([endpoint(NEW, ready=True, serving=True, terminating=False)], {NEW}),
        ([endpoint(NEW)], {NEW}),  # no condition: ready, as the API defines it
        ([endpoint(NEW, ready=None)], {NEW}),
        ([endpoint(NEW, ready=False, serving=False, terminating=False)], set()),
        ([endpoint(NEW, ready=True), endpoint(OLD, ready=False, serving=True, terminating=True)], {NEW}),
        ([endpoint(OLD, ready=False, serving=True, terminating=True)], {OLD}),  # kube-proxy's fallback
        ([endpoint(OLD, ready=False, serving=False, terminating=True)], set()),
        ([{"addresses": ["10.0.0.1"]}], set()),  # no pod
        ([], set()),
        (None, set()),
    ],
)
def test_ready_pods_answer_else_those_that_end_and_serve(endpoints: Any, found: set[str]) -> None:
    assert answering([{"endpoints": endpoints}]) == found
    assert answering([{"endpoints": None}, {"endpoints": endpoints}]) == found


@pytest.mark.parametrize(
    ("endpoints", "pending"),
    [
        ({NEW}, None),
        ({OLD}, f"still hold {OLD}"),
        ({NEW, OLD}, f"still hold {OLD}"),
        ({NEW, "gone-b"}, "still hold gone-b"),  # a pod that is gone gets requests, and answers none
        (set(), "hold no pod"),
    ],
)
def test_a_version_is_not_served_while_the_slices_hold_another(endpoints: set[str], pending: str | None) -> None:
    keys = {NEW: "new", OLD: "old"}
    observed = ClusterObservation(TrafficState(champion="new"), {}, frozenset(endpoints), keys)
    assert (observed.pending is None) if pending is None else (pending in str(observed.pending))
    assert observed.is_answering("new", NEW) == (pending is not None or NEW in endpoints)
    assert observed.is_answering("old", OLD)


def test_a_ready_pod_that_gets_no_request_yet_counts_as_missing() -> None:
    keys = {NEW: "new", "sample-new-b": "new"}
    observed = ClusterObservation(TrafficState(champion="new"), {}, frozenset({NEW}), keys)
    assert observed.pending is None
    assert not observed.is_answering("new", "sample-new-b")


def test_a_route_is_followed_once_its_gateway_says_so() -> None:
    def pending(generation: int, accepted: str, resolved: str = "True") -> str | None:
        about = {"observedGeneration": generation, "message": "no such Service"}
        conditions = [
            {"type": "Accepted", "status": accepted, "reason": "Accepted", **about},
            {"type": "ResolvedRefs", "status": resolved, "reason": "BackendNotFound", **about},
        ]
        route = {
            "kind": "HTTPRoute",
            "metadata": {
                "name": "sample",
                "resourceVersion": "7",
                "generation": 3,
                "annotations": {
                    "modelyard.decision": "1",
                    "modelyard.production": "{}",
                    "modelyard.applied": "1.0",
                },
            },
            "spec": {"rules": [{"backendRefs": [{"name": "sample-new", "port": 80}]}]},
            "status": {"parents": [{"conditions": conditions}]},
        }
        return TrafficState.of(route).pending

    assert pending(3, "True") is None
    assert "not taken over" in str(pending(2, "True"))
    assert "BackendNotFound: no such Service" in str(pending(3, "True", "False"))
    assert "the Gateway says Accepted" in str(pending(3, "False"))
