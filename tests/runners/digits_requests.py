"""The requests of the stages of a pipeline on digits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.contracts.stage_request import StageRequest
from components.core.project import Project
from components.identity import manifest
from flows.pipelines import fingerprints, stage_requests
from flows.pipelines.fingerprints import Fingerprints

ROOT = Path(__file__).resolve().parents[2]


def keys_of(project: Project, spec: PipelineSpec) -> Fingerprints:
    data = manifest.load(project.dataset(spec.dataset) / "prepared", "prepared").digest
    return fingerprints.of(spec, data, ROOT)


def requests(project: Project, spec: PipelineSpec) -> Iterator[StageRequest]:
    """Requests of the stages in order; each is built after the previous stage has run."""
    yield stage_requests.training(project, spec, keys_of(project, spec), None)
    yield stage_requests.evaluation(project, spec, keys_of(project, spec))
