"""A project in which everything of the chain that needs no server is real and small: data, package, bundle, lock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from components.contracts.pipeline import ServingOptions
from components.core.project import Project
from components.identity import digest, manifest
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from components.versioning import dvc_hash
from flows.pipelines.fingerprints import Fingerprint
from flows.platform.environment import QUIET
from tests import small_package

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = """\
name: sample
task: image-classification
dataset: things
model: {family: cnn, name: textbook}
"""


def make(root: Path) -> Bundle:
    """Fill a folder with a project and give its one bundle: version 4 of `sample`, trained on `things`."""
    project = Project(root)
    project.pipelines.mkdir(parents=True)
    project.pipeline_file("sample").write_text(PIPELINE)
    (root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(ROOT / "requirements.lock", project.lock_file)
    lineage = _data(project.dataset("things"))
    _dvc_lock(root)
    facts = {"data_digest": lineage.pop("data_digest"), "lineage": lineage}
    package = small_package.build(root / "package", facts=facts)
    pinned = requirements.pinned(project.lock_file, small_package.LIBRARIES)
    hashes = requirements.hashes(project.lock_file, pinned)
    spec = ServingOptions()
    key = Fingerprint(
        bundle_inputs.inputs(package.digest, "4", spec, pinned, bundle_inputs.code(ROOT, small_package.TASK), hashes)
    ).digest
    request = BundleRequest(
        model="sample",
        version="4",
        key=key,
        package=str(package.folder),
        home=str(project.bundles),
        source_root=str(ROOT),
        requirements=pinned,
        hashes=hashes,
        serving=spec,
    )
    (root / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(root / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    return Bundle(project.bundles, "sample", key)


def git(root: Path, *words: str) -> str:
    """A git command in a folder."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    words = ("git", *identity, *words)
    return subprocess.run(words, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def _data(folder: Path) -> dict[str, str]:
    """raw, validated and prepared, sealed as the stages seal them; their digests."""
    for kind, name in (("raw", "samples.parquet"), ("validated", "samples.parquet"), ("prepared", "test/images.npy")):
        path = folder / kind / name
        path.parent.mkdir(parents=True)
        path.write_bytes(f"{kind} of things".encode() * 20)
    raw = manifest.seal(folder / "raw", "raw", {"samples": 20})
    _verdict(folder / "validated", "raw", raw.digest)
    facts = {"raw_digest": raw.digest, "suite_digest": "5" * 64, "success": True}
    validated = manifest.seal(folder / "validated", "validated", facts)
    facts = {"dataset": "things", "raw_digest": raw.digest, "validated_digest": validated.digest}
    staged = manifest.seal(folder / "prepared", "prepared", facts)
    (folder / "prepared" / manifest.FILE_NAME).unlink()
    verdict = _verdict(folder / "prepared", "prepared", staged.digest)
    prepared = manifest.seal(folder / "prepared", "prepared", {**facts, "verdict_digest": digest.of_file(verdict)})
    return {"raw_digest": raw.digest, "validated_digest": validated.digest, "data_digest": prepared.digest}


def _verdict(folder: Path, part: str, subject: str) -> Path:
    document: dict[str, Any] = {
        "part": part,
        "subject_digest": subject,
        "suite_digest": "5" * 64,
        "success": True,
        "statistics": {"evaluated": 3, "met": 3},
        "results": [],
    }
    (folder / "verdict.json").write_text(json.dumps(document))
    return folder / "verdict.json"


def _dvc_lock(root: Path) -> None:
    outputs = [f"data/things/{kind}" for kind in ("raw", "validated", "prepared")]
    stages = {out: {"outs": [{"path": out, "md5": dvc_hash.of_folder(root / out)}]} for out in outputs}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
