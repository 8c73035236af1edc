"""DVC's word that a dataset is current, good for as long as nothing moved that DVC looks at.

Asking DVC takes a second, most of it for imports. After it found everything current, a fingerprint is kept of all that
it looked at: the content of the small files, time, size and inode of the large ones (DVC trusts the same), and the
code. While the fingerprint stays the same, so does the answer.
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
    """The state of everything that decides whether a dataset is current."""
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


def is_known(project: Project, dataset: str, found: str) -> bool:
    """Whether DVC found this very state current."""
    try:
        return _file(project, dataset).read_text() == found
    except FileNotFoundError:
        return False


def keep(project: Project, dataset: str, found: str) -> None:
    """Keep the fingerprint of a state that DVC found current."""
    atomic.write_text(_file(project, dataset), found)


def _content(path: Path) -> str | None:
    return digest.of_file(path) if path.is_file() else None


def _stat(folder: Path) -> list[tuple[str, int, int, int]]:
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(path.relative_to(folder)), at.st_mtime_ns, at.st_size, at.st_ino) for path, at in found]


def _file(project: Project, dataset: str) -> Path:
    return project.state / "cache" / f"current-{dataset}"
