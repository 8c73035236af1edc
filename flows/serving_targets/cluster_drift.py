"""What somebody has changed of an object that Modelyard wrote, as far as it is Modelyard's to put back.

Only what Modelyard sets is compared: the API server fills in defaults, and admission webhooks add containers, labels.
Maps that choose pods are compared as a whole, as one more label in a selector chooses no pod. What is put back is put
back at once, then with a growing pause, for a program that changes it again and again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from components.deployment import release_objects as objects
from flows.serving_targets.cluster_api import Document

LONGEST_PAUSE_SECONDS = 60.0
LONGEST_TRAFFIC_PAUSE_SECONDS = 5.0  # of what directs the requests
FORGET_SECONDS = 600.0
ITEM_KEYS = ("mountPath", "name")  # by which items of a list are told apart
PARTS = ("strategy", "template")  # of a Deployment
NOT_OF_PODS = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")  # of an InferenceService's predictor
EVERY_PATH = [{"path": {"type": "PathPrefix", "value": "/"}}]  # the API server's default
_mended: dict[tuple[str, str, str], tuple[int, float]] = {}  # by place, kind and name: how often, and when last


def holds(written: Any, present: Any) -> bool:
    """Whether all that was written is still there, whatever was added."""
    if isinstance(written, Mapping):
        return isinstance(present, Mapping) and all(holds(one, present.get(name)) for name, one in written.items())
    if isinstance(written, list):
        if not isinstance(present, list):
            return not written and present is None
        key = _item_key(written)
        if key is None:
            return len(written) == len(present) and all(map(holds, written, present))
        return all(any(one[key] == other.get(key) and holds(one, other) for other in present) for one in written)
    return bool(written == present)


def kept(written: Any, present: Any) -> Any:
    """What is there by now of what was written: another quantity of the same meaning, what a webhook made of it."""
    if isinstance(written, Mapping) and isinstance(present, Mapping):
        return {name: kept(one, present[name]) for name, one in written.items() if name in present}
    if isinstance(written, list) and isinstance(present, list):
        key = _item_key(written)
        if key is None:
            return list(map(kept, written, present)) if len(written) == len(present) else present
        return [kept(one, other) for one in written for other in present if one[key] == other.get(key)]
    return present


def _item_key(items: list[Any]) -> str | None:
    return next(
        (key for key in ITEM_KEYS if items and all(isinstance(one, Mapping) and key in one for one in items)), None
    )


def exactly(wanted: Mapping[str, Any], present: Mapping[str, Any] | None) -> dict[str, Any]:
    """A merge patch that leaves of a map no more than what is wanted."""
    had = present or {}
    inner = {name: exactly(one, had.get(name)) if isinstance(one, Mapping) else one for name, one in wanted.items()}
    return {**dict.fromkeys(had), **inner}


def has_exactly(wanted: Mapping[str, Any], present: Mapping[str, Any] | None) -> bool:
    """Whether a map has what is wanted and nothing else; what the API server fills in as empty is nothing."""
    return {name: one for name, one in (present or {}).items() if one not in (None, [], {})} == wanted


def pods_written(kind: str, spec: Document) -> Document:
    """The part of a Deployment or an InferenceService that says what its pods are."""
    if kind == "Deployment":
        return {part: spec[part] for part in PARTS if part in spec}
    return {"predictor": {name: one for name, one in spec["predictor"].items() if name not in NOT_OF_PODS}}


def said_of_pods(annotations: Mapping[str, str]) -> Document | None:
    """What was written of the pods, as it was noted; None: an earlier Modelyard did not, or somebody removed it."""
    try:
        found = json.loads(annotations[objects.WRITTEN])
    except (KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def has_same_pods(written: Document, spec: Document) -> bool:
    """Whether the pods are as they were written; another command is another program."""
    own = {one["name"]: one for one in containers(written)}
    present = [(one, own[one["name"]]) for one in containers(spec) if one["name"] in own]
    has_command = any(one.get(name) and name not in ours for one, ours in present for name in ("command", "args"))
    return holds(written, spec) and not has_command


def containers(spec: Document) -> list[Document]:
    """The containers of a Deployment's pods, or of an InferenceService's."""
    pod = spec.get("predictor") or (spec.get("template") or {}).get("spec") or {}
    return list(pod.get("containers") or [])


def of_traffic(wanted: Document, present: Document) -> str | None:
    """What of the object that directs the requests is not as it was written; None: nothing."""
    spec, due = present["spec"], wanted["spec"]
    if present["kind"] == "Service":
        if (spec.get("selector") or {}) != due["selector"]:
            return f"its selector was {json.dumps(spec.get('selector') or {})}"
        return None if holds(due["ports"], spec.get("ports")) else f"its ports were {json.dumps(spec.get('ports'))}"
    rules = spec.get("rules") or []
    is_same = len(rules) == 1 and holds(due, spec) and _directs_alike(due["rules"][0], rules[0])
    return None if is_same else f"its spec was {json.dumps(spec)}"[:400]


def _directs_alike(due: Document, rule: Document) -> bool:
    """Whether a rule of a route has no filter and no condition beside what was written."""
    is_open = rule.get("matches") in (None, [], EVERY_PATH)
    own, backends = due.get("filters") or [], rule.get("backendRefs") or []
    has_own_filters = len(rule.get("filters") or []) == len(own) and not any(one.get("filters") for one in backends)
    return is_open and has_own_filters and len(backends) == len(due["backendRefs"])


def note_mended(place: str, kind: str, name: str) -> None:
    """Remember that an object was put back now."""
    times, last = _mended.get((place, kind, name), (0, 0.0))
    now = time.monotonic()
    _mended[place, kind, name] = (times + 1 if now - last < FORGET_SECONDS else 1, now)


def is_due(place: str, kind: str, name: str, most_seconds: float = LONGEST_PAUSE_SECONDS) -> bool:
    """Whether an object is to be put back now; not while it was just put back, and was changed once more."""
    times, last = _mended.get((place, kind, name), (0, 0.0))
    return times == 0 or time.monotonic() - last >= min(most_seconds, 2.0 ** (times - 1))
