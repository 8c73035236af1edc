"""`track:` of a pipeline: where the curves of its trainings go besides MLflow and TensorBoard."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.core.strict import Strict


class WandbSpec(Strict):
    """A run of Weights & Biases for each training; needs the extra `modelyard[wandb]`.

    Args:
        project: of Weights & Biases; null: WANDB_PROJECT, else the pipeline's name.
        entity: user or team; null: WANDB_ENTITY, else the account's default.
        mode: `offline` writes a run that `wandb sync` uploads later; `online` sends it, with the key that
            WANDB_API_KEY or `wandb login` gives. Null: WANDB_MODE, else offline.
    """

    project: str | None = Field(default=None, min_length=1, max_length=128)
    entity: str | None = Field(default=None, min_length=1, max_length=128)
    mode: Literal["offline", "online"] | None = None


class TrackSpec(Strict):
    """Further receivers of a training's events. They change neither the model nor its fingerprint."""

    wandb: WandbSpec | None = None
