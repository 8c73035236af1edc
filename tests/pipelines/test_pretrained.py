"""The package behind an alias is part of the train fingerprint, and the training starts from that package."""

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
    overrides = {"model.pretrained": f"registry:begun@{alias}"}
    return located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, overrides)


def registered(api: Api, folder: Path, seed: int) -> tuple[Package, str]:
    package = small_package.build(folder / "package", pipeline="begun", train_fingerprint=str(seed) * 64, seed=seed)
    run = tracking.ensure(api, "begun", package.facts.train_fingerprint, {})
    request = Registration("begun", f"{seed + 2}" * 64, package, "numpy\n", ROOT, {})
    return package, registration.register(api, run, request, folder).version


def test_training_starts_from_the_package_of_its_fingerprint(api: Api, tmp_path: Path) -> None:
    (first_package, first_version), (second_package, second_version) = (
        registered(api, tmp_path / str(seed), seed) for seed in (1, 2)
    )
    project, spec = Project(tmp_path / "project"), starting_from("champion")
    versions.set_alias(api, "begun", "champion", first_version)
    assert pretrained.digest(api, spec) == first_package.digest
    fingerprint = fingerprints.training(spec, "d" * 64, ROOT, first_package.digest)
    versions.set_alias(api, "begun", "champion", second_version)  # meanwhile
    assert pretrained.digest(api, spec) == second_package.digest
    assert fingerprints.training(spec, "d" * 64, ROOT, second_package.digest).changes(fingerprint.inputs) == [
        f"pretrained {first_package.digest[:12]} -> {second_package.digest[:12]}"
    ]
    package = pretrained.package(api, project, spec, fingerprint)
    assert package is not None
    assert package.digest == first_package.digest
    shutil.rmtree(package.folder)
    version = versions.by_number(api, "begun", first_version)
    api.upload(version.source, "artifacts/package/model.onnx", b"other weights")
    with pytest.raises(CorruptArtifactError):
        pretrained.package(api, project, spec, fingerprint)


def test_an_unknown_alias_is_an_error(api: Api) -> None:
    with pytest.raises(NotFoundError, match="the registry has no package"):
        pretrained.digest(api, starting_from("nobody"))
    plain = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec)
    assert pretrained.digest(api, plain) is None
    assert pretrained.package(api, Project(ROOT), plain, fingerprints.training(plain, "d" * 64, ROOT)) is None
