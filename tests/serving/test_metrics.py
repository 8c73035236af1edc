"""The text of `/metrics` without the versions that have gone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest

from serving import metrics


def test_only_series_of_ours_about_other_versions_are_left_out() -> None:
    registry = CollectorRegistry()
    ours = Counter("modelyard_predictions", "ours", ["model", "version", "role", "label"], registry=registry)
    theirs = Counter("bentoml_requests", "theirs", ["version"], registry=registry)
    for version in ("1", "2", "12"):
        theirs.labels(version).inc()
        for label in ("dark", 'a"quote', 'version="2"', '",version="2', "back\\slash", ""):
            ours.labels("sample", version, "champion", label).inc()
    ours.labels("sample", "", "", "refused").inc()
    text = generate_latest(registry).decode()
    kept = metrics.of_versions(text, {"2"}).splitlines()
    samples = [line for line in text.splitlines() if line.startswith("modelyard_predictions_total{")]
    gone = [line for line in samples if line not in kept]
    assert len(samples) == 19
    assert len(gone) == 12
    assert all('role="champion",version="1' in line for line in gone)
    assert [line for line in text.splitlines() if line not in kept and line.startswith(("#", "bentoml"))] == []
