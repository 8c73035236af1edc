"""What is read from a bundle on disk for a deployment, and which options of the command go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import CorruptArtifactError, UsageError
from components.core.project import Project
from components.deployment import service_facts
from components.identity import manifest
from components.packaging.bundle import Bundle
from flows.deployment import targets
from flows.deployment.targets import DeployRequest
from tests import small_package

KEY = "0123456789ab" + "c" * 52


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    found = Bundle(tmp_path / "home", "sample", KEY)
    small_package.bundle(found.source, "4")
    return found


def test_the_facts_are_those_of_the_bundle(bundle: Bundle) -> None:
    facts = service_facts.of_bundle(bundle)
    assert (facts.model, facts.version, facts.task) == ("sample", "4", "image-classification")
    assert facts.image == "sample:0123456789ab"
    assert facts.bundle_digest == manifest.load(bundle.source, "bundle").digest
    assert (facts.workers, facts.max_request_bytes, facts.data_digest) == (1, 100_000, "d" * 64)
    assert facts.package_bytes > 1000
    assert not facts.asks_for_keys
    assert not facts.speaks_open_inference


def test_a_service_whose_code_names_the_file_of_keys_asks_for_keys(bundle: Bundle) -> None:
    (bundle.source / "serving").mkdir()
    (bundle.source / "serving" / "door.py").write_text('import os\nos.environ["MODELYARD_API_KEYS"]\n')
    (bundle.source / "manifest.json").unlink()
    manifest.seal(bundle.source, "bundle", {"code": "c" * 64})
    assert service_facts.of_bundle(bundle).asks_for_keys


def test_a_changed_byte_and_settings_that_cannot_be_read_are_refused(bundle: Bundle) -> None:
    (bundle.source / "serving.json").write_text("{}")
    with pytest.raises(CorruptArtifactError):
        service_facts.of_bundle(bundle)
    (bundle.source / "manifest.json").unlink()
    manifest.seal(bundle.source, "bundle", {"code": "c" * 64})
    with pytest.raises(CorruptArtifactError, match="settings of the service"):
        service_facts.of_bundle(bundle)


def test_a_name_that_is_no_dns_label_is_refused(tmp_path: Path) -> None:
    found = Bundle(tmp_path / "home", "sample-", KEY)
    small_package.bundle(found.source, "4")
    with pytest.raises(UsageError, match="cannot name a deployment"):
        service_facts.of_bundle(found)


def test_files_of_an_unmeasured_bundle_say_so(bundle: Bundle, tmp_path: Path) -> None:
    request = DeployRequest("kubernetes", tmp_path / "out", measure=False)
    done = targets.write(Project(tmp_path), bundle, request, print)
    assert (done.options.replicas, done.options.max_replicas) == (2, 8)
    assert (tmp_path / "out" / "deployment.yaml").read_text().startswith("# NOT measured")
    assert done.files.written[0] == "README.md"
    assert "\n  name: sample\n" in (tmp_path / "out" / "service.yaml").read_text()


def test_the_service_of_files_is_not_the_one_by_which_releases_direct_requests(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text("[kubernetes]\nnamespace = 'models'\n")
    targets.write(Project(tmp_path), bundle, DeployRequest("kubernetes", tmp_path / "out", measure=False), print)
    assert "\n  name: sample-deployed\n" in (tmp_path / "out" / "service.yaml").read_text()


@pytest.mark.parametrize(
    ("request_of", "said"),
    [
        ({"target": "systemd", "replicas": 2, "image": "a:1"}, "--image, --replicas"),
        ({"target": "kubernetes", "platform": True}, "--with-platform"),
        ({"target": "compose", "max_replicas": 3, "ingress_namespaces": ("x",)}, "--max-replicas, --ingress-namespace"),
        ({"target": "kserve", "replicas": 5, "max_replicas": 2}, "--max-replicas 2"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    bundle: Bundle, tmp_path: Path, request_of: dict[str, object], said: str
) -> None:
    request = DeployRequest(folder=tmp_path / "out", measure=False, **request_of)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as refused:
        targets.write(Project(tmp_path), bundle, request, print)
    assert refused.value.got == said
    assert not (tmp_path / "out").exists()
