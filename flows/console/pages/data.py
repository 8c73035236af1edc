"""The pages of data: all datasets, the versions of one with its reports, and what differs between two versions."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from components.core.errors import ModelyardError, NotFoundError
from components.identity import manifest as manifests
from components.identity.manifest import Kind
from flows.console.sources import Sources

REVISIONS_WAIT_SECONDS = 0.6
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,200}")
REPORT = re.compile(r"(raw|prepared|splits)\.html")
SHOWN_IDS = 200
_PARTS: tuple[Kind, ...] = ("raw", "validated", "prepared")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def every(sources: Sources) -> dict[str, Any]:
    """All datasets of the project."""
    names = sorted(path.parent.name for path in (sources.project.root / "data").glob("*/dataset.yaml"))
    return {"datasets": [_row(sources, name) for name in names]}


def document(sources: Sources, name: str) -> dict[str, Any]:
    """One dataset.

    Raises:
        NotFoundError: there is no such dataset.
    """
    require(sources, name)
    found = sources.revisions.get(name, REVISIONS_WAIT_SECONDS)
    return {
        **_row(sources, name),
        "revisions": found.value["revisions"] if found.value else [],
        "complete": found.value["complete"] if found.value else True,
        "pending": found.pending and found.value is None,
        "error": found.error or (found.value["reason"] if found.value else None),
        "pipelines": _pipelines(sources, name),
    }


def difference(sources: Sources, name: str, before: str, after: str) -> dict[str, Any]:
    """What differs between two versions; computed in the background.

    Args:
        before, after: git revisions; after "" is the data on disk.

    Raises:
        NotFoundError: there is no such dataset.
    """
    require(sources, name)
    found = sources.differences.get((name, before, after), REVISIONS_WAIT_SECONDS)
    return {
        "name": name,
        "before": before,
        "after": after,
        "pending": found.pending and found.value is None,
        "error": found.error,
        "difference": found.value,
    }


def require(sources: Sources, name: str) -> None:
    """Check that there is a dataset of that name.

    Raises:
        NotFoundError: there is none.
    """
    if not NAME.fullmatch(name) or not (sources.project.dataset(name) / "dataset.yaml").is_file():
        raise NotFoundError("there is no such dataset", got=name[:80], next_step="choose one on the page of all data")


def _row(sources: Sources, name: str) -> dict[str, Any]:
    folder = sources.project.dataset(name)
    try:
        spec = yaml.load((folder / "dataset.yaml").read_bytes(), Loader=_Loader)  # noqa: S506  # a safe loader
        title, task = str(spec.get("title") or ""), str(spec.get("task") or "")
    except (OSError, yaml.YAMLError, AttributeError) as error:
        title, task = f"dataset.yaml cannot be read: {error}", ""
    parts: dict[str, Any] = {}
    for kind in _PARTS:
        try:
            sealed = manifests.load(folder / kind, kind)
            parts[kind] = {"digest": sealed.digest, "bytes": sum(one.bytes for one in sealed.files.values())}
            if kind == "prepared":
                parts["counts"] = sealed.facts.get("counts") or {}
        except ModelyardError as error:
            missing = isinstance(error, NotFoundError)
            parts[kind] = None if missing else {"digest": None, "problem": error.what}
    return {"name": name, "title": title, "task": task, **parts, "reports": _reports(sources, name)}


def _reports(sources: Sources, name: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted(sources.project.reports(name).glob("*.json")):
        page = path.with_suffix(".html")
        if not REPORT.fullmatch(page.name):
            continue
        try:
            results = json.loads(path.read_bytes()).get("results", [])
        except (OSError, ValueError, AttributeError):
            results = []
        met = sum(bool(one.get("success")) for one in results)
        link = f"/data/{name}/reports/{page.name}" if page.is_file() else None
        found.append({"part": path.stem, "met": met, "of": len(results), "page": link})
    return found


def _pipelines(sources: Sources, name: str) -> list[str]:
    """The pipelines of a dataset, by a look at the text of their files: the names are links, nothing rests on them."""
    pattern = re.compile(rf"^dataset:\s*[\"']?{re.escape(name)}[\"']?\s*(#.*)?$", re.MULTILINE)
    found = []
    for path in sorted(sources.project.pipelines.glob("*.yaml")):
        try:
            if pattern.search(path.read_text(encoding="utf-8")):
                found.append(path.stem)
        except (OSError, UnicodeDecodeError):
            continue
    return found
