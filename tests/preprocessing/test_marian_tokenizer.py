"""Marian's two sentencepiece models against transformers' MarianTokenizer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import UsageError
from components.identity import hub_folder
from components.preprocessing import marian_tokenizer
from components.preprocessing.text import Tokenizer
from tests import hub_generators

ENGLISH = [
    "Two young, white males are outside near many bushes.", "A little girl climbing into a wooden playhouse.",
    "Several men in hard hats are operating a giant pulley system.", "A man in a blue shirt is on a ladder.",
    "Two men are at the stove preparing food.", "A boy wearing headphones sits on a woman's shoulders.",
] * 4  # fmt: skip
GERMAN = [
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.", "Ein kleines Mädchen klettert ins Spielhaus.",
    "Mehrere Männer mit Schutzhelmen bedienen ein Antriebsradsystem.", "Ein Mann in einem blauen Hemd auf der Leiter.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.", "Ein Junge mit Kopfhörern sitzt auf den Schultern.",
] * 4  # fmt: skip
ODD = [
    "", " ", "  two   spaces  ", "Ünïcödé ☃ 日本語", ">>de<< A man", "a >>de<< b", "tab\tand\nline", "ﬁ ½ №",
    "</s> <unk> <pad>", "x" * 50,
]  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["shared", "separate"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("marian")
    (place / "config.json").write_text('{"model_type": "marian"}')
    hub_generators.sentencepiece_pair(place, ENGLISH, GERMAN, separate=request.param)
    return place


def _theirs(folder: Path) -> Any:
    from transformers import MarianTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sacremoses is not there: it would change punctuation
        return MarianTokenizer.from_pretrained(folder)


def test_tokens_are_those_of_transformers(folder: Path) -> None:
    theirs = _theirs(folder)
    found = hub_folder.HubFolder("test", folder)
    assert marian_tokenizer.has_pair(found)
    pair = marian_tokenizer.read(found)
    plain = [text for text in ODD if "<unk>" not in text]  # transformers takes these for special tokens
    pair.check([*ENGLISH, *plain[5:]], [*GERMAN, *plain[5:]])
    for own, texts, of in ((pair.source, ENGLISH, "text"), (pair.target, GERMAN, "text_target")):
        again = Tokenizer.parse(own.json())
        for text in [*texts[:6], *plain]:
            expected = theirs(**{of: text})["input_ids"]
            assert own.encode([text], 200)[0].tolist() == expected, repr(text)
            assert again.encode([text], 200)[0].tolist() == expected
            cut = theirs(**{of: text}, truncation=True, max_length=5)["input_ids"]
            assert own.encode([text], 5)[0].tolist() == cut
        assert (own.vocabulary, own.pad) == (theirs.vocab_size if of == "text" else own.vocabulary, own.pad)
    for text in GERMAN[:6]:
        tokens = pair.target.encode([text], 200)[0]
        expected = theirs.decode(tokens, skip_special_tokens=True, use_source_tokenizer=False)
        assert pair.target.decode(tokens) == expected
        assert Tokenizer.parse(pair.target.json()).decode(tokens) == expected
    assert pair.target.decode(np.asarray([pair.target.pad, 0, 1])) == ""


def test_texts_that_the_library_would_split_in_another_way_are_refused(folder: Path) -> None:
    pair = marian_tokenizer.read(hub_folder.HubFolder("test", folder))
    swapped = pair._replace(models=(pair.models[1], pair.models[0]))
    with pytest.raises(UsageError, match="splits this text in another way"):
        swapped.check(ENGLISH, [])
