"""One thing on disk that a project made and that may go, with what is known of it."""

from __future__ import annotations

from typing import Literal

from components.core.strict import Strict

Kind = Literal[
    "bundle", "package", "run", "evidence", "report", "service", "log", "request", "input", "data", "mlflow-run",
    "predictions", "reference", "window", "rehearsal", "job",
]  # fmt: skip

# What aliases and current fingerprints keep: without the registry nobody can say what of it is needed.
NEEDS_REGISTRY: frozenset[Kind] = frozenset({"bundle", "package", "run", "mlflow-run", "reference"})


class Item(Strict):
    """One thing.

    Args:
        name: unique among its kind: a bundle's tag `<model>:<12 hex digits>`, a folder's or a file's name.
        path: relative to the project's folder; None: its owner (DVC, MLflow) removes it, or it lies outside.
        model: the pipeline that it belongs to; None: not known, or of none.
        version: of the model, of a bundle.
        digest: of its sealed content; None: it is not sealed.
        package_digest: of the package that it is or holds.
        bytes: on disk.
        changed: when anything in it was written last, seconds since 1970.
        held: why a process needs it just now; None: no process does.
        note: what is lost with it, which a person must hear before it goes; None: nothing.
    """

    kind: Kind
    name: str
    path: str | None
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    package_digest: str | None = None
    bytes: int
    changed: float
    held: str | None = None
    note: str | None = None
