"""The two sentencepiece models of Marian (source.spm, target.spm) with their vocabulary (vocab.json).

Each model splits texts into pieces of its own; the numbers of the pieces are those of vocab.json, which both share, or
of target_vocab.json for targets. The models are read once, at preparation, and kept in the form of the `tokenizers`
library, which is all that answering needs; that both split alike is compared on the texts of the data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from components.core.errors import CorruptArtifactError, UsageError
from components.identity import hub_folder
from components.identity.hub_folder import HubFolder
from components.preprocessing.pretrained_tokenizer import PIECES, PretrainedTokenizer
from components.preprocessing.text import begin, suffices

SOURCE, TARGET, VOCABULARY, TARGET_VOCABULARY = "source.spm", "target.spm", "vocab.json", "target_vocab.json"
SPACE = "\u2581"  # of sentencepiece
SHOWN = 60  # characters of a text in an error


class MarianTokenizer(PretrainedTokenizer):
    """One of the two models. Safe to call from several threads.

    Args:
        inner: the model; its numbers are sentencepiece's own.
        config: the settings of tokenizer_config.json.
        numbers: the number of each token of the vocabulary.
    """

    def __init__(self, inner: tokenizers.Tokenizer, config: dict[str, Any], numbers: dict[str, int]) -> None:
        super().__init__(inner, config)
        self._numbers_of = numbers
        self._tokens = {number: token for token, number in numbers.items()}
        self.vocabulary = 1 + max(numbers.values())
        special = (self.special_number(name) for name in ("pad", "eos", "unk"))
        pad, self._end, self.unknown = (0 if number is None else number for number in special)
        self.pad = pad
        self.special = tuple(sorted({pad, self._end, self.unknown}))

    def json(self) -> str:
        """Settings, model and vocabulary as JSON."""
        document = {"pretrained": self.config, "tokenizer": json.loads(self._inner.to_str()), PIECES: self._numbers_of}
        return json.dumps(document, ensure_ascii=False)

    def special_number(self, name: str) -> int | None:
        """The number of a special token (`pad`, `eos`, `unk`), if the vocabulary has it."""
        numbers: dict[str, int] | None = getattr(self, "_numbers_of", None)
        token = self.config.get(f"{name}_token")
        return None if token is None or numbers is None else numbers.get(token)

    def numbers(self) -> dict[str, int]:
        """The number of each token."""
        return dict(self._numbers_of)

    def encode(self, texts: Sequence[str], max_length: int) -> list[NDArray[np.int64]]:
        """Token numbers of each text with its end token, (T,) with 1 <= T <= max_length.

        A code of the language to translate into, such as `>>fr<<`, is one token where a text begins with it.
        """
        return [np.append(self._first_pieces(text, max_length)[: max_length - 1], self._end) for text in texts]

    def decode(self, tokens: NDArray[np.int64]) -> str:
        """The text of token numbers, without special tokens and without space around it."""
        pieces = [self._tokens.get(number, "") for number in tokens.tolist() if number not in self.special]
        return "".join(pieces).replace(SPACE, " ").strip()

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, as sentencepiece names them."""
        return list(self._inner.encode(text, add_special_tokens=False).tokens)

    def _first_pieces(self, text: str, max_length: int) -> NDArray[np.int64]:
        part = begin(text, max_length)
        found = self._plain(part)
        return found if suffices(len(found), part, text, max_length) else self._plain(text)

    def _plain(self, text: str) -> NDArray[np.int64]:
        """Characters that the model does not know are a piece too, which the shared vocabulary may have."""
        code, rest = _language(text)
        pieces = [*([] if code is None else [code]), *self.pieces(rest)]
        return np.asarray([self._numbers_of.get(piece, self.unknown or 0) for piece in pieces], np.int64)


class Pair(NamedTuple):
    """The tokenizers of source and target, and sentencepiece's own models, for `check`."""

    source: MarianTokenizer
    target: MarianTokenizer
    models: tuple[Any, Any]

    def check(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Compare the pieces of texts with those of the sentencepiece library.

        Raises:
            UsageError: they differ: the model has a setting that the `tokenizers` library does not know.
        """
        for own, model, texts in ((self.source, self.models[0], sources), (self.target, self.models[1], targets)):
            for text in texts:
                theirs, ours = model.encode(text, out_type=str), own.pieces(text)
                if theirs != ours:
                    raise UsageError(
                        "the sentencepiece model splits this text in another way than the tokenizers library",
                        where=repr(text[:SHOWN]),
                        got=" ".join(ours[:20]),
                        expected=" ".join(theirs[:20]),
                        next_step="write a tokenizer.json for the model, which is then read in place of it",
                    )


def has_pair(folder: HubFolder) -> bool:
    """Whether a model has Marian's two sentencepiece models and no tokenizer.json."""
    return folder.file("tokenizer.json") is None and folder.file(SOURCE) is not None and folder.file(TARGET) is not None


def read(folder: HubFolder) -> Pair:
    """The tokenizers of a model in Hugging Face's layout.

    Raises:
        NotFoundError: a file is missing.
        CorruptArtifactError: a file cannot be read.
    """
    import sentencepiece

    config = _config(folder)
    shared = _vocabulary(folder, VOCABULARY)
    separate = bool(config.get("separate_vocabs"))
    vocabularies = (shared, _vocabulary(folder, TARGET_VOCABULARY) if separate else shared)
    found, models = [], []
    for name, vocabulary in zip((SOURCE, TARGET), vocabularies, strict=True):
        path = folder.path / name
        try:
            models.append(sentencepiece.SentencePieceProcessor(model_file=str(path)))
            found.append(MarianTokenizer(_converted(path), config, vocabulary))
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise CorruptArtifactError("the sentencepiece model cannot be read", where=str(path), got=error) from error
    return Pair(found[0], found[1], (models[0], models[1]))


def _config(folder: HubFolder) -> dict[str, Any]:
    """tokenizer_config.json with the special tokens that MarianTokenizer has by default."""
    own = folder.document(hub_folder.TOKENIZER_CONFIG) if folder.file(hub_folder.TOKENIZER_CONFIG) else {}
    plain = {name: value for name, value in own.items() if isinstance(value, str | int | float | bool)}
    special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    return {**special, **dict(sorted(plain.items())), "tokenizer_class": "MarianTokenizer"}


def _vocabulary(folder: HubFolder, name: str) -> dict[str, int]:
    document = folder.document(name)
    numbers = {token: number for token, number in document.items() if isinstance(number, int)}
    if "<unk>" not in numbers or len(numbers) < len(document):
        where = f"{folder.source}, {name}"
        raise CorruptArtifactError("the vocabulary has no numbers of tokens", where=where, expected="<unk> among them")
    return numbers


def _converted(path: Path) -> tokenizers.Tokenizer:
    """A sentencepiece model as the `tokenizers` library has it, by transformers' converter."""
    from transformers.convert_slow_tokenizer import SpmConverter

    inner = SpmConverter(SimpleNamespace(vocab_file=str(path))).converted()
    found: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(inner.to_str())
    return found


def _language(text: str) -> tuple[str | None, str]:
    """The code of a language at the begin of a text, and the rest."""
    end = text.find("<<") if text.startswith(">>") else -1
    return (None, text) if end < 0 else (text[: end + 2], text[end + 2 :])
