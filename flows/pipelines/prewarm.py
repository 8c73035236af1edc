"""Prewarmed host processes that import a later stage's heavy libraries while the earlier stages run.

Great Expectations takes 6 s to import, torch with its optimizers 5 s. The hosts import them on another core; the stages
then run in forks of the hosts (core/stage_process.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.stage_process import host_variable
from flows.pipelines.plan import Plan

LIBRARIES = {"validation": ("great_expectations", "pandas"), "training": ("torch", "torch._dynamo", "numpy", "onnx")}


def stages_to_prewarm(planned: Plan) -> list[str]:
    """The stages with heavy imports that the plan will run."""
    due_stages = {stage.stage for stage in planned.stages if not stage.current}
    return [
        *(["validation"] if due_stages & {"validate", "prepare"} else []),
        *(["training"] if "train" in due_stages else []),
    ]


@contextmanager
def prewarmed(stages: Iterable[str], root: Path) -> Iterator[None]:
    """Run a host process for each named stage that has none yet; the hosts end with the block."""
    chosen = [stage for stage in stages if stage in LIBRARIES and host_variable(stage) not in os.environ]
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        try:
            for stage in chosen:
                socket_path = str(Path(folder) / stage)
                command = [sys.executable, "-m", "components.core.stage_process", socket_path, *LIBRARIES[stage]]
                processes.append(subprocess.Popen(command, cwd=root, start_new_session=True))
                os.environ[host_variable(stage)] = socket_path
            yield
        finally:
            for stage in chosen:
                os.environ.pop(host_variable(stage), None)
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
