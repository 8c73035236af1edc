"""DVC: stale stages and the digest of a dataset. The only package that imports dvc, inside functions.

status(project, dataset)             for each data stage: whether it is current, and the reasons why not
reproduce(project, dataset, stage)   run one stage through DVC
data_digest(project, dataset)        the identity of the prepared data
"""

from __future__ import annotations

from components.core.project import Project
from components.identity import manifest
from components.versioning.reproduction import reproduce
from components.versioning.stage_status import StageStatus
from components.versioning.staleness import status

__all__ = ["StageStatus", "data_digest", "reproduce", "status"]


def data_digest(project: Project, dataset: str) -> str:
    """The digest of the prepared dataset's manifest.

    Raises:
        NotFoundError: the dataset is not prepared.
        CorruptArtifactError: the manifest was changed.
    """
    return manifest.load(project.dataset(dataset) / "prepared", "prepared").digest
