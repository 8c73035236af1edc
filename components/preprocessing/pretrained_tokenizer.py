"""The tokenizer of a pretrained model, as transformers' AutoTokenizer loads it.

transformers reads the files of the model once, at preparation: tokenizer.json, or a vocabulary of an older form that it
converts. What it makes of them is kept, with the settings of tokenizer_config.json, so that answering needs only the
`tokenizers` library.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from components.core.errors import UsageError
from components.identity import hub_folder
from components.preprocessing.text import Split, Text, Tokenizer, begin, suffices

# Settings of tokenizer_config.json that name places on a machine or code.
_LEFT_OUT = ("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "is_local", "local_files_only", "auto_map")

_NO_VOCABULARY = ("special_tokens_map.json", "added_tokens.json", hub_folder.TOKENIZER_CONFIG, "chat_template.jinja")
PIECES = "pieces"  # the key of a vocabulary whose numbers are not those of the tokenizer: marian_tokenizer.py
_VOCABULARIES = tuple(name for name in hub_folder.TOKENIZER_FILES if name not in _NO_VOCABULARY)


class PretrainedTokenizer(Tokenizer):
    """A pretrained tokenizer. Safe to call from several threads.

    Args:
        inner: of the `tokenizers` library, with its own normalisation and template of special tokens.
        config: the settings of tokenizer_config.json: special tokens, `truncation_side`, `split_special_tokens`.
    """

    def __init__(self, inner: tokenizers.Tokenizer, config: Mapping[str, Any]) -> None:
        super().__init__(inner)
        self.config = dict(config)
        inner.encode_special_tokens = bool(config.get("split_special_tokens", False))
        self.vocabulary = 1 + max(inner.get_vocab(with_added_tokens=True).values(), default=-1)
        # A model without padding, such as a causal language model, never reads what pads its batches.
        self.pad = next((number for name in ("pad", "eos") if (number := self.special_number(name)) is not None), 0)
        self.unknown = self.special_number("unk")
        self._side = str(config.get("truncation_side", "right"))
        self._of_words = _with_space_before_words(inner)

    @staticmethod
    def load(source: str) -> PretrainedTokenizer:
        """The tokenizer of `hub:`, `folder:` or `package:`, as transformers loads it. No code of the model is run.

        Raises:
            NotFoundError, SourceError: there is no such model.
            UsageError: the model has no tokenizer that the `tokenizers` library can run.
        """
        folder = hub_folder.find(source, weights=False)
        if not has_tokenizer(folder):  # transformers makes an empty tokenizer of nothing
            raise UsageError("the model has no tokenizer", where=source, expected=" or ".join(_VOCABULARIES))
        # Imported by name: the libraries of a text task that has another tokenizer do not include transformers.
        transformers: Any = importlib.import_module("transformers")
        next_step = (
            "choose a model with a tokenizer.json, or add the file: transformers writes it for its fast tokenizers"
        )
        try:
            found = transformers.AutoTokenizer.from_pretrained(
                folder.path, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise UsageError("the tokenizer cannot be read", where=source, got=error, next_step=next_step) from error
        inner = getattr(found, "backend_tokenizer", None)
        if not isinstance(inner, tokenizers.Tokenizer):
            got = type(found).__name__
            raise UsageError("the tokenizer runs only in Python", where=source, got=got, next_step=next_step)
        return PretrainedTokenizer(tokenizers.Tokenizer.from_str(inner.to_str()), _config(found))

    @staticmethod
    def parse(text: str) -> PretrainedTokenizer:
        """The tokenizer in the text that `json` returned.

        Raises:
            ValueError: the text is no tokenizer.
        """
        try:
            document = json.loads(text)
            inner = tokenizers.Tokenizer.from_str(json.dumps(document["tokenizer"]))
            if PIECES in document:
                from components.preprocessing.marian_tokenizer import MarianTokenizer

                return MarianTokenizer(inner, document["pretrained"], document[PIECES])
            return PretrainedTokenizer(inner, document["pretrained"])
        except Exception as error:  # the library raises the bare class
            raise ValueError(f"not a tokenizer: {error}") from error

    def json(self) -> str:
        """Settings and tokenizer as JSON; equal tokenizers give equal texts."""
        document = {"pretrained": self.config, "tokenizer": json.loads(self._inner.to_str())}
        return json.dumps(document, ensure_ascii=False)

    def special_number(self, name: str) -> int | None:
        """The number of a special token (`pad`, `eos`, `bos`, `unk`, `cls`, `sep`, `mask`), if the model has it."""
        token = self.config.get(f"{name}_token")
        return None if token is None else self._inner.token_to_id(token)

    def encode(self, texts: Sequence[str], max_length: int) -> list[NDArray[np.int64]]:
        """Token numbers of each text with its special tokens, (T,) with 1 <= T <= max_length.

        Longer texts lose tokens of the text, not special tokens, as with transformers' `truncation=True`.
        """
        parts = [begin(text, max_length, self._side) for text in texts]
        found = self._batch(parts)
        return [
            self._numbers(self._fitting(encoding, part, text, max_length))
            for text, part, encoding in zip(texts, parts, found, strict=True)
        ]

    def encode_words(self, samples: Sequence[Sequence[str]], max_length: int) -> list[Split]:
        """Token numbers of samples that are lists of words, with the word of each token.

        As transformers' `is_split_into_words=True`; a byte-level tokenizer has `add_prefix_space=True`: each word is
        tokenised as it is inside of a text.
        """
        parts: list[Split] = []
        for sample in samples:
            words = list(sample)
            part = begin(words, max_length, self._side)
            encoding = self._of_words.encode(part, is_pretokenized=True)
            encoding = self._fitting(encoding, part, words, max_length)
            numbers = np.asarray([-1 if word is None else word for word in encoding.word_ids], np.int64)
            tokens = self._numbers(encoding)
            parts.append(Split(tokens, numbers if len(numbers) else np.full(1, -1, np.int64)))
        return parts

    def _fitting(self, found: tokenizers.Encoding, part: Text, text: Text, max_length: int) -> tokenizers.Encoding:
        """The encoding of a text from that of a part of it, cut to a length."""
        if len(found.ids) <= max_length and part is text:
            return found
        enough = suffices(len(found.ids), part, text, max_length)
        return self._truncated(part if enough else text, max_length)

    def _truncated(self, text: str | list[str], max_length: int) -> tokenizers.Encoding:
        split = isinstance(text, list)
        inner = self._of_words if split else self._inner
        encoding = inner.encode(text, is_pretokenized=split, add_special_tokens=False)
        encoding.truncate(max(0, max_length - self._ends), direction=self._side)
        return inner.post_process(encoding)

    def _numbers(self, encoding: tokenizers.Encoding) -> NDArray[np.int64]:
        """A text without any token, of a tokenizer without special tokens, becomes one unknown token."""
        ids = encoding.ids or [self.unknown if self.unknown is not None else self.pad]
        return np.asarray(ids, np.int64)


def has_tokenizer(folder: hub_folder.HubFolder) -> bool:
    """Whether a model in Hugging Face's layout has a vocabulary."""
    return any(folder.file(name) for name in _VOCABULARIES)


