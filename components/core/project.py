"""Where things lie: all paths of a project, in one place. Nothing is read or written but the modes of `.modelyard`."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import NotFoundError, ServingError


@dataclass(frozen=True)
class Project:
    """A project folder: `pipelines/`, `data/` and `dvc.yaml` in git, everything made in `.modelyard/` and by DVC."""

    root: Path

    @staticmethod
    def find(start: Path | None = None) -> Project:
        """The project around a folder (default: `MODELYARD_PROJECT`, else the working directory).

        Raises:
            NotFoundError: neither the folder nor any above it holds `pipelines/` and `dvc.yaml`.
        """
        from_environment = os.environ.get("MODELYARD_PROJECT")
        start_folder = (start or Path(from_environment or ".")).resolve()
        for folder in (start_folder, *start_folder.parents):
            if (folder / "dvc.yaml").is_file() and (folder / "pipelines").is_dir():
                project = Project(folder)
                _keep_private(project.state)
                return project
        raise NotFoundError(
            "no Modelyard project here",
            where=str(start_folder),
            expected="a folder with dvc.yaml and pipelines/, or one below it",
            next_step="change into a project, or set MODELYARD_PROJECT",
        )

    @property
    def state(self) -> Path:
        """Everything made and not versioned: servers' state, logs, runs, packages, bundles, reports."""
        return self.root / ".modelyard"

    @property
    def pipelines(self) -> Path:
        """The folder of pipeline files."""
        return self.root / "pipelines"

    def pipeline_file(self, name: str) -> Path:
        """A pipeline's file."""
        return self.pipelines / f"{name}.yaml"

    def dataset(self, name: str) -> Path:
        """A dataset's folder: dataset.yaml, expectations.json, README.md; raw/, validated/, prepared/ by DVC."""
        return self.root / "data" / name

    def run_folder(self, train_fingerprint: str) -> Path:
        """What a training leaves: checkpoint, events, TensorBoard log, the parts of the package."""
        return self.state / "runs" / _folder_name(train_fingerprint)

    def package(self, package_key: str) -> Path:
        """The sealed model package of that key."""
        return self.state / "packages" / _folder_name(package_key)

    def reports(self, dataset: str) -> Path:
        """Validation reports of a dataset."""
        return self.state / "reports" / dataset

    def last_run(self, pipeline: str) -> Path:
        """What a pipeline's last run was made of."""
        return self.state / "last" / f"pipeline-{pipeline}.json"

    def service(self, model: str) -> Path:
        """A running service's folder: its order, its BentoML home."""
        return self.state / "services" / model

    @property
    def ledger(self) -> Path:
        """What was asked of production and what became of it: a database and its key, apart from every server's state.

        `<model>.jsonl` in it is a ledger of before, which the database takes over.
        """
        return self.state / "ledger"

    def gates(self, model: str, key: str) -> Path:
        """What the gates found: evidence and report."""
        return self.state / "gates" / model / _folder_name(key)

    @property
    def bundles(self) -> Path:
        """The BentoML home."""
        return self.state / "bentoml"

    @property
    def retention(self) -> Path:
        """What `modelyard gc` is about to remove, and a small record of everything that it removed."""
        return self.state / "retention"

    @property
    def locks(self) -> Path:
        """Files that processes lock while they do what only one may do at a time."""
        return self.state / "locks"

    @property
    def artifacts(self) -> Path:
        """The default artifact store; used where stages run on other machines."""
        return self.state / "artifacts"

    @property
    def lock_file(self) -> Path:
        """The locked environment."""
        return self.root / "requirements.lock"

    @property
    def source_root(self) -> Path:
        """The folder that holds our rooms, as they are imported; the project itself in a clone."""
        return Path(__file__).resolve().parents[2]


def _keep_private(state: Path) -> None:
    """Make the state folder of a project, for its owner alone, before anything is written into it."""
    with contextlib.suppress(OSError):  # another user's checkout, or one that cannot be written to
        state.mkdir(mode=0o700, exist_ok=True)
        if state.stat().st_mode & 0o077:
            state.chmod(0o700)


def _folder_name(key: str) -> str:
    """The folder of a key. A key may come from the registry or from a file: nothing but a digest becomes a path."""
    if re.fullmatch(r"[0-9a-f]{64}", key) is None:
        raise ServingError(
            "this key was not made by Modelyard",
            got=repr(key),
            expected="a sha256 digest, 64 hex digits",
            next_step="choose a version that `modelyard run` registered",
        )
    return key[:16]
