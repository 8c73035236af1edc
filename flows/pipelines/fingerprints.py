"""Fingerprints of a pipeline's products. A fingerprint keeps its inputs, so that a changed input can be named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import tasks
from components.contracts.architectures.custom import CustomSpec
from components.contracts.pipeline import PipelineSpec
from components.identity import digest, outside_files, source_code, user_source

TRAINING = "components.training.stage"
EVALUATION = "components.evaluation.stage"


@dataclass(frozen=True)
class Fingerprint:
    """A digest of named inputs.

    Args:
        inputs: values by dotted name. Two fingerprints are equal if all their inputs are.
    """

    inputs: dict[str, Any]

    @property
    def digest(self) -> str:
        """The sha256 of the inputs, 64 hex digits."""
        return digest.of_value(self.inputs)

    def changes(self, former_inputs: dict[str, Any]) -> list[str]:
        """The differences from the inputs of an earlier fingerprint, one message each."""
        changes = []
        for name in sorted(self.inputs.keys() | former_inputs.keys()):
            old, new = former_inputs.get(name), self.inputs.get(name)
            if old == new:
                continue
            group, _, rest = name.partition(" ")
            if group == "function":
                word = "is new" if old is None else "is gone" if new is None else "changed"
                changes.append(f"{rest} {word}")
            elif len(str(old)) == 64 and len(str(new)) == 64:
                changes.append(f"{name} {digest.short(str(old))} -> {digest.short(str(new))}")
            else:
                changes.append(f"{rest or name} {_format(old)} -> {_format(new)}")
        return changes


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of a run, fixed once its data is prepared; edits of files during the run do not change them."""

    data_digest: str
    train: Fingerprint
    package: Fingerprint


def of(spec: PipelineSpec, data_digest: str, source_root: Path, pretrained_digest: str | None = None) -> Fingerprints:
    """The fingerprints of a pipeline for one dataset digest and the current source code.

    Args:
        pretrained_digest: digest of the package that `registry:<model>@<alias>` resolves to now.
    """
    train = training(spec, data_digest, source_root, pretrained_digest)
    return Fingerprints(data_digest, train, package(train.digest, spec, source_root))


def training(
    spec: PipelineSpec, data_digest: str, source_root: Path, pretrained_digest: str | None = None
) -> Fingerprint:
    """`train_fingerprint`: data, model and train spec, pretrained weights, training code and library versions.

    Raises:
        NotFoundError: there is no such task.
    """
    modules = training_modules(spec)
    return Fingerprint(
        {
            "data": data_digest,
            **({"pretrained": pretrained_digest} if pretrained_digest else {}),
            **_outside_files(spec, source_root),
            **_flat("model", spec.model.model_dump(mode="json")),
            **_flat("train", spec.train.model_dump(mode="json")),
            **_code(user_source.identity(modules, source_root)),
        }
    )


def training_modules(spec: PipelineSpec) -> list[str]:
    """The modules that a training begins with: of ours, and those that the pipeline names.

    Raises:
        NotFoundError: there is no such task.
    """
    task = tasks.find(spec.task)
    named = (task.objective, task.output_type.graph_builder)
    modules = [TRAINING, spec.model.module, tasks.module(spec.task), *(name.partition(":")[0] for name in named)]
    if isinstance(spec.model, CustomSpec):
        modules.append(spec.model.factory.partition(":")[0])
    return modules


def evaluation_modules(spec: PipelineSpec) -> list[str]:
    """As `training_modules`, of the evaluation."""
    return [EVALUATION, tasks.module(spec.task), tasks.find(spec.task).scorer.partition(":")[0]]


def package(train_fingerprint: str, spec: PipelineSpec, source_root: Path) -> Fingerprint:
    """The fingerprint of a package: the training's fingerprint, the evaluation code, and int8, decision and conformal
    prediction where they are asked for.

    Raises:
        NotFoundError: there is no such task.
    """
    modules = evaluation_modules(spec)
    # The package names its pipeline, so two pipelines with one training have a package each.
    serving = spec.serving
    options = {"quantize": serving.quantize, "quantize_max_loss": serving.quantize_max_loss}
    return Fingerprint(
        {
            "training": train_fingerprint,
            "pipeline": spec.name,
            **({} if serving.quantize == "none" else _flat("serving", options)),
            **({} if spec.decision is None else _flat("decision", spec.decision.model_dump(mode="json"))),
            **({} if serving.conformal is None else _flat("conformal", serving.conformal.model_dump(mode="json"))),
            **_code(user_source.identity(modules, source_root)),
        }
    )


def _outside_files(spec: PipelineSpec, root: Path) -> dict[str, str]:
    """Versions of the packages, and contents of the folders, of pretrained weights and of the model's config."""
    found: dict[str, str] = {}
    for source, names in ((spec.model.pretrained, None), (getattr(spec.model, "config", None), ("config.json",))):
        if isinstance(source, str) and not (names and source == spec.model.pretrained):
            files = outside_files.identity(source, names, root)
            found |= {f"contents of {name}": value for name, value in files.folders.items()}
            found |= {f"library {name}": version for name, version in files.packages.items()}
    return found


def _code(identity: source_code.SourceIdentity) -> dict[str, str]:
    functions = {f"function {name}": value for name, value in identity.functions.items()}
    return {**functions, **{f"library {name}": version for name, version in identity.libraries.items()}}


def _flat(prefix: str, value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {name: part for key, inner in value.items() for name, part in _flat(f"{prefix}.{key}", inner).items()}
    return {prefix: value}


def _format(value: object) -> str:
    return "(nothing)" if value is None else str(value)
