"""Builds the `StageRequest` of each stage; every input is named by its digest.

Paths are relative to the project's folder; a stage's workspace has the same layout on any machine.
"""

from __future__ import annotations

from pathlib import Path

from components import tasks
from components.contracts.advice import ReportRequest, SizesRequest
from components.contracts.comparison import ComparisonRequest
from components.contracts.drift_request import DriftRequest
from components.contracts.evaluation_request import EvaluationRequest
from components.contracts.gate_request import GateRequest
from components.contracts.labelled_request import LabelledRequest
from components.contracts.live_request import LiveRequest
from components.contracts.pipeline import PipelineSpec
from components.contracts.rehearsal_request import RehearsalRequest
from components.contracts.stage_request import PlacedArtifact, StageOutput, StageRequest
from components.contracts.training_request import AUGMENTED_FILE, TrainRequest
from components.contracts.tune_report import RatePlotRequest, TuneReportRequest
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity.manifest import Kind
from components.identity.package import Package
from components.packaging.bundle_request import BundleRequest
from components.tasks import conformal_check, decision_check
from flows.pipelines.bundle_plan import BundlePlan
from flows.pipelines.fingerprints import Fingerprints


def training(
    project: Project,
    spec: PipelineSpec,
    fingerprints: Fingerprints,
    pretrained: Package | None,
    *,
    afresh: bool = False,
    force: bool = False,
    profile: bool = False,
) -> StageRequest:
    """Train, or resume from the checkpoint.

    Args:
        pretrained: the registered package that the training starts from, if any.
        afresh: remove the run folder of an earlier attempt first.
        force: the training was asked for although its result is known.
        profile: record where the time goes.
    """
    run_folder = _place(project, project.run_folder(fingerprints.train.digest))
    document = _train_request(project, spec, fingerprints, run_folder, pretrained)
    return trial(
        project,
        document.model_copy(update={"profile": profile, "forced": force}),
        pretrained,
        outputs=(
            StageOutput(kind="trained", path=f"{run_folder}/trained"),
            StageOutput(kind="report", path=f"{run_folder}/tensorboard"),
            StageOutput(kind="report", path=f"{run_folder}/{AUGMENTED_FILE.partition('/')[0]}"),
            *((StageOutput(kind="report", path=f"{run_folder}/profile"),) if profile else ()),
        ),
        afresh=afresh,
    )


def forced_and_interrupted(run_folder: Path) -> bool:
    """Whether a run folder has the checkpoint of a forced training that did not come to its end."""
    try:
        request = TrainRequest.model_validate_json((run_folder / "request.json").read_bytes())
    except (OSError, ValueError):
        return False
    ended = (run_folder / "trained" / manifests.FILE_NAME).is_file()
    return request.forced and not ended and any((run_folder / "checkpoints").glob("*"))


def trial(
    project: Project,
    document: TrainRequest,
    pretrained: Package | None,
    *,
    outputs: tuple[StageOutput, ...] = (),
    afresh: bool = True,
) -> StageRequest:
    """A training with explicit outputs; an epoch-time trial is stopped early and has none."""
    return StageRequest(
        stage="training",
        document=document.model_dump_json(),
        request_file=f"{document.run_folder}/request.json",
        inputs=(
            PlacedArtifact(kind="prepared", digest=document.data_digest, path=document.prepared),
            *((_package(project, pretrained),) if pretrained is not None else ()),
        ),
        outputs=outputs,
        discard=(document.run_folder,) if afresh else (),
    )


def trial_training(
    project: Project,
    spec: PipelineSpec,
    train_fingerprint: str,
    data_digest: str,
    prepared: Path,
    pretrained: Package | None,
    *,
    cores: int | None,
    is_remote: bool = False,
) -> StageRequest:
    """Train, or resume from the checkpoint, without the parts of a package; a later `training` goes on from there.

    Args:
        prepared: the folder of the prepared data.
        cores: processor cores for it.
        is_remote: another machine runs it: the run folder, with figures and checkpoint, is brought back.
    """
    run_folder = _place(project, project.run_folder(train_fingerprint))
    document = TrainRequest(
        pipeline=spec.name,
        train_fingerprint=train_fingerprint,
        data_digest=data_digest,
        prepared=_place(project, prepared),
        run_folder=run_folder,
        package="",
        model=spec.model,
        train=spec.train,
        lineage={},
        pretrained_folder=None if pretrained is None else _place(project, pretrained.folder),
        parts=False,
        cores=cores,
    )
    outputs = (StageOutput(kind="report", path=run_folder),) if is_remote else ()
    return trial(project, document, pretrained, outputs=outputs, afresh=False)


