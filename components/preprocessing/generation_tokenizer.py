"""The tokenizer of a pretrained model that writes texts, with what transformers' `generate` knows: where texts begin
and end, what is never written, and the chat template."""

from __future__ import annotations

from typing import Any, NamedTuple

from components.core.errors import NotFoundError
from components.identity import hub_folder
from components.identity.hub_folder import HubFolder
from components.preprocessing import marian_tokenizer
from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.text import Tokenizer


class GenerationTokenizer(NamedTuple):
    """A tokenizer, its special tokens, and the chat template of the model, if it has one."""

    tokenizer: Tokenizer
    special: SpecialTokens
    template: str | None


def read(source: str) -> GenerationTokenizer:
    """The tokenizer of a causal language model.

    Raises:
        NotFoundError, SourceError: there is no such model, or it has no end token.
        UsageError: the model has no tokenizer that the `tokenizers` library can run.
        CorruptArtifactError: a file cannot be read.
    """
    tokenizer = PretrainedTokenizer.load(source)
    ends = _ends(hub_folder.find(source, weights=False), tokenizer)
    special = SpecialTokens(names=_names(tokenizer), begin=tokenizer.special_number("bos"), ends=ends)
    template = tokenizer.config.get("chat_template")
    return GenerationTokenizer(tokenizer, special, template if isinstance(template, str) else None)


class TranslationTokenizers(NamedTuple):
    """The tokenizers of the source and of the target of a translator; one object, if both have the same.

    Args:
        pair: Marian's two sentencepiece models, whose texts are compared with sentencepiece's.
    """

    source: Tokenizer
    target: Tokenizer
    special: SpecialTokens
    pair: marian_tokenizer.Pair | None = None


def read_pair(source: str) -> TranslationTokenizers:
    """The tokenizers of a translator.

    The special tokens are those that transformers' `generate` uses: the start token of the decoder, the end token, and
    single tokens among `bad_words_ids`.

    Raises:
        NotFoundError, SourceError, UsageError, CorruptArtifactError: as `read`.
    """
    folder = hub_folder.find(source, weights=False)
    pair = marian_tokenizer.read(folder) if marian_tokenizer.has_pair(folder) else None
    tokenizer = PretrainedTokenizer.load(source) if pair is None else pair.target
    found: dict[str, Any] = {}
    for name in hub_folder.CONFIG_FILES:
        found |= {key: value for key, value in _document(folder, name).items() if value is not None}
    begin = found.get("decoder_start_token_id", found.get("pad_token_id"))
    never = [words[0] for words in found.get("bad_words_ids", ()) if len(words) == 1]
    special = SpecialTokens(names=_names(tokenizer), begin=begin, ends=_ends(folder, tokenizer), never=never)
    return TranslationTokenizers(tokenizer if pair is None else pair.source, tokenizer, special, pair)


def _names(tokenizer: PretrainedTokenizer) -> dict[str, str]:
    """The special tokens by their role, as `bos_token`."""
    roles = sorted(role for role in tokenizer.config if role.endswith("_token"))
    return {role: value for role in roles if isinstance(value := tokenizer.config[role], str)}


def _ends(folder: HubFolder, tokenizer: PretrainedTokenizer) -> list[int]:
    """The tokens that end an answer: those of generation_config.json, else of config.json, and the tokenizer's own."""
    found: list[int] = []
    for name in reversed(hub_folder.CONFIG_FILES):
        ends = _document(folder, name).get("eos_token_id")
        found = [ends] if isinstance(ends, int) else list(ends or ())
        if found:
            break
    own = tokenizer.special_number("eos")
    ends = [*dict.fromkeys([*([] if own is None else [own]), *found])]
    if not ends:
        raise NotFoundError(
            "the model has no token that ends a text",
            where=folder.source,
            expected="eos_token in tokenizer_config.json, or eos_token_id in generation_config.json or config.json",
            next_step="add it: without one, no answer ends",
        )
    return ends


def _document(folder: HubFolder, name: str) -> dict[str, Any]:
    """A JSON file of the folder; empty without one."""
    return folder.document(name) if folder.file(name) else {}
