"""Prewarmed host processes that import the heavy libraries of stages before these run.

Great Expectations takes 6 s to import, torch with its optimizers 5 s. The hosts import them on another core while
earlier stages run; the stages then run in forks of the hosts (core/stage_process.py). What comes after the training
has a host that starts with the training; a release worker that waits for an order has the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core import priority
from components.core.stage_process import host_variable
from flows.pipelines.plan import Plan

RELEASE = "release"
LIBRARIES = {
    "validation": ("great_expectations", "pandas"),
    "training": ("torch", "torch._dynamo", "numpy", "onnx"),
    # Of BentoML, only what it imports: it reads its settings when it is imported itself.
    RELEASE: ("numpy", "scipy.special", "pyarrow.parquet", "onnxruntime", "matplotlib.backends.backend_agg",
              "matplotlib.figure", "pydantic", "jinja2", "starlette.applications", "fsspec", "pathspec.gitignore",
              "cattr", "yaml", "psutil", "attrs", "click", "httpx_ws", "rich.live", "rich.syntax", "schema",
              "simple_di"),
}  # fmt: skip
STAGES = {RELEASE: ("evaluation", "packaging", "gates")}  # of a host that is not named after its stage


def stages_to_prewarm(planned: Plan, elsewhere: Collection[str] = ()) -> list[str]:
    """The stages with heavy imports that the plan will run here.

    Args:
        elsewhere: stages that run on other machines.
    """
    due_stages = {stage.stage for stage in planned.stages if not stage.current}
    return [
        *(["validation"] if due_stages & {"validate", "prepare"} else []),
        *(["training"] if "train" in due_stages and "train" not in elsewhere else []),
    ]


@contextmanager
def prewarmed(hosts: Iterable[str], root: Path) -> Iterator[None]:
    """Run a host process for each name in `LIBRARIES` that has none yet; the hosts end with the block."""
    chosen = [name for name in hosts if name in LIBRARIES and not os.environ.keys() & _variables(name)]
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        try:
            for name in chosen:
                socket_path = str(Path(folder) / name)
                command = [sys.executable, "-m", "components.core.stage_process", socket_path, *LIBRARIES[name]]
                processes.append(subprocess.Popen(command, cwd=root, start_new_session=True))
                priority.follow(processes[-1].pid)
                os.environ |= dict.fromkeys(_variables(name), socket_path)
            yield
        finally:
            for variable in (variable for name in chosen for variable in _variables(name)):
                os.environ.pop(variable, None)
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def _variables(name: str) -> set[str]:
    return {host_variable(stage) for stage in STAGES.get(name, (name,))}
