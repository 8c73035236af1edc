"""`run:` of a pipeline file, and `[run]` of modelyard.toml: which engine runs a stage."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from components.core.strict import Strict

NODES_VARIABLE = "MODELYARD_NODES"  # of a job on several nodes: their number


class _OneMachine(Strict):
    """A stage on one machine: `nodes` is refused with the engine that has it."""

    @model_validator(mode="before")
    @classmethod
    def _no_nodes(cls, values: Any) -> Any:
        if isinstance(values, dict) and "nodes" in values:
            raise ValueError(f"nodes goes with runner: slurm; runner: {values.get('runner')} takes one machine")
        return values


class LocalSpec(_OneMachine):
    """The stage runs as a process of this machine."""

    runner: Literal["local"]


def _option(text: str) -> str:
    """An option of sbatch that leaves alone what Modelyard sets itself.

    Raises:
        ValueError: it is no long option, or one of those.
    """
    found = re.fullmatch(r"--([a-z][a-z0-9-]*)(=.*)?", text)
    if found is None:
        raise ValueError("expected a long option of sbatch with its value, as in --account=vision")
    if found[1] in _OWN_OPTIONS:
        raise ValueError(f"--{found[1]} is set by Modelyard")
    return text


_OWN_OPTIONS = (
    "array", "chdir", "dependency", "error", "export", "export-file", "job-name", "open-mode", "output", "parsable",
    "requeue", "no-requeue", "signal", "wait", "wrap", "test-only", "input", "nodes", "ntasks", "ntasks-per-node",
)  # fmt: skip


class SlurmSpec(Strict):
    """The stage runs as a job of Slurm, by `sbatch`; its folder is on a file system that the nodes share.

    Args:
        partition: of the cluster; None: its default.
        cpus: processors of each node; None: the cluster's default.
        memory_mb: memory of each node.
        gpus: of each node; 0: none.
        nodes: of the job; `train.processes` are shared out evenly among them.
        minutes: time limit; a training that reaches it saves its checkpoint and is queued again, until it is done.
        python: interpreter on the nodes, with Modelyard's requirements; None: the path of this one.
        folder: of the jobs, seen by this machine and the nodes under the same path; None: `jobs` in the folder of the
            artifact store.
        options: further options of sbatch.
    """

    runner: Literal["slurm"]
    partition: str | None = Field(default=None, pattern=r"^[\w.-]+(,[\w.-]+)*$")
    cpus: int | None = Field(default=None, ge=1)
    memory_mb: int | None = Field(default=None, ge=1)
    gpus: int = Field(default=0, ge=0)
    nodes: int = Field(default=1, ge=1, le=1024)
    minutes: int | None = Field(default=None, ge=2)
    python: str | None = None
    folder: str | None = None
    options: list[Annotated[str, AfterValidator(_option)]] = Field(default=[])


class PoolSpec(_OneMachine):
    """The stage runs as a flow run of a Prefect work pool; its folder is on a file system that the workers share.

    Args:
        pool: name of the work pool, which exists; of any type whose jobs see the folder.
        cpus, memory_mb, gpus: of the job, in a pool whose job template has them (`modelyard pool create`).
        folder: as of Slurm.
        variables: job variables of the pool's type, as in `prefect work-pool inspect`.
    """

    runner: Literal["pool"]
    pool: str = Field(pattern=r"^[^/%&><]+$")
    cpus: int | None = Field(default=None, ge=1)
    memory_mb: int | None = Field(default=None, ge=1)
    gpus: int = Field(default=0, ge=0)
    folder: str | None = None
    variables: dict[str, Any] = Field(default={})

    @property
    def resources(self) -> dict[str, str]:
        """What is asked for, as job variables."""
        memory = self.memory_mb and f"{self.memory_mb}Mi"
        asked = {"cpus": self.cpus, "memory": memory, "gpus": self.gpus or None}
        return {name: str(value) for name, value in asked.items() if value is not None}

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if twice := sorted(self.resources.keys() & self.variables.keys()):
            raise ValueError(f"{', '.join(twice)}: said twice, as a key and in `variables`")
        return self


class TlsFiles(Strict):
    """Files of a TLS connection, PEM; relative to the project, `~` is the home folder.

    Args:
        ca: certificates that sign those of scheduler and workers.
        cert, key: of this client.
    """

    ca: str
    cert: str
    key: str


class DaskSpec(Strict):
    """The stage's partitions are tasks of a Dask cluster: on this machine, or behind an existing scheduler.

    Args:
        workers: processes of a cluster on this machine, which ends with the stage; None: one a processor.
        scheduler: URL of an existing scheduler, whose workers see the project's folder under its path here.
        tls: for a scheduler of `tls://`; None: what Dask's own configuration says.
        partition_rows: most rows of a partition; None: 65,536, or as many as give each worker one.
    """

    runner: Literal["dask"]
    workers: int | None = Field(default=None, ge=1, le=1024)
    scheduler: str | None = None
    tls: TlsFiles | None = None
    partition_rows: int | None = Field(default=None, ge=1024)

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        # Checked here, so that an error does not show the URL: it may hold a password.
        if self.scheduler is not None and re.fullmatch(r"(tcp|tls)://[^\s/@?#]+:\d+", self.scheduler) is None:
            raise ValueError("`scheduler`: expected tcp://HOST:PORT or tls://HOST:PORT, without credentials")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError(
                "`workers` is of a cluster on this machine, `scheduler` of an existing one: name one of them"
            )
        if self.tls is not None and not (self.scheduler or "").startswith("tls://"):
            raise ValueError("`tls` is for a scheduler of tls://")
        return self


RunnerSpec = Annotated[LocalSpec | SlurmSpec | PoolSpec, Field(discriminator="runner")]
DataRunnerSpec = Annotated[LocalSpec | DaskSpec, Field(discriminator="runner")]
_RUNNERS = {
    **dict.fromkeys(("prepare", "score"), ("local", "dask")),
    **dict.fromkeys(("train", "evaluate"), ("local", "slurm", "pool")),
}


class RunSpec(Strict):
    """Which engine runs a stage; a stage without an entry runs on this machine.

    Args:
        train, evaluate, prepare: the stages that can run elsewhere; the others need what is on this machine.
        score: batch scoring, of `modelyard score` and of `score:`.
    """

    train: RunnerSpec | None = None
    evaluate: RunnerSpec | None = None
    prepare: DataRunnerSpec | None = None
    score: DataRunnerSpec | None = Field(default=None, exclude_if=lambda score: score is None)

    @field_validator("train", "evaluate", "prepare", "score", mode="before")
    @classmethod
    def _fits_the_stage(cls, value: Any, about: ValidationInfo) -> Any:
        possible = _RUNNERS[str(about.field_name)]
        runner = value.get("runner") if isinstance(value, dict) else None
        if runner in {name for names in _RUNNERS.values() for name in names} and runner not in possible:
            raise ValueError(f"runner: {runner} cannot run {about.field_name}; allowed: {', '.join(possible)}")
        return value

    @model_validator(mode="after")
    def _only_preparation_cuts_rows(self) -> Self:
        if isinstance(self.score, DaskSpec) and self.score.partition_rows is not None:
            raise ValueError("score: partition_rows is of prepare; the input of a scoring is cut by its content alone")
        return self

    @model_validator(mode="after")
    def _only_trainings_take_nodes(self) -> Self:
        if isinstance(self.evaluate, SlurmSpec) and self.evaluate.nodes > 1:
            raise ValueError("evaluate is one process: take nodes out of it; only train takes several nodes")
        return self
