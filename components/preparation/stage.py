"""The stage `prepare`: `raw/` -> a staged `prepared/`, which replaces the last one after its validation.

python -m components.preparation data/<dataset>               writes .modelyard/staging/<dataset>/prepared
python -m components.validation prepared data/<dataset>       validates the staged folder and writes verdict.json
python -m components.preparation data/<dataset> --accept      seals the staged folder and moves it to data/<dataset>
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

from components.contracts.dask_variable import VARIABLE
from components.core.errors import UsageError


def main(arguments: list[str]) -> None:
    """Prepare a dataset, or accept the staged dataset.

    Raises:
        UsageError: not called with one dataset's folder.
        CorruptArtifactError: raw/, validated/ or the staged folder differs from its manifest.
        SampleError: a sample cannot be converted to arrays.
    """
    match arguments:
        case [folder]:
            _prestart_workers()
            from components.preparation import prepare

            prepare.prepare(Path(folder))
        case [folder, "--accept"]:  # imports neither numpy nor PIL: acceptance only moves a folder
            from components.preparation import accept

            accept.accept(Path(folder))
        case _:
            raise UsageError("one dataset's folder is expected", got=arguments, expected="data/<dataset> [--accept]")


def _prestart_workers() -> None:
    """Let the workers of a Dask cluster on this machine import what they need while this process does."""
    if (document := os.environ.get(VARIABLE)) is not None:
        # By its name: what runs the partitions is no part of the code that makes the data.
        prestart: Any = importlib.import_module("components.cluster.prestart")
        prestart.start(json.loads(document)["cluster"], prestart.PREPARE)
