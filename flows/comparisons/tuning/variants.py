"""From the settings of a trial to a training: the pipeline, its prepared data, its fingerprint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contracts.pipeline import PipelineSpec
from components.contracts.training_request import FIGURES_FILE, TrainingFigures
from components.contracts.tune_spec import TuneSpec
from components.core import located_yaml
from components.core.errors import CorruptArtifactError, NotFoundError, Problem, SpecError, UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import manifest as manifests
from components.registry.api import Api
from components.tasks import compatibility
from flows.comparisons.tuning import applicable, input_variants
from flows.pipelines import fingerprints, pretrained, training_duration
from flows.pipelines.fingerprints import Fingerprint

CODE = "function "  # begins the names of a fingerprint's inputs that are digests of code
MOST_NAMED = 5


@dataclass(frozen=True)
class Variant:
    """A training.

    Args:
        settings: what differs from the pipeline file (and dataset.yaml), by dotted key.
        prepared: folder of the prepared data.
        data_digest: of its manifest.
    """

    settings: Mapping[str, Any]
    spec: PipelineSpec
    prepared: Path
    data_digest: str
    fingerprint: Fingerprint

    def run_folder(self, project: Project) -> Path:
        """The folder of the training's checkpoints and figures."""
        return project.run_folder(self.fingerprint.digest)


@dataclass(frozen=True)
class Recipe:
    """The files of a pipeline as they were when a search began; edits during the search do not mix with it.

    Args:
        name: of the pipeline.
        pipeline, dataset: contents of the pipeline file and of dataset.yaml.
    """

    name: str
    pipeline: str
    dataset: str

    @staticmethod
    def read(project: Project, spec: PipelineSpec) -> Recipe:
        """The files of a pipeline as they are now."""
        dataset = project.dataset(spec.dataset) / "dataset.yaml"
        return Recipe(spec.name, project.pipeline_file(spec.name).read_text("utf-8"), dataset.read_text("utf-8"))


def of(project: Project, recipe: Recipe, settings: Mapping[str, Any], api: Api, log: Log) -> Variant:
    """The training of a recipe with some keys set.

    Raises:
        SpecError: the settings do not fit each other or the task.
        ModelyardError: the data cannot be prepared so.
    """
    file = project.pipeline_file(recipe.name)
    spec = located_yaml.read(file, PipelineSpec, split(settings)[0], content=recipe.pipeline)
    dataset = project.dataset(spec.dataset)
    compatibility.check(spec, file, dataset)
    prepared = input_variants.prepared(project, spec.dataset, recipe.dataset, split(settings)[1], log)
    data_digest = manifests.load(prepared, "prepared").digest
    training = fingerprints.training(spec, data_digest, project.source_root, pretrained.digest(api, spec))
    return Variant(settings, spec, prepared, data_digest, training)


def check_unchanged(recipe: Variant, variant: Variant) -> None:
    """Check that a trial trains with the data and the code that its search began with.

    Raises:
        UsageError: the data was prepared anew, or code was edited, while the search ran.
    """
    again = "call it again: a study of what is there now begins"
    if not split(variant.settings)[1] and variant.data_digest != recipe.data_digest:
        raise UsageError(
            "the data was prepared anew while the search ran",
            where=f"data/{variant.spec.dataset}/prepared",
            got=variant.data_digest,
            expected=recipe.data_digest,
            next_step=again,
        )
    before, now = (
        {name: value for name, value in one.fingerprint.inputs.items() if name.startswith(CODE)}
        for one in (recipe, variant)
    )
    edited = sorted(name.removeprefix(CODE) for name in before.keys() & now.keys() if before[name] != now[name])
    if edited:
        raise UsageError(
            "code was edited while the search ran: its trials would not be comparable",
            got=", ".join(edited[:MOST_NAMED]),
            next_step=again,
        )


def figures(run_folder: Path, fingerprint: str) -> TrainingFigures | None:
    """What a training came to; None if it has not ended. One that another machine did has its parts here, no more."""
    found: TrainingFigures | None
    try:
        found = TrainingFigures.model_validate_json((run_folder / FIGURES_FILE).read_bytes())
    except (OSError, ValueError):
        found = _of_parts(run_folder)
    return found if found is not None and found.train_fingerprint == fingerprint else None


