"""Image generation: a class and a seed -> an image, by diffusion.

Legend: N samples, H height, W width, C channels, K classes, S steps of the noise schedule.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, ValidationError, field_validator

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, NoiseInput, NoiseOutput, NoiseSchedule, OutputSpec
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification, image_classification, items
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.processor import BaseProcessor
from components.tasks.task import (
    LOSS,
    AnsweredFile,
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    ValidationMetric,
    Values,
)
from components.tasks.task_defaults import TaskDefaults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph

_MOST_STEPS = 1000


class ImageGenerationSettings(ImageClassificationSettings):
    """The images and their noise schedule.

    Args:
        noise_schedule, noise_steps: kind and number of steps of the noise schedule.
        unlabelled: share of the training samples without their class, for classifier-free guidance.
        default_steps, default_guidance: of a request that sets none.
    """

    noise_schedule: NoiseSchedule = "cosine"
    noise_steps: int = Field(default=1000, ge=2, le=10_000)
    unlabelled: float = Field(default=0.1, ge=0, lt=1)
    default_steps: int = Field(default=50, ge=1, le=_MOST_STEPS)
    default_guidance: float = Field(default=1.0, ge=0, le=20)

    @field_validator("normalise")
    @classmethod
    def _levels_are_fixed(cls, value: Any) -> Any:
        if value is not None:
            raise ValueError("image generation scales levels to -1..1 and reads no statistics; leave it out")
        return value


class ImageRequest(Strict):
    """Request for one image.

    Args:
        label: class of the image.
        seed: of the initial noise; equal seeds give equal images.
        steps: number of calls of the network; more steps take longer and give finer images.
        guidance: scale of classifier-free guidance (Ho and Salimans, arXiv:2207.12598): 1 for none, 0 for an image
            of no class.
    """

    label: str
    seed: int = Field(default=0, ge=0, lt=2**63)
    steps: int | None = Field(default=None, ge=1, le=_MOST_STEPS)
    guidance: float | None = Field(default=None, ge=0, le=20)


class ImageGenerationProcessor(BaseProcessor, ImageGenerationSettings):
    """The images and their noise schedule, with the classes."""

    classes: list[str]

    @property
    def steps(self) -> int:
        """Steps of the noise schedule, S."""
        return self.noise_steps

    def input_spec(self) -> NoiseInput:
        """Noisy images, steps and classes (N,): the K classes, and number K for the empty class."""
        return NoiseInput(
            height=self.height,
            width=self.width,
            channels=self.channels,
            classes=len(self.classes),
            schedule=self.noise_schedule,
            steps=self.noise_steps,
        )

    def output_spec(self) -> NoiseOutput:
        """The noise in an image."""
        return NoiseOutput()

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C), `labels` int64 ()."""
        shape = (self.height, self.width, self.channels)
        return ArraySpec(name="images", type="uint8", shape=shape), classification.LABELS

    def inputs(self) -> tuple[str, ...]:
        """A noisy image, the number of its step, its class; training makes the first two from `images`."""
        return "noisy", "step", "label"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images and label numbers."""
        import numpy as np

        numbers = items.each(lambda raw: classification.number(raw.values["label"], self.classes), samples)
        return [
            {"images": raw.decoded["images"], "labels": np.asarray(number, np.int64)}
            for raw, number in zip(samples, numbers, strict=True)
        ]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A request: an object with the fields of `ImageRequest`."""
        import numpy as np

        try:
            request = ImageRequest.model_validate(item)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, one['loc'])) or 'sample'}: {one['msg']}" for one in error.errors()]
            raise SampleError(
                "; ".join(wrong), got=repr(item)[:80], expected=", ".join(ImageRequest.model_fields)
            ) from error
        steps = self.default_steps if request.steps is None else request.steps
        guidance = self.default_guidance if request.guidance is None else request.guidance
        if guidance != 1 and not self.unlabelled:
            raise SampleError("the model was trained without guidance", got=guidance, expected=1.0)
        return {
            "label": np.asarray(classification.number(request.label, self.classes), np.int64),
            "seed": np.asarray(request.seed, np.int64),
            "steps": np.asarray(steps, np.int64),
            "guidance": np.asarray(guidance, np.float64),
        }

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `sample` or `samples`."""
        return items.of(document, "sample", "samples")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """One PNG file in base64 for each request; requests of equal steps and guidance are sampled together."""
        import numpy as np

        from components.ingestion import png

        found: list[Prediction] = [{}] * len(samples)
        kinds = [(int(sample["steps"]), float(sample["guidance"])) for sample in samples]
        for kind in sorted(set(kinds)):
            rows = [row for row, other in enumerate(kinds) if other == kind]
            labels, seeds = (np.asarray([samples[row][name] for row in rows], np.int64) for name in ("label", "seed"))
            images = self._images(run, labels, seeds, *kind)
            for row, label, seed, image in zip(rows, labels.tolist(), seeds.tolist(), images, strict=True):
                file = png.encode(image[..., 0] if self.channels == 1 else image)
                text = base64.b64encode(file).decode()
                found[row] = {"image": text, "label": classes[label], "seed": seed, "steps": kind[0]}
        return found

    def generate(self, run: RunGraph, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images (N, H, W, C) of labels (N,) and seeds (N,), with the default steps and guidance."""
        return self._images(run, labels, seeds, self.default_steps, self.default_guidance)

    def noisy(
        self, images: NDArray[np.uint8], noise: NDArray[np.float32], step: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Images (N, H, W, C) with noise (N, C, H, W) of a step (N,), as in training: (N, C, H, W)."""
        from components.preprocessing.noise_schedule import alphas_cumprod
        from components.tasks import ddim

        return ddim.add_noise(images, noise, alphas_cumprod(self.noise_schedule, self.noise_steps)[step])

    def _images(
        self, run: RunGraph, labels: NDArray[np.int64], seeds: NDArray[np.int64], steps: int, guidance: float
    ) -> NDArray[np.uint8]:
        import numpy as np

        from components.preprocessing.noise_schedule import alphas_cumprod
        from components.tasks import ddim

        empty = np.full_like(labels, len(self.classes))

        def predict_noise(noisy: NDArray[np.float32], step: NDArray[np.int64]) -> NDArray[np.float32]:
            if guidance in (0, 1):
                return run("model", {"noisy": noisy, "step": step, "label": labels if guidance else empty})["noise"]
            feed = {
                "noisy": np.concatenate([noisy, noisy]),
                "step": np.concatenate([step, step]),
                "label": np.concatenate([labels, empty]),
            }
            of_class, of_none = np.split(run("model", feed)["noise"], 2)
            guided: NDArray[np.float32] = of_none + np.float32(guidance) * (of_class - of_none)
            return guided

        noise = ddim.initial_noise(seeds, (self.channels, self.height, self.width))
        return ddim.sample(predict_noise, noise, alphas_cumprod(self.noise_schedule, self.noise_steps), steps)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Classes and seeds to images."""
        label = {"type": "string", "enum": list(classes)}
        seed: dict[str, Any] = {"type": "integer", "minimum": 0, "default": 0}
        steps: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": _MOST_STEPS}
        guidance = {"type": "number", "minimum": 0, "maximum": 20, "default": self.default_guidance}
        answered = {
            "image": {"type": "string", "contentEncoding": "base64", "description": "a PNG file, base64"},
            "label": label,
            "seed": seed,
            "steps": steps,
        }
        return EndpointSchema(
            item="sample",
            items="samples",
            media=(),
            schema={
                "type": "object",
                "properties": {
                    "label": label, "seed": seed, "steps": {**steps, "default": self.default_steps},
                    "guidance": guidance,
                },
                "required": ["label"],
                "additionalProperties": False,
            },
            prediction={
                "type": "object", "properties": answered, "required": list(answered), "additionalProperties": False,
            },
            form="json",
            summary="Draw images",
            file=AnsweredFile("image/png", "image"),
        )  # fmt: skip


class ImageGeneration(image_classification.ImageClassification):
    """The half without state; raw samples are as of image classification."""

    name: ClassVar[str] = "image-generation"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "label": "text"}
    item_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = ImageGenerationSettings
    input_type: ClassVar[type[InputSpec]] = NoiseInput
    output_type: ClassVar[type[OutputSpec]] = NoiseOutput
    objective: ClassVar[str] = "components.training.objectives.diffusion:DiffusionObjective"
    validation_metric: ClassVar[ValidationMetric] = LOSS
    scorer: ClassVar[str] = "components.evaluation.image_generation:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "label_accuracy": Metric(True, "share of images that a classifier of real images assigns to their class"),
        "noise_mse": Metric(False, "mean squared error of the noise, of unit variance"),
    }
    libraries: ClassVar[tuple[str, ...]] = ()
    starting_model: ClassVar[dict[str, Any]] = {"family": "diffusion", "name": "unet"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {"diffusion": {"name": "unet"}}

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The U-Net."""
        return TaskDefaults.draft_model(self, samples, settings)

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """As of most tasks: what helps a classifier of photos does not help here."""
        return TaskDefaults.draft_training(self, samples, settings)

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The U-Net alone."""
        return TaskDefaults.draft_candidates(self, samples, settings)

    def fit(  # type: ignore[override]  # the processor is of another class
        self, settings: ImageGenerationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> ImageGenerationProcessor:
        """Nothing to fit; the samples are consumed."""
        for _ in train:
            pass
        return ImageGenerationProcessor(**settings.model_dump(), classes=list(classes))

    def example(self, values: Values) -> Example:
        """A request for an image of the sample's class, with a seed that depends on the sample."""
        seed = int.from_bytes(hashlib.sha256(self.content(values)).digest()[:4], "big")
        body = json.dumps({"sample": {"label": values["label"], "seed": seed}})
        return Example(body.encode(), "application/json", ".json", values["label"])

    def load(self, folder: Path) -> ImageGenerationProcessor:  # type: ignore[override]  # as above
        """Read processor.json."""
        return ImageGenerationProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both images are equal."""
        return bool(ours["image"] == theirs["image"])


TASK = ImageGeneration()
