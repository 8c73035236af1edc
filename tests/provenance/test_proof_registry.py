"""The links that the registry holds, on a real training: each word and byte changed there is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components.provenance import chain, target
from components.registry import versions
from components.registry.api import Api
from components.registry.versions import Version
from tests.house import House

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(house: House) -> Iterator[Api]:
    with house.api() as api:
        yield api


@pytest.fixture(scope="module")
def demo(house: House) -> dict[str, Any]:
    """digits, trained, champion and served."""
    facts: dict[str, Any] = house.json("demo", timeout=600)
    return facts


@pytest.fixture
def version(api: Api, demo: dict[str, Any]) -> Version:
    found = versions.by_alias(api, "digits", "champion")
    assert found is not None
    return found


def broken(house: House, api: Api, version: Version) -> set[str]:
    named = f"digits:{version.version}"
    (pieces,) = target.artifacts(house.project, named, api)
    return {link.name for link in chain.prove(house.project, named, pieces, api).links if link.state == "broken"}


@contextmanager
def tagged(api: Api, version: Version, key: str, value: str) -> Iterator[None]:
    """Another value of a version's tag, for a while."""
    where = {"name": version.name, "version": version.version, "key": key}
    api.post("model-versions/set-tag", {**where, "value": value})
    try:
        yield
    finally:
        api.post("model-versions/set-tag", {**where, "value": version.tags[key]})


@contextmanager
def run_tagged(api: Api, version: Version, key: str, value: str) -> Iterator[None]:
    """Another value of a run's tag, for a while."""
    tags = api.get("runs/get", run_id=version.run_id)["run"]["data"]["tags"]
    before = next(tag["value"] for tag in tags if tag["key"] == key)
    api.post("runs/set-tag", {"run_id": version.run_id, "key": key, "value": value})
    try:
        yield
    finally:
        api.post("runs/set-tag", {"run_id": version.run_id, "key": key, "value": before})


@contextmanager
def flipped(api: Api, uri: str, name: str) -> Iterator[None]:
    """A stored file with one byte changed, for a while."""
    before = api.download(uri, name)
    middle = len(before) // 2
    api.upload(uri, name, before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    try:
        yield
    finally:
        api.upload(uri, name, before)


def test_every_link_of_a_served_version_holds(house: House, demo: dict[str, Any], version: Version) -> None:
    for named in ("digits@champion", demo["service"]):
        said = json.loads(house.run("verify", named, "--json").stdout)
        (found,) = said["chains"]
        assert {link["name"]: link["state"] for link in found["links"]} == {
            **({"service": "ok"} if named == demo["service"] else {}),
            **dict.fromkeys(("bundle", "package", "version", "artifacts", "run", "data", "dvc"), "ok"),
            **dict.fromkeys(("report", "commit", "lock"), "ok"),
            "signature": "absent",
        }
        assert found["subject"].startswith(f"digits version {version.version}, ")


def test_what_is_changed_in_the_registry_is_named_with_its_link(house: House, api: Api, version: Version) -> None:
    run = api.get("runs/get", run_id=version.run_id)["run"]["info"]["artifact_uri"]
    changes = [
        ("version", tagged(api, version, "modelyard.data_digest", "0" * 64)),
        ("commit", tagged(api, version, "modelyard.git_commit", "0" * 40)),
        ("lock", tagged(api, version, "modelyard.lock_digest", "0" * 64)),
        ("run", run_tagged(api, version, "modelyard.train_key", "0" * 64)),
        ("lock", run_tagged(api, version, "modelyard.lock_digest", "0" * 64)),
        ("artifacts", flipped(api, version.source, "artifacts/package/model.onnx")),
        ("report", flipped(api, run, "data/validated/verdict.json")),
        ("report", flipped(api, run, "data/prepared/manifest.json")),
    ]
    for link, change in changes:
        with change:
            assert broken(house, api, version) == {link}, link
    assert broken(house, api, version) == set()