def _of_parts(run_folder: Path) -> TrainingFigures | None:
    """The figures as the sealed parts of a package and the stopwatch have them."""
    seconds = training_duration.seconds(run_folder)
    try:
        facts = manifests.load(run_folder / "trained", "trained").facts
        history = json.loads((run_folder / "trained" / "history.json").read_bytes())["epochs"]
        if seconds is None:
            return None
        return TrainingFigures(
            train_fingerprint=facts["train_fingerprint"], history=history, kept_epoch=facts["kept_epoch"],
            parameters=facts["parameters"], seconds=seconds,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, NotFoundError, CorruptArtifactError):
        return None


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of the pipeline file, a section before the keys in it, and the keys of `input:` in dataset.yaml."""
    ordered = dict(sorted(settings.items(), key=lambda item: item[0].count(".")))
    inputs = {key: value for key, value in ordered.items() if key.startswith("input.")}
    return {key: value for key, value in ordered.items() if key not in inputs}, inputs


def values_of(project: Project, spec: PipelineSpec, tune: TuneSpec) -> dict[str, Any]:
    """The values that the pipeline file and dataset.yaml give to the keys of a space; a key without one is left out."""
    from components import tasks
    from components.contracts.dataset import DatasetSpec
    from components.tasks.dataset_file import settings as read_settings

    file = project.dataset(spec.dataset) / "dataset.yaml"
    dataset = located_yaml.read(file, DatasetSpec)
    document: dict[str, Any] = {
        "model": spec.model.model_dump(mode="json"),
        "train": spec.train.model_dump(mode="json"),
        "input": read_settings(dataset, tasks.find(dataset.task), file).model_dump(mode="json"),
    }
    values = {}
    for key in tune.space:
        if key == "model":
            values[key] = spec.model.model_dump(mode="json", exclude_unset=True)
            continue
        value: Any = document
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            values[key] = value
    return values


def check_space(project: Project, spec: PipelineSpec, tune: TuneSpec) -> None:
    """Check before any training that each key exists and may have each end of its range.

    Raises:
        SpecError: all problems at once, with the lines of `tune:`.
    """
    file = project.pipeline_file(spec.name)
    lines = located_yaml.lines(file)
    problems = []
    for settings in [*tune.corners(), *tune.enqueue]:
        key = list(settings)[-1] if settings else ""
        try:
            changed = located_yaml.read(file, PipelineSpec, split(settings)[0])
            compatibility.check(changed, file, project.dataset(spec.dataset))
            _check_input(project, spec.dataset, split(settings)[1])
        except SpecError as error:
            for problem in error.problems:
                if not _is_about(problem.path, key):  # settings that only fit together are the business of a trial
                    continue
                line = lines.get(("tune", "space", key)) or lines.get(("tune",))
                problems.append(Problem(f"tune.space.{key}", problem.message, line, got=repr(settings[key])))
        except NotFoundError as error:
            problems.append(Problem(f"tune.space.{key}", error.what, lines.get(("tune", "space", key))))
    if not problems:
        for key, (value, reason) in applicable.never(
            tune, values_of(project, spec, tune), _refusal(project, spec)
        ).items():
            message = f"no trial can have it, whatever the other keys are: {reason}"
            line = lines.get(("tune", "space", key)) or lines.get(("tune",))
            problems.append(Problem(f"tune.space.{key}", message, line, got=repr(value)))
    unique = {(problem.path, problem.message, problem.got): problem for problem in problems}
    if unique:
        raise SpecError(str(file), tuple(unique.values()))


def _refusal(project: Project, spec: PipelineSpec) -> applicable.Refusal:
    """Why the contracts refuse settings of the pipeline file or of dataset.yaml."""
    file = project.pipeline_file(spec.name)

    def refusal(settings: Mapping[str, Any]) -> str | None:
        try:
            changed = located_yaml.read(file, PipelineSpec, split(settings)[0])
            compatibility.check(changed, file, project.dataset(spec.dataset))
            _check_input(project, spec.dataset, split(settings)[1])
        except SpecError as error:
            return "; ".join(problem.message for problem in error.problems)
        except NotFoundError as error:
            return error.what
        return None

    return refusal


def _is_about(path: str, key: str) -> bool:
    """Whether a problem is one of the key itself; the location of a model's key has the names of unions in it."""
    if key == "model":
        return path.startswith("model")
    section, _, rest = key.partition(".")
    return path.startswith(section) and path.endswith(rest)


def _check_input(project: Project, dataset: str, overrides: dict[str, Any]) -> None:
    from components import tasks
    from components.contracts.dataset import DatasetSpec
    from components.tasks.dataset_file import settings as read_settings

    if overrides:
        file = project.dataset(dataset) / "dataset.yaml"
        changed = located_yaml.read(file, DatasetSpec, overrides)
        read_settings(changed, tasks.find(changed.task), file)
