"""What an alias of the registry stands for is part of a key, and the package it stood for is what training gets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity.package import Package
from components.registry import registration, tracking, versions
from components.registry.api import Api
from components.registry.registration import Registration
from flows.pipelines import fingerprints, pretrained
from tests import small_package
from tests.house import House

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def api(house: House) -> Iterator[Api]:
    with house.api() as api:
        yield api


def starting_from(alias: str) -> PipelineSpec:
    wanted = {"model.pretrained": f"registry:begun@{alias}"}
    return located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, wanted)


def registered(api: Api, folder: Path, seed: int) -> tuple[Package, str]:
    package = small_package.build(folder / "package", pipeline="begun", train_fingerprint=str(seed) * 64, seed=seed)
    run = tracking.ensure(api, "begun", package.facts.train_fingerprint, {})
    asked = Registration("begun", f"{seed + 2}" * 64, package, "numpy\n", ROOT, {})
    return package, registration.register(api, run, asked, folder).version


def test_it_is_what_the_alias_stood_for(api: Api, tmp_path: Path) -> None:
    (one, first), (two, second) = (registered(api, tmp_path / str(seed), seed) for seed in (1, 2))
    project, spec = Project(tmp_path / "project"), starting_from("champion")
    versions.set_alias(api, "begun", "champion", first)
    assert pretrained.digest(api, spec) == one.digest
    key = fingerprints.training(spec, "d" * 64, ROOT, one.digest)
    versions.set_alias(api, "begun", "champion", second)  # meanwhile
    assert pretrained.digest(api, spec) == two.digest
    assert fingerprints.training(spec, "d" * 64, ROOT, two.digest).changes(key.inputs) == [
        f"pretrained {one.digest[:12]} -> {two.digest[:12]}"
    ]
    found = pretrained.package(api, project, spec, key)
    assert found is not None
    assert found.digest == one.digest
    shutil.rmtree(found.folder)
    version = versions.by_number(api, "begun", first)
    api.upload(version.source, "artifacts/package/model.onnx", b"other weights")
    with pytest.raises(CorruptArtifactError):
        pretrained.package(api, project, spec, key)


def test_what_is_not_there_is_said(api: Api) -> None:
    with pytest.raises(NotFoundError, match="the registry has no package"):
        pretrained.digest(api, starting_from("nobody"))
    plain = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec)
    assert pretrained.digest(api, plain) is None
    assert pretrained.package(api, Project(ROOT), plain, fingerprints.training(plain, "d" * 64, ROOT)) is None
