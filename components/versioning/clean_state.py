"""A cache of DVC's answer that a dataset is current.

DVC needs a second for the answer, mostly for imports. If all stages are current, a fingerprint of everything that DVC
checks is kept: the content of the small files, time, size and inode of the large files (as in DVC), and the code. An
equal fingerprint gives the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components.core import atomic
from components.core.project import Project
from components.identity import digest
from components.identity.source_code import SourceIdentity

FOLDERS = ("raw", "validated", "prepared")


def fingerprint(project: Project, dataset: str, code: Mapping[str, SourceIdentity]) -> str:
    """A digest of everything that decides whether a dataset is current."""
    folder = project.dataset(dataset)
    small = [project.root / name for name in ("dvc.yaml", "dvc.lock", "params.yaml")]
    small += [folder / name for name in ("dataset.yaml", "expectations.json")]
    return digest.of_value(
        {
            "content": {str(path.relative_to(project.root)): _content(path) for path in small},
            "stat": {name: _stat(folder / name) for name in FOLDERS},
            "code": {stage: identity.digest for stage, identity in code.items()},
        }
    )


def is_known(project: Project, dataset: str, state: str) -> bool:
    """Whether DVC has found the state with this fingerprint current."""
    try:
        return _file(project, dataset).read_text() == state
    except FileNotFoundError:
        return False


def keep(project: Project, dataset: str, state: str) -> None:
    """Keep the fingerprint of a state that DVC has found current."""
    atomic.write_text(_file(project, dataset), state)


def _content(path: Path) -> str | None:
    return digest.of_file(path) if path.is_file() else None


def _stat(folder: Path) -> list[tuple[str, int, int, int]]:
    files = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(path.relative_to(folder)), stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in files]


def _file(project: Project, dataset: str) -> Path:
    return project.state / "cache" / f"current-{dataset}"
