"""The augmentation of the input of a network, whatever its kind.

Legend: N batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.contracts.augment_spec import AugmentSpec
from components.contracts.shapes import ImageInput, InputSpec, SeriesInput, TokensInput
from components.training.augmentation import series, spectrogram
from components.training.augmentation.images import augment
from components.training.augmentation.mixing import Mix, mix_images, mix_series
from components.training.augmentation.tokens import with_dropped_words
from components.training.batches import Batch


def augment_input(
    batch: Batch, names: tuple[str, ...], input_spec: InputSpec, spec: AugmentSpec, generator: torch.Generator
) -> tuple[Batch, Mix | None]:
    """The batch with an augmented input, and how its targets must be mixed, if they must.

    Args:
        names: arrays that the network takes: images; or tokens or a series, and maybe their lengths.
    """
    values = batch[names[0]]
    lengths = batch[names[1]] if len(names) > 1 else None  # (N,)
    mix: Mix | None = None
    if isinstance(input_spec, ImageInput):
        values = augment(values, spec, generator)
        if spec.mixup or spec.cutmix:
            values, mix = mix_images(values, spec, generator)
    elif isinstance(input_spec, SeriesInput):
        values = augment_series(values, lengths, input_spec, spec, generator)
        if spec.mixup:
            values, lengths, mix = mix_series(values, lengths, spec.mixup, generator)
    elif isinstance(input_spec, TokensInput) and spec.word_dropout:
        values = with_dropped_words(values, lengths, spec.word_dropout, input_spec, generator)
    changed = {names[0]: values} if lengths is None else {names[0]: values, names[1]: lengths}
    return {**batch, **changed}, mix


def augment_series(
    values: Tensor, lengths: Tensor | None, input_spec: SeriesInput, spec: AugmentSpec, generator: torch.Generator
) -> Tensor:
    """Series (N, T, C), each with its own draws, without mixup; noise is last, so that it is not smoothed."""
    mean, std = torch.tensor(input_spec.mean), torch.tensor(input_spec.std)  # (C,) each
    if spec.window_slice is not None:
        values = series.sliced(values, lengths, spec.window_slice, generator)
    if spec.time_warp:
        values = series.time_warped(values, lengths, spec.time_warp, generator)
    if spec.scale:
        values = series.scaled(values, lengths, series.draw_factors(values.shape, spec.scale, generator), mean)
    if spec.noise:
        values = series.noisy(values, lengths, spec.noise, std, generator)
    if spec.spec_augment is not None:
        values = spectrogram.masked(values, lengths, spec.spec_augment, mean, generator)
    return values