def rate_range(
    project: Project,
    spec: PipelineSpec,
    train_fingerprint: str,
    data_digest: str,
    folder: Path,
    pretrained: Package | None,
    rates: tuple[float, float, int],
) -> StageRequest:
    """A learning-rate range test.

    Args:
        folder: of its curve.
        rates: lowest and highest learning rate, and number of batches.
    """
    document = TrainRequest(
        pipeline=spec.name,
        train_fingerprint=train_fingerprint,
        data_digest=data_digest,
        prepared=_place(project, project.dataset(spec.dataset) / "prepared"),
        run_folder=_place(project, folder),
        package="",
        model=spec.model,
        train=spec.train,
        lineage={},
        pretrained_folder=None if pretrained is None else _place(project, pretrained.folder),
        rates=rates,
    )
    return trial(project, document, pretrained)


def evaluation(project: Project, spec: PipelineSpec, fingerprints: Fingerprints) -> StageRequest:
    """Score the trained model and seal the package.

    Raises:
        NotFoundError: the run folder has no trained model.
    """
    run_folder = _place(project, project.run_folder(fingerprints.train.digest))
    training_request = _train_request(project, spec, fingerprints, run_folder, None)
    document = EvaluationRequest(
        **dict(training_request),
        quantize=spec.serving.quantize,
        quantize_max_loss=spec.serving.quantize_max_loss,
        decision=spec.decision,
        conformal=spec.serving.conformal,
    )
    return StageRequest(
        stage="evaluation",
        document=document.model_dump_json(),
        request_file=f"{run_folder}/evaluation.json",
        inputs=(
            PlacedArtifact(kind="prepared", digest=document.data_digest, path=document.prepared),
            _sealed(project, project.run_folder(fingerprints.train.digest) / "trained", "trained"),
        ),
        outputs=(
            StageOutput(kind="package", path=document.package),
            StageOutput(kind="report", path=f"{run_folder}/plots"),
        ),
    )


def packaging(project: Project, spec: PipelineSpec, plan: BundlePlan, package: Package, *, force: bool) -> StageRequest:
    """Build the bundle of a version.

    Args:
        force: build even if the bundle exists; an existing bundle is replaced only if it is damaged.
    """
    document = BundleRequest(
        model=spec.name,
        version=plan.version.version,
        key=plan.fingerprint.digest,
        package=_place(project, package.folder),
        home=_place(project, project.bundles),
        requirements=plan.requirements,
        hashes=plan.hashes,
        serving=spec.serving,
        row_expectations=plan.row_expectations,
        force=force,
    )
    return StageRequest(
        stage="packaging",
        document=document.model_dump_json(),
        request_file=_request_file(project, f"bundle-{plan.fingerprint.digest[:16]}"),
        inputs=(_package(project, package),),
        outputs=(StageOutput(kind="bento", path=_place(project, plan.bundle.folder)),),
    )


def comparison(project: Project, name: str, document: ComparisonRequest) -> StageRequest:
    """Compare trained models.

    Args:
        name: the comparison's name.
    """
    return StageRequest(
        stage="comparison",
        document=document.model_dump_json(),
        request_file=_request_file(project, name),
        inputs=(
            PlacedArtifact(kind="prepared", digest=document.data_digest, path=document.prepared),
            *(_sealed(project, project.root / model.package, "package") for model in document.models),
        ),
        outputs=(StageOutput(kind="report", path=document.target),),
    )


def tune_report(project: Project, name: str, document: TuneReportRequest) -> StageRequest:
    """Write the report of a study.

    Args:
        name: of the study.
    """
    return StageRequest(
        stage="tuning",
        document=document.model_dump_json(),
        request_file=_request_file(project, f"tune-{name}"),
        outputs=(StageOutput(kind="report", path=document.target),),
    )


def rate_plot(project: Project, name: str, document: RatePlotRequest) -> StageRequest:
    """Draw the curve of a learning-rate range test.

    Args:
        name: of the request's file.
    """
    return StageRequest(stage="tuning", document=document.model_dump_json(), request_file=_request_file(project, name))


def advice(project: Project, name: str, document: SizesRequest | ReportRequest) -> StageRequest:
    """Count parameters, or measure experiments and write an advice.

    Args:
        name: the name of the request's file.
    """
    trained = [project.root / one.trained for one in getattr(document, "experiments", ())]
    return StageRequest(
        stage="advice",
        document=document.model_dump_json(),
        request_file=_request_file(project, name),
        inputs=(
            PlacedArtifact(kind="prepared", digest=document.data_digest, path=document.prepared),
            *(_sealed(project, folder, "trained") for folder in trained),
        ),
        outputs=(StageOutput(kind="report", path=document.target),),
    )


