"""What a bundle is made of: the inputs of its key.

The key covers the package, the serving code and its libraries, the settings and the pinned requirements: a change of
serving code makes a new bundle and trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components import tasks
from components.contracts.pipeline import ServingOptions
from components.contracts.row_expectations import RowSuite
from components.identity import digest, user_source
from components.identity.source_code import SourceIdentity
from components.packaging.bundle import ENTRY, START


def entries(task: str) -> list[str]:
    """The modules that a bundle's code is reached from: service, its start, and the task, which is found by name."""
    return [ENTRY, START, tasks.module(task)]


def code(source_root: Path, task: str) -> SourceIdentity:
    """The identity of the code that a bundle of a task holds."""
    return user_source.identity(entries(task), source_root)


def code_digest(identity: SourceIdentity, requirements: list[str]) -> str:
    """What a serving process runs beside its package: equal for bundles that differ in package or settings alone."""
    return digest.of_value({"functions": identity.functions, "requirements": requirements})


def inputs(
    package_digest: str,
    version: str,
    serving: ServingOptions,
    requirements: list[str],
    identity: SourceIdentity,
    hashes: Mapping[str, Sequence[str]] | None = None,
    row_expectations: RowSuite | None = None,
) -> dict[str, Any]:
    """What a bundle is made of; the digest of this is its key.

    Quantization and conformal prediction are the package's, whose digest is among the inputs.

    Args:
        hashes: by name of a requirement, the sha256 of the files that may be installed.
        row_expectations: those that the service enforces, if any.
    """
    settings = serving.model_dump(mode="json", exclude={"quantize", "quantize_max_loss", "conformal"})
    return {
        "package": package_digest,
        "version": version,
        **{f"serving.{name}": value for name, value in settings.items()},
        **{f"library {name}": number for name, _, number in (line.partition("==") for line in requirements)},
        **({"row expectations": digest.of_value(row_expectations.model_dump(mode="json"))} if row_expectations else {}),
        **({"library hashes": digest.of_value(hashes)} if hashes else {}),
        **{f"function {name}": value for name, value in identity.functions.items()},
    }
