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
    path = folder.file("tokenizer.json")
    if path is None:
        next_step = "load the tokenizer with transformers' AutoTokenizer and write it with save_pretrained"
        raise NotFoundError("the tokenizer.json is missing", where=source, next_step=next_step)
    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises the bare class
        raise CorruptArtifactError("the tokenizer cannot be read", where=str(path), got=error) from error
    config = folder.document(hub_folder.TOKENIZER_CONFIG) if folder.file(hub_folder.TOKENIZER_CONFIG) else {}
    names = _names(config)
    special = SpecialTokens(
        names=names, begin=inner.token_to_id(names.get("bos_token", "")), ends=_ends(folder, inner, names)
    )
    return HubTokenizer(Tokenizer(inner), special, _template(folder, config))


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
