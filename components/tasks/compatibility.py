"""Check of a pipeline against its task before any work: metrics of the gates, model, dataset."""

from __future__ import annotations

from pathlib import Path

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.decision_spec import CONFORMAL_METHODS
from components.contracts.pipeline import PipelineSpec
from components.contracts.shapes import LOSS_SETTINGS, ClassesOutput, LabelsOutput, usable_augmentations
from components.core import located_yaml
from components.core.errors import NotFoundError, Problem, SpecError
from components.tasks import row_suite
from components.tasks.task import Task


def check(spec: PipelineSpec, path: Path, dataset: Path) -> Task:
    """The task of a pipeline, after the check.

    Args:
        path: file of the pipeline, for the lines of problems.
        dataset: folder of the dataset; a missing folder is not checked.

    Raises:
        SpecError: there is no such task, or the pipeline does not fit it; all problems at once, with lines.
    """
    try:
        task = tasks.find(spec.task)
    except NotFoundError as error:
        message = f"{error.what}: {error.expected or error.got}"
        raise SpecError(str(path), _located([Problem("task", message, got=spec.task)], path)) from error
    found = problems(spec, task)
    file = dataset / "dataset.yaml"
    if file.is_file():
        theirs = located_yaml.read(file, DatasetSpec)
        found += [*_grey(spec, theirs), *_dataset(spec, task, theirs), *_enforced(spec, task, dataset)]
    if found:
        raise SpecError(str(path), _located(found, path))
    return task


def _enforced(spec: PipelineSpec, task: Task, dataset: Path) -> list[Problem]:
    """That there is something to enforce; a dataset without expectations is refused elsewhere."""
    suite = row_suite.read(dataset, task) if spec.serving.enforce != "none" else None
    if suite is None or suite.expectations:
        return []
    message = f"no expectation of {spec.dataset} can be missed by one request: {suite.summary()}"
    return [Problem("serving.enforce", message, got=spec.serving.enforce)]


def problems(spec: PipelineSpec, task: Task) -> list[Problem]:
    """Everything in a pipeline that does not fit the task."""
    checks = (_gates, _model, _loss, _augmentation, _kept, _answers)
    return [problem for check in checks for problem in check(spec, task)]


def champion_metric(spec: PipelineSpec, task: Task) -> str:
    """The metric that the champion gate compares."""
    named = spec.gates.champion.metric if spec.gates.champion else None
    return named or next(iter(task.metrics))


def _gates(spec: PipelineSpec, task: Task) -> list[Problem]:
    found = []
    known = ", ".join(task.metrics)
    for metric, floor in spec.gates.floors.items():
        place = f"gates.{metric}"
        if metric not in task.metrics:
            found.append(Problem(place, f"unknown key; neither a gate nor a metric of {task.name} ({known})"))
        elif floor.min is not None and not task.metrics[metric].higher_is_better:
            found.append(Problem(f"{place}.min", "lower is better here: set max", got=str(floor.min)))
        elif floor.max is not None and task.metrics[metric].higher_is_better:
            found.append(Problem(f"{place}.max", "higher is better here: set min", got=str(floor.max)))
    champion = spec.gates.champion
    if champion is not None and champion.metric is not None and champion.metric not in task.metrics:
        found.append(Problem("gates.champion.metric", f"no metric of {task.name} ({known})", got=champion.metric))
    elif champion is not None and champion_metric(spec, task) == "accuracy" and not -1 < champion.min_effect < 1:
        got = str(champion.min_effect)
        found.append(Problem("gates.champion.min_effect", "a share of the samples: between -1 and 1", got=got))
    return found


def _model(spec: PipelineSpec, task: Task) -> list[Problem]:
    found = []
    named = f"{spec.model.family} {spec.model.name}"
    input_kind, output_kind = task.input_type.kind, task.output_type.kind
    if spec.model.head == "sigmoid" and output_kind != "classes":
        found.append(Problem("model.head", f"sigmoid is for two classes; {task.name} needs {output_kind}"))
    if not spec.model.supports_input(input_kind):
        allowed = " or ".join(sorted(spec.model.takes))
        found.append(Problem("model", f"{named} takes {allowed}; {task.name} gives {input_kind}"))
    if not spec.model.supports_output(output_kind):
        allowed = " or ".join(sorted(spec.model.gives))
        found.append(Problem("model", f"{named} gives {allowed}; {task.name} needs {output_kind}"))
    return found


