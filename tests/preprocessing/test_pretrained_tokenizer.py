"""The tokenizer of a pretrained model against transformers' own AutoTokenizer, on odd texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from components.core.errors import SourceError, UsageError
from components.preprocessing.pretrained_tokenizer import PretrainedTokenizer
from components.preprocessing.text import Tokenizer
from components.preprocessing.tokenizer_spec import Pretrained
from tests import hub_models

KINDS = ("wordpiece", "bytes", "unigram")


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    hub_models.tokenizer(request.param).save_pretrained(folder)
    return folder


def _ours(folder: Path) -> Tokenizer:
    fitted = Tokenizer.fit(Pretrained(kind="pretrained", source=f"folder:{folder}"), iter(()))
    return Tokenizer.parse(fitted.json())  # as in a package


def _same(ours: Tokenizer, theirs: Any, texts: Sequence[str], max_length: int) -> None:
    expected = theirs(list(texts), truncation=True, max_length=max_length)["input_ids"]
    assert [tokens.tolist() for tokens in ours.encode(texts, max_length)] == expected
    assert [ours.encode([text], max_length)[0].tolist() for text in texts] == expected


def test_odd_texts_have_transformers_own_tokens(folder: Path) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(folder), _ours(folder)
    for max_length in (512, 8, 3):
        _same(ours, theirs, hub_models.ODD, max_length)
    assert ours.pad == theirs.pad_token_id
    assert ours.vocabulary == len(theirs)


LONG = (
    " ".join(hub_models.ODD) * 300,
    "日本語" * 8_000,
    "film" * 6_000,
    " " * 25_000 + "good",
    "The film is good. " * 2_000,
)


def test_of_a_text_that_is_far_too_long_the_tokens_are_the_same(folder: Path, tmp_path: Path) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(folder), _ours(folder)
    assert all(len(text) > 15_000 for text in LONG)
    for max_length in (32, 3):
        _same(ours, theirs, LONG, max_length)
    theirs = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    theirs.save_pretrained(tmp_path)
    _same(_ours(tmp_path), theirs, LONG, 32)
    words = [["The", "film", "is", "Ärger"] * 4_000, ["good" * 8_000, "film", *["is"] * 300], ["film"] * 5]
    theirs, ours = AutoTokenizer.from_pretrained(folder, add_prefix_space=True), _ours(folder)
    expected = theirs(words, is_split_into_words=True, truncation=True, max_length=16)
    for row, split in enumerate(ours.encode_words(words, 16)):
        assert split.tokens.tolist() == expected["input_ids"][row]
        assert [None if word < 0 else word for word in split.words.tolist()] == expected.word_ids(row)


def test_lists_of_words_have_transformers_own_tokens(folder: Path) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(folder, add_prefix_space=True), _ours(folder)
    samples = [["The", "film", "is", "Ärger"], ["naïve"], ["don't", "☃", "日本語"] * 6]
    for max_length in (64, 6):
        expected = theirs(samples, is_split_into_words=True, truncation=True, max_length=max_length)
        for row, split in enumerate(ours.encode_words(samples, max_length)):
            assert split.tokens.tolist() == expected["input_ids"][row]
            assert [None if word < 0 else word for word in split.words.tolist()] == expected.word_ids(row)


def test_added_tokens_and_the_side_of_truncation_are_the_models_own(tmp_path: Path) -> None:
    words = hub_models.tokenizer("wordpiece")
    words.add_tokens(["@user"])
    words.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": "left"}))
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), _ours(tmp_path)
    assert theirs.truncation_side == "left"
    _same(ours, theirs, ["hello @user the film is good", "@user"], 5)
    assert ours.vocabulary == len(theirs)


def test_special_tokens_may_be_split_in_texts(tmp_path: Path) -> None:
    words = hub_models.tokenizer("wordpiece")
    words.save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path, split_special_tokens=True)
    theirs.save_pretrained(tmp_path)
    ours = _ours(tmp_path)
    assert isinstance(ours, PretrainedTokenizer)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    _same(ours, expected, ["a [MASK] b"], 20)
    assert ours.special_number("mask") not in ours.encode(["a [MASK] b"], 20)[0].tolist()


def test_a_bare_vocabulary_is_converted_with_its_own_casing(tmp_path: Path) -> None:
    words = hub_models.tokenizer("wordpiece")
    vocabulary = words.get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for cased in ("", '{"do_lower_case": false}'):
        if cased:
            (tmp_path / "tokenizer_config.json").write_text(cased)
        _same(_ours(tmp_path), AutoTokenizer.from_pretrained(tmp_path), hub_models.ODD, 64)


def test_a_sentencepiece_model_is_converted(tmp_path: Path) -> None:
    """DeBERTa-v3's folder has spm.model and no tokenizer.json."""
    import sentencepiece

    (tmp_path / "lines.txt").write_text("\n".join(hub_models.LINES))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "lines.txt"), model_prefix=str(tmp_path / "spm"), vocab_size=70, minloglevel=2,
        hard_vocab_limit=False, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]",
        eos_piece="[SEP]", unk_piece="[UNK]",
    )  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs("The film is good")["input_ids"]) > 4
    _same(_ours(tmp_path), theirs, hub_models.ODD, 64)
    assert _ours(tmp_path).pad == theirs.pad_token_id == 0


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="has no tokenizer"):
        _ours(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read"):
        _ours(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.X", null]}}')
    with pytest.raises(UsageError, match="cannot be read"):
        _ours(tmp_path)
    monkeypatch.setenv("MODELYARD_MIRROR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="cannot be fetched"):
        Tokenizer.fit(Pretrained(kind="pretrained", source="hub:not-here"), iter(()))


def test_the_text_of_a_tokenizer_has_no_place_of_the_machine(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert _ours(moved).json() == _ours(folder).json()
    assert str(folder) not in _ours(folder).json()
