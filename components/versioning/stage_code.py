"""The identity of the code of a dataset's stages, in the files that DVC compares.

The identity covers the modules of the stage and the module of the dataset's task: an edited task makes only the
datasets of that task stale.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.core import atomic, located_yaml
from components.core.errors import Problem, SpecError, UsageError
from components.identity import hub_folder, outside_files, user_source
from components.identity.source_code import SourceIdentity
from components.preprocessing.tokenizer_spec import TOKENIZER_FILES
from components.versioning import source_files

STAGES = ("ingest", "validate", "prepare")

_ENTRIES = {
    "ingest": ("components.ingestion.stage",),
    "validate": ("components.validation.stage",),
    "prepare": ("components.preparation.stage", "components.validation.stage"),
}
_WITH_TASK = ("validate", "prepare")


def main(arguments: list[str]) -> None:
    """Write `data/.code/<dataset>/<stage>.json` for each stage; a file with equal content is not written.

    Raises:
        UsageError: not called with one dataset's folder.
        SpecError: dataset.yaml is wrong.
    """
    if len(arguments) != 1:
        raise UsageError("one dataset's folder is expected", got=arguments, expected="data/<dataset>")
    folder = Path(arguments[0])
    for stage in STAGES:
        path = file(Path(), folder.name, stage)
        text = as_text(identity(Path(), folder / "dataset.yaml", stage))
        if not path.is_file() or path.read_text() != text:
            atomic.write_text(path, text)


def file(root: Path, dataset: str, stage: str) -> Path:
    """The file of a stage's code identity."""
    return root / "data" / ".code" / dataset / f"{stage}.json"


def identity(root: Path, dataset: Path, stage: str) -> SourceIdentity:
    """The current identity of a stage's code for the dataset of a dataset.yaml.

    Of ingest, with its source's files; of prepare, with the files of a pretrained tokenizer.

    A source that is not here has the files of the last time: they are not known to have changed.

    Raises:
        SpecError: the file is wrong, or its task is unknown.
    """
    spec = located_yaml.read(dataset, DatasetSpec)
    task = spec.task
    if task not in tasks.MODULES and ":" not in task:
        message = f"no such task; there are {', '.join(tasks.MODULES)}, or package.module:NAME"
        raise SpecError(str(dataset), (Problem("task", message, got=task),))
    code = user_source.identity([*_ENTRIES[stage], *([tasks.module(task)] if stage in _WITH_TASK else [])], root)
    if stage == "prepare":
        return _with_tokenizer(code, spec, root)
    if stage != "ingest":
        return code
    files = source_files.digest_of(root, dataset.parent, spec) or _known_files(root, dataset.parent.name)
    return code if files is None else code._replace(functions={**code.functions, source_files.NAME: files})


def _with_tokenizer(code: SourceIdentity, spec: DatasetSpec, root: Path) -> SourceIdentity:
    """The identity with what `input.tokenizer.source` names: the contents of a folder, or the version of a package."""
    tokenizer = spec.input.get("tokenizer")
    source = tokenizer.get("source") if isinstance(tokenizer, dict) else None
    if not isinstance(source, str):
        return code
    whole = isinstance(tokenizer, dict) and tokenizer.get("kind") == "pretrained"
    names = TOKENIZER_FILES
    if whole:
        sounds = hub_folder.PROCESSOR_FILES if "sound" in spec.source_fields() else ()
        names = (*hub_folder.TOKENIZER_FILES, *hub_folder.CONFIG_FILES, *sounds)
    found = outside_files.identity(source, names, root)
    functions = {f"the tokenizer of {name}": value for name, value in found.folders.items()}
    libraries = {**code.libraries, **found.packages}
    if whole:  # it reads the tokenizer; other tokenizers do without it
        libraries["transformers"] = metadata.version("transformers")
    return code._replace(functions={**code.functions, **functions}, libraries=libraries)


def _known_files(root: Path, dataset: str) -> str | None:
    """The digest of a source's files in the file of ingest's code."""
    try:
        found = json.loads(file(root, dataset, "ingest").read_text())["functions"].get(source_files.NAME)
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return str(found) if found is not None else None


def as_text(code: SourceIdentity) -> str:
    """The content of a stage's file."""
    return json.dumps(code._asdict(), indent=1, sort_keys=True) + "\n"
