"""The network of a pipeline: one frozen spec for each architecture (contracts/architectures/); `name` selects it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from components.contracts.architectures import (
    cnn,
    custom,
    detection,
    diffusion,
    hub,
    hub_generation,
    rnn,
    segmentation,
    series,
    table,
    text,
    transformer,
    vision,
)


def _named(value: Any) -> Any:
    """A custom network has the name `custom` by default."""
    if isinstance(value, dict) and value.get("family") == "custom":
        return {"name": "custom", **value}
    return value


ModelSpec = Annotated[
    Annotated[
        cnn.TextbookCnnSpec
        | cnn.ResNetSpec
        | text.KimSpec
        | rnn.RecurrentSpec
        | series.SeriesCnnSpec
        | series.SpectrogramCnnSpec
        | series.PatchTstSpec
        | series.DLinearSpec
        | transformer.EncoderSpec
        | transformer.DecoderSpec
        | transformer.Seq2SeqTransformerSpec
        | rnn.Seq2SeqGruSpec
        | text.BertSpec
        | hub.HubEncoderSpec
        | text.MambaSpec
        | hub_generation.CausalLmSpec
        | hub_generation.Seq2SeqLmSpec
        | hub_generation.DetrSpec
        | hub_generation.Wav2Vec2Spec
        | hub_generation.WhisperSpec
        | vision.VggSpec
        | vision.ImageNetResNetSpec
        | vision.ConvNextSpec
        | vision.VitSpec
        | detection.CenterSpec
        | detection.YolosSpec
        | diffusion.UNetSpec
        | table.MlpSpec
        | table.FtTransformerSpec
        | segmentation.SegmentationUNetSpec
        | custom.CustomSpec,
        Field(discriminator="name"),
    ],
    BeforeValidator(_named),
]  # fmt: skip
