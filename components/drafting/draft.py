"""Write `data/<name>/` and `pipelines/<name>.yaml` from the data; existing files are not overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.core import atomic, located_yaml
from components.core.errors import SourceError, SpecError, UsageError
from components.core.project import Project
from components.drafting import expectations, likely_wrong, profile, split_sizes
from components.drafting.draft_options import DraftOptions
from components.drafting.profile import Profile
from components.drafting.recognise import recognise
from components.drafting.recognised import Recognised
from components.ingestion import archive, unpacked, visible_files
from components.tasks import appearance, compatibility
from components.tasks.dataset_file import open_dataset
from components.tasks.task import Task


class Draft(NamedTuple):
    """The result of a draft.

    Args:
        why: how the task was recognised.
        samples, labels: number of samples, number of different labels.
        files: the written files, relative to the project.
        notes: what a person should know: what is left out or assumed, samples that cannot be read, settings chosen from
            the data, what is likely to be wrong; one sentence each.
    """

    task: str
    why: str
    samples: int
    labels: int
    files: list[str]
    notes: list[str]


def write(project: Project, name: str, source: Path, task: str | None = None, label: str | None = None) -> Draft:
    """Recognise the layout, profile every sample, and write the files.

    Args:
        name: name of the dataset and of the pipeline.
        source: file or folder of the samples, or an archive of a folder.
        task: name of the task, or `package.module:NAME`; default: the task that reads the fields of the samples.
        label: column of the label or target of a table; default: the one that looks like it.

    Raises:
        UsageError: a dataset or pipeline of that name exists, or the task has no defaults.
        SourceError: the layout is not recognised, the source cannot be read, or its samples do not fit the task.
        SpecError: the written files do not fit their contracts.
    """
    folder, file = project.dataset(name), project.pipeline_file(name)
    existing = [path for path in (folder, file) if path.exists()]
    if existing or name in _listed_datasets(project):
        where = ", ".join(str(path.relative_to(project.root)) for path in existing) or "params.yaml"
        raise UsageError(f"there is a {name} already", where=where, next_step="choose another name, or remove it")
    source = _single_archive(visible_files.innermost(source))
    options = DraftOptions(label, None if task is None else frozenset(tasks.find(task).fields))
    with unpacked.folder(source, name) as content:
        recognised = recognise(content, options)
    task_name, task_spec = _choose_task(recognised, task, source)
    recognised = recognised._replace(layout=task_spec.draft_layout(recognised.layout))
    document: dict[str, Any] = {
        "name": name,
        "task": task_name,
        "title": name.replace("-", " ").capitalize(),
        "source": _source(recognised, source, folder),
    }
    with _fresh(folder) as fresh:
        # The dataset is still in a temporary folder, where a relative path of its source would be wrong.
        place = (folder.resolve() / document["source"]["path"]).resolve()
        absolute = {**document, "source": {**document["source"], "path": str(place)}}
        spec = _read_spec(fresh, absolute, task_spec)
        samples = profile.describe(task_spec, spec, fresh, str(source))
        classes = samples.labels or samples.classes
        if len(classes) < task_spec.output_type.min_labels:
            what = "a single class: there is nothing to tell apart" if classes else "no sample has a label"
            raise SourceError(what, where=str(source), got=", ".join(classes), expected="several labels")
        likely_wrong.check(samples, str(source))
        samples.require_readable(str(source))
        document["split"] = _kept_together(task_spec.draft_split(samples), spec, task_spec)
        document["input"] = task_spec.draft_settings(samples, recognised.layout)
        if "levels" in document["input"]:  # what a picture is, depends on them
            chosen = task_spec.settings.model_validate(document["input"])
            samples = profile.describe(task_spec, spec, fresh, str(source), chosen)
        notes = [
            *recognised.remarks,
            *samples.remarks,
            *samples.unreadable_notes(),
            *task_spec.draft_notes(samples, document["input"]),
            *likely_wrong.notes(
                samples, document["split"], equal_samples_differ=getattr(task_spec, "equal_samples_differ", False)
            ),
        ]
        pipeline = {
            "name": name,
            "task": task_name,
            "dataset": name,
            **split_sizes.training(task_spec, samples, document["split"], document["input"]),
        }
        _dump(fresh / "dataset.yaml", document, f"Drafted from {source.name}: {recognised.why}.")
        open_dataset(fresh)
        _write_expectations(fresh / "expectations.json", expectations.expectations(task_spec, samples, str(source)))
        (fresh / "README.md").write_text(_readme(name, source, recognised, samples, notes), encoding="utf-8")
    try:
        _dump(file, pipeline, f"{task_spec.name}: to begin with; `modelyard try {name}` compares others.")
        compatibility.check(located_yaml.read(file, PipelineSpec), file, folder)
        _add_to_params(project, name)
    except BaseException:
        shutil.rmtree(folder)
        file.unlink(missing_ok=True)
        raise
    written = [f"data/{name}/{part}" for part in ("dataset.yaml", "expectations.json", "README.md")]
    files = [*written, f"pipelines/{name}.yaml", "params.yaml"]
    return Draft(task_name, recognised.why, samples.samples, len(classes), files, notes)


def _kept_together(split: dict[str, Any], spec: DatasetSpec, task: Task) -> dict[str, Any]:
    """A drafted split by sample keeps the groups that the source's samples have, and near-duplicates."""
    if split.get("by", "sample") != "sample":
        return split
    groups = {"group": "group"} if "group" in spec.source_fields() else {}
    near = {"near_duplicates": "together"} if appearance.is_comparable(task) else {}
    return {**split, **groups, **near}


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """The dataset's folder while it is written, elsewhere; problems of its spec are named as of the folder itself."""
    try:
        with atomic.folder(folder) as fresh:
            yield fresh
    except SpecError as error:
        raise SpecError(str(folder / "dataset.yaml"), error.problems) from error


