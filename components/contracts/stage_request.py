"""What is sent to whoever runs a stage: data alone, and nothing that is true in one folder or on one machine only.

A stage runs in a workspace: a folder that holds its inputs at the paths that its request names, and that takes its
outputs. On this machine the workspace is the project's folder. Elsewhere it is an empty folder that a `StageRunner`
fills from an `ArtifactStore`: each input has a digest, so that it can be fetched and verified there.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from components.core.strict import Strict
from components.identity.manifest import Kind


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("expected a path below the workspace, relative to it")
    return text


WorkspacePath = Annotated[str, AfterValidator(_relative)]


class PlacedArtifact(Strict):
    """A sealed folder and its place.

    Args:
        digest: of its manifest.
        path: relative to the workspace.
    """

    kind: Kind
    digest: str
    path: WorkspacePath


class StageOutput(Strict):
    """A folder that a stage leaves: sealed by the stage, or of kind `report`: plain files, which may be absent."""

    kind: Kind
    path: WorkspacePath


class StageRequest(Strict):
    """`python -m components.<stage> REQUEST.json`, with what the stage reads and leaves.

    Args:
        document: the stage's own request as JSON; every path in it is relative to the workspace.
        request_file: where the document is written, relative to the workspace.
        discard: folders of an earlier attempt that are removed first; without them the stage goes on from there.
    """

    stage: str
    document: str
    request_file: WorkspacePath
    inputs: tuple[PlacedArtifact, ...] = ()
    outputs: tuple[StageOutput, ...] = ()
    discard: tuple[WorkspacePath, ...] = ()


class StageHandle(Strict):
    """A stage that was submitted.

    Args:
        id: the runner's name for it: a process, a flow run, a job.
    """

    stage: str
    id: str


class StageResult(Strict):
    """What a stage left, by digest."""

    artifacts: tuple[PlacedArtifact, ...]

    def digest(self, path: str) -> str | None:
        """The digest of the folder at a path; None if the stage left none there."""
        return next((artifact.digest for artifact in self.artifacts if artifact.path == path), None)
