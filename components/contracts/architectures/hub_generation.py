"""Networks of transformers whose kind and sizes a config.json gives: language models, translators, sound, detection.

The text encoders of transformers are in text.py, its image classifiers in vision.py.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class HubSpec(ArchitectureSpec):
    """Base of networks that a config.json in the Hugging Face layout describes.

    Args:
        config: source of the config.json: `hub:<name>[@<revision>]`, `folder:<path>` or `package:<python package>`.
            Null: `pretrained`, if it has such a source.
        dropout: dropout rate of all layers; null: the rates of the config.json.
    """

    config: str | None = Field(default=None, pattern=r"^(package|folder|hub):\S.*$")
    dropout: float | None = Field(default=None, ge=0, lt=1)

    family: Literal["transformer"]

    @property
    def config_source(self) -> str:
        """Source of the config.json with kind and sizes."""
        return self.config or str(self.pretrained)

    @model_validator(mode="after")
    def _has_a_config(self) -> Self:
        if self.config is None and not (self.pretrained or "").startswith(("package:", "hub:", "folder:")):
            raise ValueError("a network of the hub needs config, or pretrained with hub:, folder: or package:")
        return self


class LanguageModelSpec(HubSpec):
    """Base of language models, whose output layer is not new: its rows are the tokens."""

    @model_validator(mode="after")
    def _policy_that_trains(self) -> Self:
        if self.transfer.policy in ("head", "gradual"):
            raise ValueError(
                f"transfer: a language model has no new head for the policy {self.transfer.policy};"
                " use none, decay or lora"
            )
        return self


class CausalLmSpec(LanguageModelSpec):
    """A causal language model from transformers: GPT-2, Llama, Mistral, Qwen2 or Qwen3 (AutoModelForCausalLM)."""

    module: ClassVar[str] = "components.models.causal_lm"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"next-token"})

    name: Literal["causal-lm"]


class Seq2SeqLmSpec(LanguageModelSpec):
    """An encoder and a decoder from transformers for texts to texts: T5 or Marian (AutoModelForSeq2SeqLM)."""

    module: ClassVar[str] = "components.models.seq2seq_lm"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"text"})

    name: Literal["seq2seq-lm"]


class WhisperSpec(LanguageModelSpec):
    """An encoder of log-mel frames and a decoder of text from transformers (Whisper, Radford et al. 2022,
    arXiv:2212.04356).

    The dataset gives it the frames and tokens of the weights: `input: {tokenizer: {kind: pretrained, source: ...}}`.
    """

    module: ClassVar[str] = "components.models.whisper"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"transcript"})

    name: Literal["whisper"]


class DetrSpec(HubSpec):
    """A detector from transformers: a convolutional backbone, an encoder, and a decoder with object queries (DETR,
    Carion et al. 2020, arXiv:2005.12872).

    The backbone is one of transformers, such as that of `facebook/detr-resnet-50@no_timm`.
    """

    module: ClassVar[str] = "components.models.detr"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"boxes"})

    name: Literal["detr"]


class Wav2Vec2Spec(HubSpec):
    """A classifier of waveforms from transformers (wav2vec 2.0, Baevski et al. 2020, arXiv:2006.11477).

    The dataset gives it waveforms of the rate of the weights: `input: {features: waveform, rate: 16000}`.
    """

    module: ClassVar[str] = "components.models.wav2vec2"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes"})

    name: Literal["wav2vec2"]
