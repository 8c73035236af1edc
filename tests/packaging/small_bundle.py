"""A bundle of the small package, built as a release builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from components.contracts.pipeline import ServingOptions
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from flows.pipelines.fingerprints import Fingerprint
from flows.platform.environment import QUIET
from tests import small_package

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, spec: ServingOptions) -> Bundle:
    """Build version 4 of `sample` in a process of its own."""
    return build_in(folder, None, spec)


def build_in(folder: Path, home: Path | None, spec: ServingOptions | None = None) -> Bundle:
    """The same in a BentoML home."""
    bundle = request(folder, spec or ServingOptions(), home)
    subprocess.run(command(folder), cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return bundle


def command(folder: Path) -> list[str]:
    """How the request in a folder is carried out."""
    return [sys.executable, "-m", "components.packaging", str(folder / "request.json")]


def request(folder: Path, spec: ServingOptions, home: Path | None = None) -> Bundle:
    """Write a request to build a bundle; the bundle that it is about."""
    package = small_package.build(folder / "package")
    pinned = requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES)

    key = Fingerprint(
        bundle_inputs.inputs(package.digest, "4", spec, pinned, bundle_inputs.code(ROOT, small_package.TASK), hashes())
    ).digest
    document = BundleRequest(
        model="sample",
        version="4",
        key=key,
        package=str(package.folder),
        home=str(home or folder / "home"),
        source_root=str(ROOT),
        requirements=pinned,
        hashes=hashes(),
        serving=spec,
    )
    (folder / "request.json").write_text(document.model_dump_json())
    return Bundle(home or folder / "home", "sample", key)


def hashes() -> dict[str, list[str]]:
    """The hashes of what the bundle installs."""
    lock = ROOT / "requirements.lock"
    return requirements.hashes(lock, requirements.pinned(lock, small_package.LIBRARIES))
