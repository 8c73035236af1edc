"""What the service tells Prometheus. BentoML adds up the figures of its workers at `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_WHO = ["model", "version", "role"]

PREDICTIONS = Counter("modelyard_predictions", "Samples answered, by label where answers have one", [*_WHO, "label"])
REFUSALS = Counter("modelyard_refusals", "Requests refused", [*_WHO, "code"])
FAILURES = Counter("modelyard_failures", "Requests that a version failed to answer", [*_WHO, "code"])
COMPARED = Counter("modelyard_compared", "Samples that a challenger in the shadow answered too", ["model", "version"])
AGREED = Counter("modelyard_agreed", "Of those, as the champion answered", ["model", "version"])
DROPPED = Counter("modelyard_shadow_dropped", "Requests that a busy challenger did not get", ["model", "version"])
SECONDS = Histogram(
    "modelyard_inference_seconds",
    "Decoding and inference of one request",
    _WHO,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
# The last word of any worker counts: a worker that ended leaves its figures behind.
HELD = Gauge("modelyard_held", "1: this package is in this slot", [*_WHO, "package"], multiprocess_mode="mostrecent")
