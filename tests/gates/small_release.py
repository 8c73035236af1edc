"""A small dataset, packages made from it, their bundles, and requests to the gates about them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from components import tasks
from components.contracts.gate_request import Candidate, Gate, GateRequest
from components.contracts.pipeline import ChampionSpec, FloorSpec, GatesSpec
from components.evaluation import scorer
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package
from components.inference.predictor import Predictor
from tests import small_package

TASK = "image-classification"
SAMPLES = 400
WRONG = 20  # of the samples, by the package of seed 0


class SmallRelease:
    """In a folder: `data/` with prepared/ and validated/, and bundles by name.

    Args:
        bento: a Bento whose code the bundles take; without it they hold a package and settings, and cannot be served.
    """

    def __init__(self, folder: Path, bento: Path | None = None) -> None:
        self.folder, self._bento = folder, bento
        self.dataset = folder / "data"
        validated = self.validate(success=True)
        test = self.dataset / "prepared" / "test"
        test.mkdir(parents=True)
        random = np.random.default_rng(7)
        lit = random.random((SAMPLES, 8, 8, 1)) < 4 / 64  # few pixels, so that every class is among the answers
        images = np.where(lit, random.integers(64, 256, lit.shape), 0).astype(np.uint8)
        teacher = Predictor(small_package.build(folder / "teacher"))
        truth = teacher.run("model", {"images": images})["probabilities"].argmax(axis=1)
        truth[:WRONG] = (truth[:WRONG] + 1) % len(small_package.CLASSES)
        np.save(test / "images.npy", images)
        np.save(test / "labels.npy", truth.astype(np.int64))
        teacher.processor.save(self.dataset / "prepared")
        prepared = self.prepare(validated_digest=validated.digest)
        frozen = FrozenSplit.open(self.dataset / "prepared", prepared.facts)
        self.figures = scorer.load_scorer(frozen.task).score(teacher, frozen, lambda _: None).figures()
        lineage = {"raw_digest": "e" * 64, "validated_digest": validated.digest}
        self.facts = {"data_digest": prepared.digest, "lineage": lineage}

    def prepare(self, **facts: Any) -> manifest.Manifest:
        """Seal the prepared data as it is now."""
        arrays = [spec.model_dump(mode="json") for spec in tasks.find(TASK).load(self.dataset / "prepared").arrays()]
        said = {"task": TASK, "classes": small_package.CLASSES, "arrays": arrays, **facts}
        return manifest.seal(self.dataset / "prepared", "prepared", said)

    def validate(self, *, success: bool) -> manifest.Manifest:
        """Write the verdict of the expectations."""
        (self.dataset / "validated").mkdir(parents=True, exist_ok=True)
        return manifest.seal(self.dataset / "validated", "validated", {"success": success})

    def bundle(
        self, name: str, version: str = "2", workers: int = 1, facts: dict[str, Any] | None = None, **options: Any
    ) -> Candidate:
        """A version's bundle; `options` and facts are those of `small_package.build`, the figures true unless given."""
        folder = self.folder / "bentos" / name
        if self._bento is None:
            (folder / "src").mkdir(parents=True)
        else:
            shutil.copytree(self._bento, folder, ignore=shutil.ignore_patterns("bentofile.yaml", "__pycache__"))
            shutil.rmtree(folder / "src" / "package")
        figures = {**self.figures, **options.pop("figures", {})}
        package = small_package.build(
            folder / "src" / "package", figures=figures, facts={**self.facts, **(facts or {})}, **options
        )
        settings = {
            "model": "sample",
            "version": version,
            "max_batch_size": 2,
            "max_request_bytes": 100_000,
            "max_image_pixels": 1_000_000,
            "workers": workers,
        }
        manifest.write_json(folder / "src" / "serving.json", settings)
        return self.seal(folder, package, version)

    def seal(self, folder: Path, package: Package, version: str) -> Candidate:
        """Seal a bundle as it is now."""
        facts = {"model": "sample", "version": version, "package_digest": package.digest, "code": "c" * 64}
        manifest.seal(folder / "src", "bundle", facts)
        (folder / manifest.FILE_NAME).unlink(missing_ok=True)
        manifest.seal(folder, "bento", {})
        return Candidate(
            name="sample", version=version, package_digest=package.digest, bundle=str(folder), bundle_key="b" * 64
        )

    def request(
        self,
        candidate: Candidate,
        champion: Candidate | None = None,
        asked: tuple[Gate, ...] = ("integrity", "floors", "champion", "parity"),
        **gates: Any,
    ) -> GateRequest:
        """A request about a bundle; the gates are a floor under accuracy and the comparison, unless given."""
        spec = {"accuracy": FloorSpec(min=0.9, slice_min=0.8), "champion": ChampionSpec(min_effect=-0.02), **gates}
        return GateRequest(
            pipeline="sample",
            role="champion",
            candidate=candidate,
            champion=champion,
            asked=list(asked),
            gates=GatesSpec(**spec),
            dataset=str(self.dataset),
            folder=str(self.folder / "gates" / candidate.package_digest[:12]),
        )