def _config(tokenizer: Any) -> dict[str, Any]:
    """What `save_pretrained` writes into tokenizer_config.json, in a fixed order and without places."""
    kept = {name: value for name, value in tokenizer.init_kwargs.items() if name not in _LEFT_OUT}
    kept |= {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    kept |= {
        "tokenizer_class": type(tokenizer).__name__,
        "model_max_length": tokenizer.model_max_length,
        "truncation_side": tokenizer.truncation_side,
        "split_special_tokens": bool(tokenizer.split_special_tokens),
        "model_input_names": list(tokenizer.model_input_names),
    }
    if isinstance(tokenizer.chat_template, str):
        kept["chat_template"] = tokenizer.chat_template
    plain: dict[str, Any] = json.loads(json.dumps(kept, sort_keys=True, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    """An added token as transformers writes it; anything else as its text."""
    state = getattr(value, "__getstate__", lambda: None)()
    return {**state, "__type": "AddedToken"} if isinstance(state, dict) and "content" in state else str(value)


def _with_space_before_words(inner: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The tokenizer for lists of words: a byte-level pre-tokenizer puts a space before each word."""
    document = json.loads(inner.to_str())
    changed = False
    pending = [document.get("pre_tokenizer"), document.get("post_processor")]
    for part in pending:
        if not isinstance(part, dict):
            continue
        pending += [*part.get("pretokenizers", ()), *part.get("processors", ())]
        if part.get("add_prefix_space") is False:
            part["add_prefix_space"] = changed = True
    if not changed:
        return inner
    spaced = tokenizers.Tokenizer.from_str(json.dumps(document))
    spaced.encode_special_tokens = inner.encode_special_tokens
    return spaced
