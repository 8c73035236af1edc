"""The request of the packaging stage."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from components.contracts.pipeline import ServingOptions
from components.contracts.row_expectations import RowSuite
from components.core.project import Project
from components.core.strict import Strict


class BundleRequest(Strict):
    """`python -m components.packaging REQUEST.json`; paths are relative to the working directory.

    Args:
        hashes: by name of a requirement, the sha256 of the files that may be installed; {}: they are not checked.
        source_root: folder that holds our rooms; default: the rooms of the process that builds.
        row_expectations: those that the service enforces; None: it enforces none.
        force: also build a bundle that is there; it is replaced only if it is damaged.
    """

    model: str
    version: str
    key: str
    package: str
    home: str
    requirements: list[str]
    hashes: dict[str, list[str]] = Field(default_factory=dict)
    serving: ServingOptions
    row_expectations: RowSuite | None = Field(default=None, exclude_if=lambda suite: suite is None)
    force: bool = False
    source_root: str = Field(default_factory=lambda: str(Project(Path()).source_root), exclude=True)
