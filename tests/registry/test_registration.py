"""The same key is the same version: twice, raced, killed half-way; and what the registry holds is proved on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.errors import CorruptArtifactError, RegistryError
from components.identity.package import Package
from components.registry import registration, tracking, versions
from components.registry.api import AliasMovedError, Api
from components.registry.registration import Registration
from tests import small_package
from tests.house import House

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def api(house: House) -> Iterator[Api]:
    with house.api() as api:
        yield api


def asked(package: Package, name: str, key: str) -> Registration:
    return Registration(name, key, package, "numpy\n", ROOT, {"git_commit": "0" * 40})


def test_the_same_key_is_the_same_version(api: Api, tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package", train_fingerprint="1" * 64)
    run = tracking.ensure(api, "twice", package.facts.train_fingerprint, {})
    first = registration.register(api, run, asked(package, "twice", "k1"), tmp_path)
    again = registration.register(api, run, asked(package, "twice", "k1"), tmp_path)
    assert (first.version, again.version) == ("1", "1")
    assert tracking.ensure(api, "twice", package.facts.train_fingerprint, {}).id == run.id
    other = registration.register(api, run, asked(package, "twice", "k2"), tmp_path)
    assert other.version == "2"
    assert [version.version for version in versions.versions(api, "twice")] == ["2", "1"]


SCRIPT = """\
import os, signal, sys
from pathlib import Path
from components.access.secret import Credentials
from components.identity.package import Package
from components.registry import registration, tracking, versions
from components.registry.api import AliasMovedError, Api
from components.registry.registration import Registration
url, secret, package, name, locks, kill = sys.argv[1:]
package = Package.open(Path(package))
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if kill == "upload":
    real = Api.upload_file
    def upload(self, uri, path, content):
        real(self, uri, path, content)
        if path == "MLmodel":
            die()
    Api.upload_file = upload
elif kill == "create":
    versions.create = die
with Api(url, Credentials('test', secret)) as api:
    run = tracking.ensure(api, name, package.facts.train_fingerprint, {})
    asked = Registration(name, "key", package, "numpy\\n", Path.cwd(), {})
    print(registration.register(api, run, asked, Path(locks)).version)
"""


def _secret(api: Api) -> str:
    assert api.credentials is not None
    return api.credentials.secret


def start(api: Api, package: Package, name: str, locks: Path, kill: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, api.url, _secret(api), str(package.folder), name, str(locks), kill],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("locks", ["shared", "apart"])
def test_two_that_race_make_one_version(api: Api, tmp_path: Path, locks: str) -> None:
    name = f"race-{locks}"
    package = small_package.build(tmp_path / "package", train_fingerprint="2" * 64)
    folders = [tmp_path / ("locks" if locks == "shared" else f"machine-{index}") for index in range(3)]
    racing = [start(api, package, name, folder) for folder in folders]
    said = [process.communicate(timeout=90)[0].strip() for process in racing]
    left = versions.versions(api, name)
    assert len(left) == 1
    assert set(said) == {left[0].version}


@pytest.mark.parametrize("kill", ["upload", "create"])
def test_one_killed_half_way_is_finished_by_the_next(api: Api, tmp_path: Path, kill: str) -> None:
    name = f"killed-at-{kill}"
    package = small_package.build(tmp_path / "package", train_fingerprint="3" * 64)
    process = start(api, package, name, tmp_path, kill)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    done = start(api, package, name, tmp_path)
    assert done.communicate(timeout=60)[0].strip() == "1"
    (version,) = versions.versions(api, name)
    assert versions.download(api, version, tmp_path / "fetched").digest == package.digest


def test_a_changed_byte_in_the_registry_is_named(api: Api, tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package", train_fingerprint="4" * 64)
    run = tracking.ensure(api, "tampered", package.facts.train_fingerprint, {})
    version = registration.register(api, run, asked(package, "tampered", "k"), tmp_path)
    content = bytearray((package.folder / "model.onnx").read_bytes())
    content[100] ^= 1
    api.upload(version.source, "artifacts/package/model.onnx", bytes(content))
    with pytest.raises(CorruptArtifactError) as caught:
        versions.download(api, version, tmp_path / "fetched")
    assert "model.onnx" in str(caught.value.where)
    assert not (tmp_path / "fetched").exists()


def test_aliases_and_what_is_not_there(api: Api, tmp_path: Path) -> None:
    package = small_package.build(tmp_path / "package", train_fingerprint="5" * 64)
    run = tracking.ensure(api, "aliased", package.facts.train_fingerprint, {})
    version = registration.register(api, run, asked(package, "aliased", "k"), tmp_path)
    assert versions.by_alias(api, "aliased", "champion") is None
    versions.set_alias(api, "aliased", "champion", version.version)
    found = versions.by_alias(api, "aliased", "champion")
    assert found is not None
    assert (found.version, found.aliases, found.package_digest) == ("1", ("champion",), package.digest)
    assert versions.by_alias(api, "nobody", "champion") is None
    assert versions.by_key(api, "nobody", "k") is None
    for expected in (None, "2"):  # somebody has set it since it was looked at
        with pytest.raises(AliasMovedError, match="champion of aliased names version 1 by now"):
            versions.set_alias(api, "aliased", "champion", version.version, expected=expected)
        with pytest.raises(AliasMovedError):
            versions.delete_alias(api, "aliased", "champion", expected=expected)
    versions.set_alias(api, "aliased", "challenger", version.version, expected=None)
    versions.delete_alias(api, "aliased", "champion", expected=version.version)
    assert versions.aliases_of(api, "aliased") == {"challenger": "1"}


def test_a_registry_that_is_not_there_is_said_so() -> None:
    with Api("http://127.0.0.1:9", patience_seconds=0.5) as api, pytest.raises(RegistryError, match="does not answer"):
        versions.names(api)
