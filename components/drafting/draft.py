"""`data/<name>/` and `pipelines/<name>.yaml`, written from the data; nothing that is there is overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.core import atomic, located_yaml
from components.core.errors import SourceError, UsageError
from components.core.project import Project
from components.drafting import defaults, expectations, profile
from components.drafting.profile import Profile
from components.drafting.recognise import Recognised, inner, recognise
from components.tasks import compatibility
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task

# Tasks that take what another task's files hold.
SAME_FILES = {"image-generation": "image-classification", "text-generation": "text-classification"}


class Draft(NamedTuple):
    """What was written.

    Args:
        why: what the task was recognised by.
        files: relative to the project.
    """

    task: str
    why: str
    samples: int
    labels: int
    files: list[str]


def write(project: Project, name: str, place: Path, task: str | None = None) -> Draft:
    """Recognise, look at every sample, and write.

    Args:
        task: instead of the one recognised.

    Raises:
        UsageError: something of that name is there, or the name is none.
        SourceError: nothing is recognised, or the source cannot be read.
        SpecError: the files are not for that task.
    """
    folder, file = project.dataset(name), project.pipeline_file(name)
    taken = [path for path in (folder, file) if path.exists()]
    if taken or name in _listed(project):
        where = ", ".join(str(path.relative_to(project.root)) for path in taken) or "params.yaml"
        raise UsageError(f"there is a {name} already", where=where, next_step="choose another name, or remove it")
    place = inner(place)
    found = _for(recognise(place), task)
    chosen = task or found.task
    document: dict[str, Any] = {
        "name": name,
        "task": chosen,
        "title": name.replace("-", " ").capitalize(),
        "source": _source(found, place, folder),
    }
    with atomic.folder(folder) as fresh:
        # Relative paths of a source are taken from the dataset's folder: the first look is by the absolute one.
        first = {**document, "source": {**document["source"], "path": str(place.resolve())}}
        spec, known = _opened(fresh, first)
        looked = profile.describe(known, spec, fresh, str(place))
        if known.output_kind == "classes" and len(looked.labels) < 2:
            got = ", ".join(looked.labels)
            raise SourceError(
                "a single class: there is nothing to tell apart", where=str(place), got=got, expected="several labels"
            )
        document["split"] = defaults.split(chosen, looked)
        document["input"] = defaults.of(chosen, looked, found.layout)
        planned = defaults.pipeline(name, chosen, looked.samples)
        _dump(fresh / "dataset.yaml", document, f"Drafted from {place.name}: {found.why}.")
        open_dataset(fresh)
        _write_expectations(fresh / "expectations.json", expectations.expectations(known, looked, str(place)))
        (fresh / "README.md").write_text(_card(name, place, found, looked), encoding="utf-8")
    try:
        _dump(file, planned, f"{known.name}: a small network to begin with.")
        compatibility.check(located_yaml.read(file, PipelineSpec), file, folder)
        _list(project, name)
    except BaseException:
        shutil.rmtree(folder)
        file.unlink(missing_ok=True)
        raise
    written = [f"data/{name}/{part}" for part in ("dataset.yaml", "expectations.json", "README.md")]
    files = [*written, f"pipelines/{name}.yaml", "params.yaml"]
    return Draft(chosen, found.why, looked.samples, len(looked.labels), files)


def _for(found: Recognised, task: str | None) -> Recognised:
    """As another task reads the same files."""
    if task == "text-generation" and "text" in found.layout:
        return found._replace(layout={**found.layout, "label": None})
    return found


def _source(found: Recognised, place: Path, folder: Path) -> dict[str, Any]:
    """`source:`, with a path relative to the dataset's folder where the data lies in the project."""
    whole = place.resolve()
    project = folder.parent.parent.resolve()
    inside = whole.is_relative_to(project)
    path = str(Path("../..") / whole.relative_to(project)) if inside else str(whole)
    if place.is_file():
        own = {key: value for key, value in found.layout.items() if key not in ("kind", "files")}
        return {"kind": found.layout["kind"], "path": path, **own}
    if found.layout["kind"] == "folder":
        return {"kind": "folder", "path": path, **{k: v for k, v in found.layout.items() if k == "splits"}}
    return {"kind": "folder", "path": path, "layout": found.layout}


def _opened(folder: Path, document: dict[str, Any]) -> tuple[DatasetSpec, Task]:
    """The spec so far, and its task; that the source's fields are the task's is checked here."""
    _dump(folder / "dataset.yaml", document, "")
    spec = located_yaml.read(folder / "dataset.yaml", DatasetSpec)
    task = tasks.find(spec.task)
    fields = spec.source_fields()
    missing = [name for name in task.fields if name not in fields]
    if missing:
        raise SourceError(
            f"these files are not for {spec.task}",
            where=str(document["source"]["path"]),
            got=f"samples with {' and '.join(fields)}",
            expected=f"samples with {' and '.join(task.fields)}",
        )
    return spec, task


def _card(name: str, place: Path, found: Recognised, looked: Profile) -> str:
    shares = ", ".join(f"{label} {count:,}" for label, count in looked.labels.most_common(20)) or "none"
    splits = ", ".join(f"{split or 'open'} {count:,}" for split, count in sorted(looked.splits.items()))
    return (
        f"# {name}\n\nDrafted by `modelyard new`. Say here what this is, who made it and under which licence.\n\n"
        f"| | |\n|---|---|\n| source | `{place}` |\n| origin | |\n| licence | |\n| recognised by | {found.why} |\n"
        f"| samples | {looked.samples:,} ({splits}) |\n| labels | {shares} |\n"
        f"| contents that stand there several times | {sum(n > 1 for n in looked.copies.values()):,} |\n"
    )


def _dump(path: Path, document: dict[str, Any], comment: str) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    atomic.write_text(path, (f"# {comment}\n" if comment else "") + text)


def _write_expectations(path: Path, document: dict[str, list[dict[str, Any]]]) -> None:
    """One expectation a line."""
    parts = []
    for part, found in document.items():
        lines = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in found)
        parts.append(f'  "{part}": [\n{lines}\n  ]')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _listed(project: Project) -> list[str]:
    path = project.root / "params.yaml"
    document = yaml.safe_load(path.read_text()) if path.is_file() else None
    return list((document or {}).get("datasets") or [])


def _list(project: Project, name: str) -> None:
    """Add a dataset to params.yaml behind the last one; everything else in it stays as it is."""
    path = project.root / "params.yaml"
    lines = path.read_text().splitlines() if path.is_file() else ["datasets:"]
    begin = next(number for number, line in enumerate(lines) if line.startswith("datasets:"))
    end = begin + 1
    while end < len(lines) and lines[end].lstrip().startswith(("-", "#")):
        end += 1
    lines.insert(end, f"  - {name}")
    atomic.write_text(path, "\n".join(lines) + "\n")
    if name not in _listed(project):
        raise UsageError(
            "params.yaml is not written as it was expected", where=str(path), next_step=f"add {name} to datasets"
        )
