"""All paths of a project. The only access to the disk creates `.modelyard` and sets its mode."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import NotFoundError, ServingError


@dataclass(frozen=True)
class Project:
    """A project folder: `pipelines/`, `data/` and `dvc.yaml` are in git; products are in `.modelyard/` and in DVC."""

    root: Path

    @staticmethod
    def find(start: Path | None = None) -> Project:
        """The project that contains a folder (default: `MODELYARD_PROJECT`, else the working directory).

        Raises:
            NotFoundError: neither the folder nor any parent contains `pipelines/` and `dvc.yaml`.
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
        """The folder of everything unversioned: servers' state, logs, runs, packages, bundles, reports."""
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
        """The outputs of a training: checkpoint, events, TensorBoard log, the parts of the package."""
        return self.state / "runs" / _folder_name(train_fingerprint)

    def package(self, package_key: str) -> Path:
        """The sealed model package with that fingerprint."""
        return self.state / "packages" / _folder_name(package_key)

    def reports(self, dataset: str) -> Path:
        """Validation reports of a dataset."""
        return self.state / "reports" / dataset

    def last_run(self, pipeline: str) -> Path:
        """The fingerprint inputs of a pipeline's last run."""
        return self.state / "last" / f"pipeline-{pipeline}.json"

    def service(self, model: str) -> Path:
        """A service's folder: its spec and the state of its workers."""
        return self.state / "services" / model

    def predictions(self, model: str) -> Path:
        """The folder of a model's prediction log: open and sealed hours."""
        return self.state / "predictions" / model

    def monitoring(self, model: str) -> Path:
        """The judged windows of a model's prediction log."""
        return self.state / "monitoring" / model

    @property
    def ledger(self) -> Path:
        """The release ledger: a database and its key, separate from every server's state.

        `<model>.jsonl` in it is a ledger of an earlier version of Modelyard, which the database imports.
        """
        return self.state / "ledger"

    def gates(self, model: str, key: str) -> Path:
        """The evidence and the report of the release gates."""
        return self.state / "gates" / model / _folder_name(key)

    @property
    def bundles(self) -> Path:
        """The BentoML home."""
        return self.state / "bentoml"

    @property
    def retention(self) -> Path:
        """The plan and the trash of `modelyard gc`, and the tombstones of removed artifacts."""
        return self.state / "retention"

    @property
    def locks(self) -> Path:
        """The folder of lock files."""
        return self.state / "locks"

    @property
    def artifacts(self) -> Path:
        """The default artifact store, for stages on other machines."""
        return self.state / "artifacts"

    @property
    def lock_file(self) -> Path:
        """The locked environment."""
        return self.root / "requirements.lock"

    @property
    def source_root(self) -> Path:
        """The folder that contains the packages `components`, `flows` and `serving`; in a clone, the project itself."""
        return Path(__file__).resolve().parents[2]


def _keep_private(state: Path) -> None:
    """Create the state folder of a project with mode 0700."""
    with contextlib.suppress(OSError):  # another user's checkout, or one that cannot be written to
        state.mkdir(mode=0o700, exist_ok=True)
        if state.stat().st_mode & 0o077:
            state.chmod(0o700)


def _folder_name(key: str) -> str:
    """The folder name of a fingerprint. The fingerprint may come from the registry or a file, so it is validated."""
    if re.fullmatch(r"[0-9a-f]{64}", key) is None:
        raise ServingError(
            "this key was not made by Modelyard",
            got=repr(key),
            expected="a sha256 digest, 64 hex digits",
            next_step="choose a version that `modelyard run` registered",
        )
    return key[:16]
