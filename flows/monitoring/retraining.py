"""Train a model again, as an order of the monitor says, and let the new version run beside the champion."""

from __future__ import annotations

from components.contracts.labelled_request import LabelledRequest, LabelledResult
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.monitoring.policy import MonitorOrder
from components.registry import versions
from flows.comparisons import pipeline_file
from flows.monitoring.context import MonitorContext
from flows.pipelines import stage_requests
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner

ADDED = "added.json"


def retrain(context: MonitorContext, order: MonitorOrder, how: str) -> tuple[str, dict[str, object]]:
    """Run the pipeline on new data; a new version that passes its gates becomes challenger.

    Returns:
        What came of it in words, and facts for the ledger.

    Raises:
        UsageError: labelled answers are asked for, and cannot be added to this dataset.
        ModelyardError: the pipeline fails: red data, a floor that is not reached, ...
    """
    retrain_spec = context.spec.actions.retrain
    facts: dict[str, object] = {}
    if retrain_spec.data == "log":
        added = _add_labelled(context)
        facts["added"] = added.model_dump(mode="json")
        if added.path is None:
            return (
                f"nothing was trained: {added.samples:,} new labelled answers, and retrain.min_labels is "
                f"{retrain_spec.min_labels:,}{_reasons(added)}",
                facts,
            )
    version = _run(context, from_source=retrain_spec.data == "source")
    champion = versions.by_alias(context.api, context.name, "champion")
    facts["version"] = version
    if champion is not None and champion.version == version:
        return f"version {version} is what serves: data and code are as they were", facts
    challenger = versions.by_alias(context.api, context.name, "challenger")
    if challenger is not None and challenger.version == version:
        return f"version {version} is challenger already", facts
    versions.set_alias(context.api, context.name, "challenger", version, how)
    return f"version {version} was trained and is asked for as challenger", facts


def _run(context: MonitorContext, *, from_source: bool) -> str:
    """Bring the pipeline up to date, as a flow run of its own; returns the version."""
    from flows.pipelines.flow import pipeline

    planned = pipeline(context.name, ["ingest"] if from_source else [])
    if planned.bundle is None:
        raise UsageError("the pipeline made no version", where=str(context.project.pipeline_file(context.name)))
    return str(planned.bundle.version.version)


def _add_labelled(context: MonitorContext) -> LabelledResult:
    """Write labelled answers as a file of samples and name it in dataset.yaml."""
    project = context.project
    dataset = project.dataset(context.pipeline.dataset)
    target = project.monitoring(context.name) / ADDED
    request = LabelledRequest(
        log=project.predictions(context.name).relative_to(project.root).as_posix(),
        dataset=dataset.relative_to(project.root).as_posix(),
        min_labels=context.spec.actions.retrain.min_labels,
        target=target.relative_to(project.root).as_posix(),
    )
    stage = stage_requests.labelled_samples(project, context.name, request)
    stage_runner.run(LocalProcessRunner(project.root), stage, context.log, context.log)
    found = LabelledResult.model_validate_json(target.read_bytes())
    if found.path is not None:
        _name_in_dataset(context, found)
    return found


def _name_in_dataset(context: MonitorContext, found: LabelledResult) -> None:
    from components.contracts.dataset import DatasetSpec

    file = context.project.dataset(context.pipeline.dataset) / "dataset.yaml"
    added = [one.model_dump(mode="json") for one in located_yaml.read(file, DatasetSpec).source.added]
    if all(one["path"] != found.path for one in added):
        added.append({"path": found.path, "sha256": found.sha256})
        pipeline_file.set_keys(file, {"source.added": added})
    located_yaml.read(file, DatasetSpec)
    located_yaml.read(context.project.pipeline_file(context.name), PipelineSpec)


def _reasons(added: LabelledResult) -> str:
    if not added.left_out:
        return ""
    return "; left out: " + ", ".join(f"{count:,} as {reason}" for reason, count in added.left_out.items())
