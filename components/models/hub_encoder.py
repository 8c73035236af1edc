"""Encoders of transformers with their own heads: Devlin et al. 2019, arXiv:1810.04805, and its successors.

Legend: N batch, T length, K classes.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
)
from transformers.utils import logging

from components.contracts.architectures.hub import HubEncoderSpec
from components.contracts.shapes import ClassesOutput, TokenClassesOutput, TokensInput, ValuesOutput
from components.core.errors import CorruptArtifactError, UsageError
from components.identity import hub_folder
from components.models import hub_config, masks

# Each is compared with transformers' own outputs, and its graph with it, for texts of unequal lengths
# (tests/models/test_hub_encoder.py). Others are refused: the answers of some, such as convbert, depend on padding, and
# the operators of some, such as fnet, have no ONNX form.
SUPPORTED = (
    "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "deberta", "deberta-v2", "modernbert", "electra",
    "albert", "mpnet",
)  # fmt: skip
# Encoders whose position numbers start after the number of the padding.
SHIFTED = ("roberta", "xlm-roberta", "camembert", "mpnet")


class Loaded(NamedTuple):
    """Names of weights: loaded; of the network alone; of the files alone."""

    fitted: list[str]
    new: list[str]
    left: list[str]


def build(
    config: HubEncoderSpec, input_spec: TokensInput, output_spec: ClassesOutput | TokenClassesOutput | ValuesOutput
) -> HubEncoder:
    """A network with random weights, of the sizes of a config.json.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: the type is not one of `SUPPORTED`, or texts or vocabulary of the dataset are too large for it.
    """
    hf_config = configure(config)
    _check_input(hf_config, config, input_spec)
    hf_config.num_labels = output_spec.classes
    return HubEncoder(hf_config, every_token=isinstance(output_spec, TokenClassesOutput))


def configure(config: HubEncoderSpec) -> PretrainedConfig:
    """transformers' config of the source of a spec, with the dropout of the spec.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: the type is not one of `SUPPORTED`.
    """
    hf_config = hub_config.read(config.config_source, SUPPORTED)
    hf_config.problem_type = None  # of another training
    if config.dropout is not None:
        for name in [name for name in hf_config.to_dict() if "dropout" in name]:
            setattr(hf_config, name, config.dropout)
    return hf_config


def _check_input(hf_config: PretrainedConfig, config: HubEncoderSpec, input_spec: TokensInput) -> None:
    if input_spec.vocabulary > hf_config.vocab_size:
        raise UsageError(
            "the tokens of the dataset are not those of the model",
            where=f"model, {config.config_source}",
            got=f"{input_spec.vocabulary} tokens",
            expected=f"at most {hf_config.vocab_size}",
            next_step=f"prepare the dataset with the model's tokenizer: {tokenizer_setting(config)}",
        )
    shift = hf_config.pad_token_id + 1 if hf_config.model_type in SHIFTED else 0
    places = hf_config.max_position_embeddings - shift
    if input_spec.max_length > places:
        raise UsageError(
            "the texts are longer than the encoder allows",
            where=f"model, {config.config_source}",
            got=f"{input_spec.max_length} tokens",
            expected=f"at most {places}",
            next_step=f"prepare shorter texts: input: {{max_length: {places}}} in dataset.yaml",
        )


def tokenizer_setting(config: HubEncoderSpec) -> str:
    """The lines of dataset.yaml for the model's own tokenizer."""
    return f'input: {{tokenizer: {{kind: pretrained, source: "{config.config_source}"}}}} in dataset.yaml'


class HubEncoder(nn.Module):
    """transformers' classifier of texts or of tokens; its weights have their own names, below `body`.

    Args:
        hf_config: transformers' config, with the number of classes.
        every_token: whether each token has a class, else the whole text.
    """

    def __init__(self, hf_config: PretrainedConfig, *, every_token: bool) -> None:
        super().__init__()
        self.auto: Any = AutoModelForTokenClassification if every_token else AutoModelForSequenceClassification
        self.body = self.auto.from_config(hf_config)
        trained = [name for name, child in self.body.named_children() if any(True for _ in child.parameters())]
        self.head_names: Sequence[str] = [f"body.{name}" for name in trained if name != self.body.base_model_prefix]

    @property
    def hf_config(self) -> PretrainedConfig:
        """transformers' config, which an export writes."""
        config: PretrainedConfig = self.body.config
        return config

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, K) or (N, T, K)."""
        mask = masks.inside(lengths, tokens.shape[1]).long()  # (N, T)
        logits: Tensor = self.body(input_ids=tokens, attention_mask=mask).logits
        return logits

    @property
    def head(self) -> nn.Module:
        """The last layer (see `TextEncoder`)."""
        last = self.body.get_submodule(self.head_names[-1].removeprefix("body."))
        return [module for module in last.modules() if isinstance(module, nn.Linear)][-1]

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to what the last layer reads, in evaluation: (N, D), or (N, T, D)."""
        found: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
        try:
            self(values, lengths)
        finally:
            hook.remove()
        return found[0]

    def load_pretrained(self, folder: Path) -> Loaded:
        """Load the weights of a folder by transformers' own `from_pretrained`: shards, names of earlier versions.

        No code is run: safetensors, or torch files with `weights_only=True`. A head of another size stays random.

        Raises:
            CorruptArtifactError: the weights cannot be read.
            UsageError: a weight outside the head has another shape, or no weight fits.
        """
        try:
            with _quiet():
                other, info = self.auto.from_pretrained(
                    folder, config=copy.deepcopy(self.hf_config), local_files_only=True, trust_remote_code=False,
                    ignore_mismatched_sizes=True, output_loading_info=True, dtype=torch.float32,
                )  # fmt: skip
        except pickle.UnpicklingError as error:
            raise hub_folder.unreadable_torch_file(folder) from error
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise CorruptArtifactError("the weights cannot be read", where=str(folder), got=error) from error
        shapes = {name: (theirs, ours) for name, theirs, ours in info["mismatched_keys"]}
        heads = tuple(name.removeprefix("body.") for name in self.head_names)
        for name, (theirs, ours) in shapes.items():
            if not name.startswith(tuple(f"{head}." for head in heads)):
                raise UsageError(
                    f"the pretrained weight has another shape: {name}",
                    where=str(folder),
                    got=tuple(theirs),
                    expected=tuple(ours),
                    next_step="the config.json is not that of the weights",
                )
        fresh = {*info["missing_keys"], *shapes}
        weights = {name: value for name, value in other.state_dict().items() if name not in fresh}
        backbone = [name for name in weights if not name.startswith(tuple(f"{head}." for head in heads))]
        if not backbone:
            raise UsageError("no pretrained weight fits this architecture", where=str(folder), got="other names")
        self.body.load_state_dict(weights, strict=False)
        return Loaded(
            sorted(f"body.{name}" for name in weights),
            sorted(f"body.{name}" for name in fresh),
            sorted({*info["unexpected_keys"], *shapes}),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own table and bar of a loading: what fitted is logged once, for all sources alike."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
