"""The tokenizer of a pretrained language model, from a folder in the Hugging Face layout, with its special tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import tokenizers

from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import hub_folder
from components.identity.hub_folder import HubFolder
from components.preprocessing.special_tokens import SpecialTokens
from components.preprocessing.text import Tokenizer

TEMPLATE_FILE = "chat_template.jinja"
DEFAULT = "default"  # the name of the template that is used, where a model has several


class HubTokenizer(NamedTuple):
    """A tokenizer, its special tokens, and the chat template of the model, if it has one."""

    tokenizer: Tokenizer
    special: SpecialTokens
    template: str | None


def read(source: str) -> HubTokenizer:
    """The tokenizer of a model.

    Raises:
        NotFoundError, SourceError: there is no such folder, or it has no tokenizer.json, or no end token.
        CorruptArtifactError: a file cannot be read.
    """
    folder = hub_folder.find(source, weights=False)
    inner, config = _inner(folder), _config(folder, hub_folder.TOKENIZER_CONFIG)
    names = _names(config)
    special = SpecialTokens(
        names=names, begin=inner.token_to_id(names.get("bos_token", "")), ends=_ends(folder, inner, names)
    )
    return HubTokenizer(Tokenizer(inner), special, _template(folder, config))


def read_pair(source: str) -> tuple[Tokenizer, Tokenizer, SpecialTokens]:
    """The tokenizers of the source and of the target of a translator; one object, if both have the same.

    The special tokens are those that transformers' `generate` uses: its start token of the decoder, the end token, and
    single tokens among `bad_words_ids`.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: as `read`.
    """
    folder = hub_folder.find(source, weights=False)
    inner = _inner(folder)
    names = _names(_config(folder, hub_folder.TOKENIZER_CONFIG))
    found: dict[str, Any] = {}
    for name in hub_folder.CONFIG_FILES:
        found |= {key: value for key, value in _config(folder, name).items() if value is not None}
    begin = found.get("decoder_start_token_id", found.get("pad_token_id"))
    never = [words[0] for words in found.get("bad_words_ids", ()) if len(words) == 1]
    special = SpecialTokens(names=names, begin=begin, ends=_ends(folder, inner, names), never=never)
    tokenizer = Tokenizer(inner)
    return tokenizer, tokenizer, special


def _inner(folder: HubFolder) -> tokenizers.Tokenizer:
    path = folder.file("tokenizer.json")
    if path is None:
        next_step = "load the tokenizer with transformers' AutoTokenizer and write it with save_pretrained"
        raise NotFoundError("the tokenizer.json is missing", where=folder.source, next_step=next_step)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises the bare class
        raise CorruptArtifactError("the tokenizer cannot be read", where=str(path), got=error) from error


def _config(folder: HubFolder, name: str) -> dict[str, Any]:
    """A JSON file of the folder; empty without one."""
    return folder.document(name) if folder.file(name) else {}


def _names(config: dict[str, Any]) -> dict[str, str]:
    """The special tokens by their role, as `bos_token`; a token is a text, or an object with its content."""
    found = {}
    for role, value in config.items():
        text = value.get("content") if isinstance(value, dict) else value
        if role.endswith("_token") and isinstance(text, str):
            found[role] = text
    return found


def _ends(folder: HubFolder, inner: tokenizers.Tokenizer, names: dict[str, str]) -> list[int]:
    """The tokens that end an answer, as transformers' `generate` knows them, then the tokenizer's own."""
    found: list[int] = []
    for name in hub_folder.CONFIG_FILES[::-1]:
        ends = folder.document(name).get("eos_token_id") if folder.file(name) else None
        found = [ends] if isinstance(ends, int) else list(ends or ())
        if found:
            break
    own = inner.token_to_id(names.get("eos_token", ""))
    ends = [*dict.fromkeys([*found, *([] if own is None else [own])])]
    if not ends:
        raise NotFoundError(
            "the model has no token that ends a text",
            where=folder.source,
            expected="eos_token_id in generation_config.json or config.json, or eos_token in tokenizer_config.json",
            next_step="add it: without one, no answer ends",
        )
    return ends


def _template(folder: HubFolder, config: dict[str, Any]) -> str | None:
    """The chat template: chat_template.jinja, else that of tokenizer_config.json, which may be a list by names."""
    path = folder.file(TEMPLATE_FILE)
    if path is not None:
        return path.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):
        found = next((one.get("template") for one in found if one.get("name") == DEFAULT), None)
    return found if isinstance(found, str) else None
