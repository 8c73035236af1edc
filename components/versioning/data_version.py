"""One version of a dataset: as a git revision records it, from DVC's cache; or as it is on disk.

A revision's dvc.lock has the hash of each output's folder; the cache has the folder's list of files under that hash,
and each file under its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import yaml

from components.core import git
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.core.project import Project

WORKSPACE = "the last prepared"
_FILE = "samples.parquet"
_FOLDERS = ("validated", "prepared")


class DataVersion(NamedTuple):
    """Files of a version: the sample tables of the raw and of the prepared data.

    Args:
        name: the revision and its commit, or `WORKSPACE`.
    """

    name: str
    validated: Path
    prepared: Path


def on_disk(project: Project, dataset: str) -> DataVersion:
    """The data that was prepared last.

    Raises:
        NotFoundError: the dataset is not prepared.
    """
    paths = [project.dataset(dataset) / folder / _FILE for folder in _FOLDERS]
    for path in paths:
        if not path.is_file():
            raise NotFoundError(
                f"{dataset} is not prepared",
                where=str(path),
                next_step="`modelyard run` a pipeline of this dataset, or name two revisions: REV..REV",
            )
    return DataVersion(WORKSPACE, *paths)


def at_revision(project: Project, dataset: str, revision: str) -> DataVersion:
    """The data that a git revision records.

    Raises:
        UsageError: git knows no such revision.
        NotFoundError: the revision records no data of this dataset, or the cache does not have it.
        CorruptArtifactError: dvc.lock of the revision, or a list in the cache, cannot be read.
    """
    commit = git.ask(project.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit.text is None:
        next_step = commit.next_step or "`git log` lists commits, `git tag` tags"
        raise UsageError("no such revision", where=str(project.root), got=revision, next_step=next_step)
    hashes = _recorded(project, dataset, revision, commit.text)
    paths = [_cached(project, dataset, revision, folder, hashes[folder]) for folder in _FOLDERS]
    return DataVersion(f"{revision} ({commit.text[:10]})", *paths)


def _recorded(project: Project, dataset: str, revision: str, commit: str) -> dict[str, str]:
    """The hash of each folder in the revision's dvc.lock."""
    lock = git.ask(project.root, "show", f"{commit}:./dvc.lock")
    try:
        document = yaml.safe_load(lock.output) if lock.output is not None else {"stages": {}}
        outputs = [out for stage in document["stages"].values() for out in stage.get("outs", ())]
        hashes = {str(out["path"]): str(out["md5"]) for out in outputs if "md5" in out}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise CorruptArtifactError("dvc.lock cannot be read", where=f"dvc.lock at {revision}", got=error) from error
    found = {folder: hashes.get(f"data/{dataset}/{folder}") for folder in _FOLDERS}
    if missing := [folder for folder, value in found.items() if value is None]:
        raise NotFoundError(
            f"{revision} records no data of {dataset}",
            where=f"dvc.lock at {revision}",
            got=f"nothing for data/{dataset}/{missing[0]}",
            next_step="name a revision that was committed with dvc.lock after `modelyard run`",
        )
    return {folder: value for folder, value in found.items() if value is not None}


def _cached(project: Project, dataset: str, revision: str, folder: str, value: str) -> Path:
    """The file `samples.parquet` of a folder in DVC's cache."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project.root)) as repo:
            locate = repo.cache.local.oid_to_path
            listing = Path(locate(value))
            if listing.is_file():
                names = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
                if _FILE not in names:
                    raise CorruptArtifactError(
                        f"no {_FILE} in the folder", where=f"data/{dataset}/{folder} at {revision}"
                    )
                if (path := Path(locate(names[_FILE]))).is_file():
                    return path
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifactError("DVC's cache cannot be read", where=value, got=error) from error
    except DvcException as error:
        raise NotFoundError(
            "DVC does not say where its cache is", where=str(project.root / ".dvc"), got=error
        ) from error
    raise NotFoundError(
        f"the data of {revision} is not in DVC's cache",
        where=f"data/{dataset}/{folder} at {revision}",
        got=f"no {value}",
        next_step=f"`dvc fetch --all-commits validate@{dataset} prepare@{dataset}` brings it from the remote storage",
    )
