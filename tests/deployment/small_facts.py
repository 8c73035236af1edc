"""The facts of a bundle that a target is written from."""

from __future__ import annotations

from components.deployment.service_facts import MEBIBYTE, ServiceFacts, ServiceMeasurement

MEASUREMENT = ServiceMeasurement(
    cores=2,
    start_seconds=6.5,
    idle_bytes=300 * MEBIBYTE,
    peak_bytes=380 * MEBIBYTE,
    connections=8,
    busy_cores=1.43,
    processor_ms=1.5,
    requests_per_second=950.0,
    p50_ms=7.9,
    p99_ms=15.2,
)


def facts(measurement: ServiceMeasurement | None = MEASUREMENT, *, asks_for_keys: bool = True) -> ServiceFacts:
    """A bundle of an image classifier."""
    return ServiceFacts(
        model="digits",
        version="3",
        task="image-classification",
        bundle_key="ab" * 32,
        bundle_digest="12" * 32,
        package_digest="34" * 32,
        data_digest="56" * 32,
        workers=2,
        max_request_bytes=16_000_000,
        package_bytes=500_000,
        asks_for_keys=asks_for_keys,
        speaks_open_inference=asks_for_keys,
        measurement=measurement,
    )