def _augmentation(spec: PipelineSpec, task: Task) -> list[Problem]:
    """Settings of `train.augment` that the task's input or output does not allow."""
    usable = usable_augmentations(task.input_type, task.output_type)
    choice = f"it can use {', '.join(usable)}" if usable else "it can use none"
    return [
        Problem(f"train.augment.{name}", f"is no augmentation of {task.name}: {choice}", got=_text(spec, name))
        for name in spec.train.augment.names()
        if name not in usable
    ]


def _text(spec: PipelineSpec, name: str) -> str:
    return str(spec.train.augment.model_dump()[name])


def _grey(spec: PipelineSpec, dataset: DatasetSpec) -> list[Problem]:
    """Changes of colour where the dataset makes grey images."""
    jitter = spec.train.augment.color_jitter
    if jitter is None or dataset.input.get("channels") != 1:
        return []
    return [
        Problem(f"train.augment.color_jitter.{name}", "the images of the dataset are grey: use brightness and contrast")
        for name in ("saturation", "hue")
        if getattr(jitter, name)
    ]


def _loss(spec: PipelineSpec, task: Task) -> list[Problem]:
    """Settings of the loss that have no effect on the task's outputs: they would only make another model's key."""
    return [
        Problem(f"train.{name}", f"has no effect on {task.name}", got=str(getattr(spec.train, name)))
        for name in LOSS_SETTINGS
        if name not in task.output_type.loss_settings
        and getattr(spec.train, name) != type(spec.train).model_fields[name].default
    ]


def _answers(spec: PipelineSpec, task: Task) -> list[Problem]:
    """Decision and conformal prediction of outputs that have none."""
    kind, found = task.output_type.kind, list[Problem]()
    if spec.decision is not None and kind not in (ClassesOutput.kind, LabelsOutput.kind):
        found.append(Problem("decision", f"{task.name} answers with {kind}; a decision needs probabilities of classes"))
    known = CONFORMAL_METHODS.get(kind)
    conformal = spec.serving.conformal
    if conformal is not None and known is None:
        allowed = ", ".join(CONFORMAL_METHODS)
        found.append(Problem("serving.conformal", f"{task.name} answers with {kind}; it is there for {allowed}"))
    elif conformal is not None and known is not None and conformal.method not in ("auto", *known):
        allowed = ", ".join(("auto", *known))
        found.append(Problem("serving.conformal.method", f"of {task.name}: {allowed}", got=conformal.method))
    return found


def _kept(spec: PipelineSpec, task: Task) -> list[Problem]:
    """A figure to keep epochs by that the validation of the task does not have."""
    name, known = spec.train.keep_metric, task.output_type.keep_metrics
    if name is None or known is None or name in known:
        return []
    return [Problem("train.keep_metric", f"the validation of {task.name} has {', '.join(known)}", got=name)]


def _dataset(spec: PipelineSpec, task: Task, dataset: DatasetSpec) -> list[Problem]:
    """What does not fit in the dataset of the pipeline."""
    if dataset.task != spec.task:
        return [Problem("dataset", f"{spec.dataset} is prepared for the task {dataset.task}", got=spec.task)]
    if "weight" in dataset.source_fields() and not task.output_type.weighs_samples:
        message = f"the layout names a column of weights, which the loss of {task.name} does not use: leave weight: out"
        return [Problem("dataset", message, got=spec.dataset)]
    return []


def _located(found: list[Problem], path: Path) -> tuple[Problem, ...]:
    """The problems with their lines, in order of lines; a value of `--set` has the line of the section around it."""
    lines = located_yaml.lines(path) if path.is_file() else {}
    for problem in found:
        place = tuple(problem.path.split("."))
        while place and place not in lines:
            place = place[:-1]
        problem.line = lines.get(place) if place else None
    return tuple(sorted(found, key=lambda problem: problem.line or 0))
