"""Prometheus metrics of the service. BentoML sums them over its workers at `/metrics`.

Each worker writes its figures into files, from which Prometheus's library removes no series: of a version that has left
the service, `/metrics` leaves out what the files still hold. If the version comes back, its counters go on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from prometheus_client import Counter, Gauge, Histogram, values

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # a worker, which never forks: no need to ask for its number at each count
    _NUMBER = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: _NUMBER)  # type: ignore[no-untyped-call]

_SLOT_LABELS = ["model", "version", "role"]

PREDICTIONS = Counter(
    "modelyard_predictions", "Samples answered, by label where answers have one", [*_SLOT_LABELS, "label"]
)
REQUESTS = Counter("modelyard_requests", "Responses, by path and HTTP status", ["path", "status"])
REFUSALS = Counter("modelyard_refusals", "Requests refused", [*_SLOT_LABELS, "code"])
FLAGGED = Counter(
    "modelyard_flagged", "Samples that miss an expectation of the training data and were answered", _SLOT_LABELS
)
FAILURES = Counter("modelyard_failures", "Requests that a version failed to answer", [*_SLOT_LABELS, "code"])
COMPARED = Counter("modelyard_compared", "Samples that a challenger in the shadow answered too", ["model", "version"])
AGREED = Counter("modelyard_agreed", "Of those, as the champion answered", ["model", "version"])
DROPPED = Counter("modelyard_shadow_dropped", "Requests that a busy challenger did not get", ["model", "version"])
LOG_DROPPED = Counter("modelyard_log_dropped", "Requests that the prediction log has not, as they came too fast")
SECONDS = Histogram(
    "modelyard_inference_seconds",
    "Decoding and inference of one request",
    _SLOT_LABELS,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
# The most recent value of any worker counts: a worker that ended leaves its files behind.
IN_SLOT = Gauge(
    "modelyard_held", "1 while this package is in this slot", [*_SLOT_LABELS, "package"], multiprocess_mode="mostrecent"
)

_VERSION = re.compile(r'^modelyard_[a-z_]+\{(?:[a-z]+="(?:[^"\\]|\\.)*",)*version="([^"]+)"')


def of_versions(text: str, versions: Collection[str]) -> str:
    """The text of `/metrics` without our series of other versions."""
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if (match := _VERSION.match(line)) is None or match[1] in versions
    )
