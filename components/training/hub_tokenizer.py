"""Comparison of a dataset's tokens with those of pretrained weights: another number would be another word to them."""

from __future__ import annotations

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.hub import HubEncoderSpec
from components.contracts.architectures.hub_generation import CausalLmSpec, WhisperSpec
from components.core.errors import UsageError
from components.identity import hub_folder
from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer, has_tokenizer
from components.tasks.task import Processor
from components.tasks.tokenized import Tokenized
from components.training.messages import log


def check(spec: ArchitectureSpec, processor: Processor) -> None:
    """Compare the numbers of the tokens of a dataset with those of the pretrained model.

    Raises:
        NotFoundError, SourceError: the model is missing.
        UsageError: they differ; the dataset has to be prepared with the model's own tokenizer.
    """
    if (
        not isinstance(spec, HubEncoderSpec | CausalLmSpec | WhisperSpec)
        or spec.pretrained is None
        or not isinstance(processor, Tokenized)
    ):
        return
    source = spec.config_source
    if not has_tokenizer(hub_folder.find(source, weights=False)):
        log(f"{source} has no tokenizer: whether the tokens of the dataset are those of the weights is not known")
        return
    ours, theirs = processor.tokenizer.numbers(), PretrainedTokenizer.load(source).numbers()
    differing = sum(ours.get(token) != number for token, number in theirs.items())
    if differing:
        raise UsageError(
            "the tokens of the dataset are not those of the pretrained weights",
            where=f"model.pretrained, {source}",
            got=f"{differing:,} of {len(theirs):,} tokens have another number",
            expected="the model's own tokenizer",
            next_step=f'input: {{tokenizer: {{kind: pretrained, source: "{source}"}}}} in dataset.yaml',
        )
