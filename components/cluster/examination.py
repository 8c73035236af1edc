"""`python -m components.cluster.examination`: asks an existing Dask scheduler what `modelyard doctor` wants to know.

A process of its own: Dask takes a second to import, and a scheduler that hangs is given up by ending the process. It
runs in the project's folder, reads a `DaskExamination` from standard input, and writes a `DaskAnswer`, or the error, as
JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from components.contracts.runner_spec import DaskSpec
from components.core.errors import ModelyardError
from components.core.strict import Strict

PACKAGES = {"run.prepare": (), "run.score": ("onnxruntime",)}  # by place: further ones whose versions workers share
SECONDS = 10.0  # for the scheduler to answer


class DaskExamination(Strict):
    """What is asked.

    Args:
        cluster: names a scheduler.
        place: of its settings, as in `run.prepare`.
        folder: that its workers must see.
    """

    cluster: DaskSpec
    place: str
    folder: str


class DaskAnswer(Strict):
    """What the scheduler has; every worker has the versions of this machine, and sees the folder."""

    workers: int
    threads: int


def main() -> int:
    """Ask, and write the answer or the error."""
    request = DaskExamination.model_validate_json(sys.stdin.read())
    from components.cluster import dask_cluster

    try:
        threads = dask_cluster.examine(
            request.cluster, request.place, Path(request.folder), packages=PACKAGES[request.place], seconds=SECONDS
        )
    except ModelyardError as error:
        print(json.dumps(error.to_dict()))
        return error.exit_code
    print(DaskAnswer(workers=len(threads), threads=sum(threads)).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