def _single_archive(source: Path) -> Path:
    """The archive that is the only file of a folder; else the source itself."""
    files = visible_files.children(source) if source.is_dir() else []
    return files[0] if len(files) == 1 and files[0].is_file() and archive.is_archive(files[0]) else source


def _choose_task(recognised: Recognised, name: str | None, source: Path) -> tuple[str, Task]:
    """Name and object of the given task, or else of the task for the recognised fields."""
    name = name or recognised.task
    if name is None:
        raise SourceError("no task reads samples like these", where=str(source), got=recognised.why)
    task = tasks.find(name)
    if not getattr(task, "starting_model", None):
        raise UsageError(
            "the task has no defaults for a draft",
            got=name,
            expected="a class that inherits components.tasks.task_defaults.TaskDefaults, with a starting_model",
            next_step="write data/NAME/dataset.yaml and pipelines/NAME.yaml by hand",
        )
    return name, task


def _source(recognised: Recognised, source: Path, folder: Path) -> dict[str, Any]:
    """The section `source:`; its path is relative to the dataset's folder if the data is in the project."""
    absolute = source.resolve()
    project = folder.parent.parent.resolve()
    in_project = absolute.is_relative_to(project)
    path = str(Path("../..") / absolute.relative_to(project)) if in_project else str(absolute)
    if source.is_file() and archive.is_archive(source):
        return {"kind": "folder", "path": path, "layout": recognised.layout}
    if source.is_file() and recognised.layout["kind"] not in ("csv", "tsv", "jsonl", "parquet"):
        return {"kind": "folder", "path": str(Path(path).parent), "layout": recognised.layout}
    if source.is_file():
        options = {key: value for key, value in recognised.layout.items() if key not in ("kind", "files")}
        return {"kind": recognised.layout["kind"], "path": path, **options}
    if recognised.layout["kind"] == "folder" and not recognised.layout.get("text"):
        return {"kind": "folder", "path": path, **{k: v for k, v in recognised.layout.items() if k == "splits"}}
    return {"kind": "folder", "path": path, "layout": recognised.layout}


def _read_spec(folder: Path, document: dict[str, Any], task: Task) -> DatasetSpec:
    """Write and read the incomplete spec; its source must have the fields of the task."""
    _dump(folder / "dataset.yaml", document, "")
    spec = located_yaml.read(folder / "dataset.yaml", DatasetSpec)
    fields = spec.source_fields()
    missing = [name for name in task.fields if name not in fields]
    if missing:
        raise SourceError(
            f"these files are not for {spec.task}",
            where=str(document["source"]["path"]),
            got=f"samples with {' and '.join(fields)}",
            expected=f"samples with {' and '.join(task.fields)}",
        )
    return spec


def _readme(name: str, source: Path, recognised: Recognised, samples: Profile, notes: list[str]) -> str:
    classes = samples.labels or samples.classes
    shares = ", ".join(f"{label} {count:,}" for label, count in classes.most_common(20)) or "none"
    splits = ", ".join(f"{split or 'open'} {count:,}" for split, count in sorted(samples.splits.items()))
    return (
        f"# {name}\n\nDrafted by `modelyard new`. Say here what this is, who made it and under which licence.\n\n"
        f"| | |\n|---|---|\n| source | `{source}` |\n| origin | |\n| licence | |\n"
        f"| recognised by | {recognised.why} |\n"
        f"| samples | {samples.samples:,} ({splits}) |\n| labels | {shares} |\n"
        f"| contents that occur several times | {sum(n > 1 for n in samples.copies.values()):,} |\n"
        + "".join(f"| note | {note} |\n" for note in notes)
    )


def _dump(path: Path, document: dict[str, Any], comment: str) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    atomic.write_text(path, (f"# {comment}\n" if comment else "") + text)


def _write_expectations(path: Path, document: dict[str, list[dict[str, Any]]]) -> None:
    """One expectation a line."""
    parts = []
    for part, recognised in document.items():
        lines = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in recognised)
        parts.append(f'  "{part}": [\n{lines}\n  ]')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _listed_datasets(project: Project) -> list[str]:
    path = project.root / "params.yaml"
    document = yaml.safe_load(path.read_text()) if path.is_file() else None
    return list((document or {}).get("datasets") or [])


def _add_to_params(project: Project, name: str) -> None:
    """Add a dataset to params.yaml after the last one; the rest of the file is unchanged."""
    path = project.root / "params.yaml"
    lines = path.read_text().splitlines() if path.is_file() else ["datasets:"]
    begin = next(number for number, line in enumerate(lines) if line.startswith("datasets:"))
    end = begin + 1
    while end < len(lines) and lines[end].lstrip().startswith(("-", "#")):
        end += 1
    items = [line for line in lines[begin + 1 : end] if line.lstrip().startswith("-")]
    indent = items[-1].partition("-")[0] if items else "  "
    lines.insert(end, f"{indent}- {name}")
    atomic.write_text(path, "\n".join(lines) + "\n")
    if name not in _listed_datasets(project):
        raise UsageError(
            "params.yaml is not written as it was expected", where=str(path), next_step=f"add {name} to datasets"
        )
