"""Which network a pipeline trains: one frozen spec an architecture (contracts/architectures/), told apart by `name`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from components.contracts.architectures import cnn, custom, detection, diffusion, rnn, series, text, transformer, vision


def _named(value: Any) -> Any:
    """A custom network needs no name."""
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
        | text.MambaSpec
        | vision.VggSpec
        | vision.ImageNetResNetSpec
        | vision.ConvNextSpec
        | vision.VitSpec
        | detection.CenterSpec
        | detection.YolosSpec
        | diffusion.UNetSpec
        | custom.CustomSpec,
        Field(discriminator="name"),
    ],
    BeforeValidator(_named),
]  # fmt: skip
