"""One small dataset for the quick tests of the gates; one real Bento for those that start endpoints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.contracts.pipeline import ServingOptions
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from flows.platform.environment import QUIET
from tests import small_package
from tests.gates.small_release import SmallRelease

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def release(tmp_path: Path) -> SmallRelease:
    """A dataset and bundles that hold no code."""
    return SmallRelease(tmp_path)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> SmallRelease:
    """A dataset and bundles that can be served, all with the code of one that was built as every bundle is."""
    folder = tmp_path_factory.mktemp("gates")
    package = small_package.build(folder / "package")
    request = BundleRequest(
        model="sample",
        version="1",
        key="a" * 64,
        package=str(package.folder),
        home=str(folder / "home"),
        source_root=str(ROOT),
        requirements=requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES),
        serving=ServingOptions(),
    )
    (folder / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(folder / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return SmallRelease(folder / "release", Bundle(folder / "home", "sample", "a" * 64).folder)
