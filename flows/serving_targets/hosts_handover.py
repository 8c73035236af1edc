"""When a model that was moved to other hosts ends where it ran before, on a host or on this machine."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from flows.serving_targets.host_connection import HostConnection
from flows.serving_targets.host_protocol import ModelObservation
from flows.serving_targets.local_target import LocalServingTarget
from flows.serving_targets.model_observation import is_whole

HANDOVER_SECONDS = 5.0  # for a balancer to find a model on a new host, before it ends on the one that it was moved from
_moved_since: dict[tuple[str, str], float] = {}  # by project and model: since when it serves on all its new hosts


def has_moved(
    local: LocalServingTarget, hosts: Collection[HostConnection], present: Mapping[HostConnection, ModelObservation]
) -> bool:
    """Whether the model has served for a while everywhere where it is to, and serves on other hosts still.

    Args:
        hosts: that are to serve the model.
        present: the hosts that answer, and serve it or are to.

    The while is for a balancer, which has to find the new hosts before it loses the ones of before.
    """
    key = (str(local.project.root), local.name)
    placed = [one for host, one in present.items() if host in hosts]
    if len(placed) == len(present) or not placed or not all(map(is_whole, placed)):
        _moved_since.pop(key, None)
        return False
    return time.monotonic() - _moved_since.setdefault(key, time.monotonic()) >= HANDOVER_SECONDS


def is_left_here(local: LocalServingTarget, present: Mapping[HostConnection, ModelObservation]) -> bool:
    """Whether this machine runs a service that it ran before hosts were named, and theirs run."""
    running = bool(present) and all(one.state == "running" and one.status is not None for one in present.values())
    return running and local.url is not None and not any(host.is_own_folder for host in present)