def monitoring(project: Project, document: DriftRequest) -> StageRequest:
    """Judge the windows of a prediction log."""
    return StageRequest(
        stage="monitoring",
        document=document.model_dump_json(),
        request_file=_request_file(project, f"monitoring-{document.model}"),
    )


def rehearsal(project: Project, document: RehearsalRequest) -> StageRequest:
    """Rehearse monitoring policies."""
    return StageRequest(
        stage="rehearsal",
        document=document.model_dump_json(exclude_unset=True),  # a scenario refuses what it does not use
        request_file=_request_file(project, f"rehearsal-{document.model}"),
    )


def live_labels(project: Project, document: LiveRequest) -> StageRequest:
    """Read what the labels of a prediction log say until now."""
    return StageRequest(
        stage="monitoring.live_stage",
        document=document.model_dump_json(),
        request_file=_request_file(project, f"labels-{document.model}"),
    )


def labelled_samples(project: Project, name: str, document: LabelledRequest) -> StageRequest:
    """Write labelled answers as samples beside a dataset.

    Args:
        name: of the model.
    """
    return StageRequest(
        stage="monitoring.labelled_stage",
        document=document.model_dump_json(),
        request_file=_request_file(project, f"labelled-{name}"),
    )


def gates(project: Project, name: str, document: GateRequest) -> StageRequest:
    """Run the release gates on a candidate.

    Args:
        name: the name of the request's file.
        document: absolute paths are made relative to the project. A damaged or missing bundle or dataset is not listed
            as an input; the gates refuse it.
    """
    bundles = [bundle for bundle in (document.candidate, document.champion) if bundle is not None]
    dataset = project.root / document.dataset
    sealed: tuple[Kind, ...] = ("prepared", "validated")
    inside = document.model_copy(
        update={
            "candidate": document.candidate.model_copy(update={"bundle": _inside(project, document.candidate.bundle)}),
            "champion": document.champion
            and document.champion.model_copy(update={"bundle": _inside(project, document.champion.bundle)}),
            "folder": _inside(project, document.folder),
        }
    )
    return StageRequest(
        stage="gates",
        document=inside.model_dump_json(),
        request_file=_request_file(project, name),
        inputs=(
            *(artifact for bundle in bundles for artifact in _whole(project, project.root / bundle.bundle, "bento")),
            *(artifact for kind in sealed for artifact in _whole(project, dataset / kind, kind)),
        ),
        outputs=(StageOutput(kind="report", path=inside.folder),),
    )


def _train_request(
    project: Project, spec: PipelineSpec, fingerprints: Fingerprints, run_folder: str, pretrained: Package | None
) -> TrainRequest:
    prepared = project.dataset(spec.dataset) / "prepared"
    facts = manifests.load(prepared, "prepared").facts
    if spec.decision is not None:
        decision_check.check(spec.decision, tasks.find(spec.task).output_type.kind, facts["classes"])
    if spec.serving.conformal is not None:
        conformal_check.check(spec.serving.conformal, facts["counts"]["validation"])
    return TrainRequest(
        pipeline=spec.name,
        train_fingerprint=fingerprints.train.digest,
        data_digest=fingerprints.data_digest,
        prepared=_place(project, prepared),
        run_folder=run_folder,
        package=_place(project, project.package(fingerprints.package.digest)),
        model=spec.model,
        train=spec.train,
        lineage={"raw_digest": str(facts["raw_digest"]), "validated_digest": str(facts["validated_digest"])},
        pretrained_folder=None if pretrained is None else _place(project, pretrained.folder),
        track=spec.track,
    )


def _package(project: Project, package: Package) -> PlacedArtifact:
    return PlacedArtifact(kind="package", digest=package.digest, path=_place(project, package.folder))


def _sealed(project: Project, folder: Path, kind: Kind) -> PlacedArtifact:
    return PlacedArtifact(kind=kind, digest=manifests.load(folder, kind).digest, path=_place(project, folder))


def _whole(project: Project, folder: Path, kind: Kind) -> tuple[PlacedArtifact, ...]:
    """The artifact in a folder, as a tuple; empty if the manifest is missing or was changed."""
    try:
        return (_sealed(project, folder, kind),)
    except (NotFoundError, CorruptArtifactError):
        return ()


def _request_file(project: Project, name: str) -> str:
    return _place(project, project.state / "requests" / f"{name}.json")


def _inside(project: Project, path: str) -> str:
    return _place(project, project.root / path)


def _place(project: Project, path: Path) -> str:
    return str(path.relative_to(project.root))
