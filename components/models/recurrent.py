"""Recurrent networks for texts and series: plain RNN, LSTM and GRU.

The states of a sample do not depend on padding: see recurrent_layers.

Legend: N batch, T length, E size of a step, D width of the states (twice the cell's, if bidirectional), C channels,
K classes, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from components.contracts.architectures.rnn import RecurrentSpec
from components.contracts.shapes import ClassesOutput, ForecastOutput, SeriesInput, TokenClassesOutput, TokensInput
from components.core.errors import UsageError
from components.models import initialisation, masks
from components.models.embedding import TokenEmbedding
from components.models.instance_norm import InstanceNorm
from components.models.pooling import pooling
from components.models.recurrent_layers import RecurrentLayers
from components.models.standardise_series import StandardiseSeries


def build(
    config: RecurrentSpec,
    input_spec: TokensInput | SeriesInput,
    output_spec: ClassesOutput | TokenClassesOutput | ForecastOutput,
) -> nn.Module:
    """A network from texts or series to one class or one class for each step, or from series to a forecast.

    Raises:
        UsageError: a forecast from anything but series of one length.
    """
    network: nn.Module
    if not isinstance(output_spec, ForecastOutput):
        network = RecurrentClassifier(config, input_spec, output_spec)
    elif not isinstance(input_spec, SeriesInput) or not input_spec.fixed:
        raise UsageError("a forecast is made from series of one length", where="model.name", got=input_spec.kind)
    else:
        network = RecurrentForecaster(config, input_spec, output_spec)
    if config.initialisation == "glorot":
        initialisation.glorot(network)
    return network


class Steps(nn.Module):
    """Input of the first cell at every step: the vector of a token, or standardised values.

    Args:
        config: embedding and dropout.
        input_spec: texts, or series.
    """

    def __init__(self, config: RecurrentSpec, input_spec: TokensInput | SeriesInput) -> None:
        super().__init__()
        if isinstance(input_spec, TokensInput):
            self.width = config.embedding
            self.embedding = TokenEmbedding(input_spec.vocabulary, config.embedding, input_spec.pad)
            self.dropout = nn.Dropout(config.dropout)
        else:
            self.width = input_spec.channels
            self.standardise = StandardiseSeries(input_spec)
        self.tokens = isinstance(input_spec, TokensInput)

    def forward(self, values: Tensor, lengths: Tensor | None) -> Tensor:
        """Tokens (N, T) or series (N, T, C) to (N, T, E)."""
        steps: Tensor = (
            self.dropout(self.embedding(values)) if self.tokens else self.standardise(values, lengths)
        )  # (N, T, E)
        return steps


class RecurrentClassifier(nn.Module):
    """Recurrent layers, then a dense layer over the pooled states, or over each state.

    Args:
        config: kind of cell and sizes.
        input_spec: texts, or series.
        output_spec: one class, or one class for each step.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(
        self,
        config: RecurrentSpec,
        input_spec: TokensInput | SeriesInput,
        output_spec: ClassesOutput | TokenClassesOutput,
    ) -> None:
        super().__init__()
        self.steps = Steps(config, input_spec)
        self.recurrent = _layers(config, self.steps.width)
        self.every_step = isinstance(output_spec, TokenClassesOutput)
        self.pooling = (
            None if self.every_step or config.pooling == "last" else pooling(config.pooling, self.recurrent.width)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.recurrent.width, output_spec.classes)

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens (N, T) or series (N, T, C), lengths (N,) (None without padding) to logits (N, K) or (N, T, K)."""
        logits: Tensor = self.head(self.dropout(self.pooled(values, lengths)))  # (N, K) or (N, T, K)
        return logits

    def pooled(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As `forward`, to features (N, D), or (N, T, D) for a class of each step."""
        if lengths is None:
            lengths = masks.whole(values)  # (N,)
        features: Tensor
        features, last = self.recurrent(self.steps(values, lengths), lengths)  # (N, T, D), (N, D)
        if self.pooling is not None:
            features = self.pooling(features, lengths)  # (N, D)
        elif not self.every_step:
            features = last  # (N, D)
        return features


class RecurrentForecaster(nn.Module):
    """Recurrent layers over all channels, then a dense layer from the pooled states to all steps ahead.

    Args:
        config: kind of cell and sizes.
        input_spec: series of one length.
        output_spec: horizon and quantiles.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(self, config: RecurrentSpec, input_spec: SeriesInput, output_spec: ForecastOutput) -> None:
        super().__init__()
        self.shape = (output_spec.horizon, output_spec.channels, len(output_spec.quantiles))
        self.instance_norm = config.instance_norm
        self.standardise = StandardiseSeries(input_spec)
        self.recurrent = _layers(config, input_spec.channels)
        self.pooling = None if config.pooling == "last" else pooling(config.pooling, self.recurrent.width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.recurrent.width, math.prod(self.shape))

    def forward(self, past: Tensor) -> Tensor:
        """(N, L, C) to (N, horizon, C, Q), both in the units of the series."""
        steps = self.standardise(past)  # (N, L, C)
        norm = InstanceNorm.of(steps) if self.instance_norm else None
        whole = masks.whole(past)  # (N,)
        features, last = self.recurrent(steps if norm is None else norm.apply(steps), whole)  # (N, L, D), (N, D)
        pooled = last if self.pooling is None else self.pooling(features, whole)  # (N, D)
        values = self.head(self.dropout(pooled)).view(-1, *self.shape)  # (N, horizon, C, Q)
        return self.standardise.undo(values if norm is None else norm.undo(values))


def _layers(config: RecurrentSpec, in_features: int) -> RecurrentLayers:
    return RecurrentLayers(
        config.name, in_features, config.width, config.depth, bidirectional=config.bidirectional,
        dropout=config.dropout, activation=config.activation, biases=config.biases,
    )  # fmt: skip
