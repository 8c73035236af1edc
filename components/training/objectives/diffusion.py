"""Denoising diffusion: the network predicts the noise in an image at a random step (Ho et al. 2020, arXiv:2006.11239).

Legend: N batch, H height, W width, C channels, S steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.preprocessing.noise_schedule import alphas_cumprod
from components.training.augmentation.images import augment
from components.training.batches import Batch
from components.training.objectives.objective import Forward, StepResult

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class DiffusionObjective:
    """Arrays `images` and `labels`; the processor has `noise_schedule`, `noise_steps` and `unlabelled`.

    The share `unlabelled` of the training samples has the empty class, number K (arXiv:2207.12598).
    """

    metric = "loss"
    higher_is_better = False

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        processor = cast(Any, prepared.processor)
        self._empty, self._unlabelled = len(prepared.classes), float(processor.unlabelled)
        alphas = alphas_cumprod(processor.noise_schedule, processor.noise_steps)
        self.alphas_cumprod = torch.from_numpy(alphas).float()  # (S,)

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """The mean squared error of the noise (simple loss, eq. 14), each image at a random step."""
        images = batch["images"].permute(0, 3, 1, 2).float() / 127.5 - 1  # (N, C, H, W), -1..1
        timesteps = torch.randint(len(self.alphas_cumprod), (len(images),), generator=generator)  # (N,)
        noise = torch.randn(images.shape, generator=generator).to(images.device)  # (N, C, H, W)
        alpha = self.alphas_cumprod[timesteps].to(images.device)[:, None, None, None]  # (N, 1, 1, 1)
        noisy = alpha.sqrt() * images + (1 - alpha).sqrt() * noise  # (N, C, H, W), eq. 4
        labels = batch["labels"]  # (N,)
        if training and self._unlabelled:
            hide = torch.rand(len(images), generator=generator) < self._unlabelled  # (N,)
            labels = labels.masked_fill(hide.to(labels.device), self._empty)
        predicted: Tensor = forward(noisy, timesteps.to(images.device), labels).float()  # (N, C, H, W)
        loss = functional.mse_loss(predicted, noise)
        count = torch.full((), len(images), device=images.device)
        return StepResult(loss, loss.detach() * count, count)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch with mirrored images; whatever else is done to images, the network would learn to generate."""
        return {**batch, "images": augment(batch["images"], spec, generator)}
