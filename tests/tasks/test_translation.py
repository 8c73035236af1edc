"""Translation, from pairs of texts to a beam search over two graphs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.errors import CorruptArtifactError, SampleError
from components.preprocessing.batch import Arrays
from components.preprocessing.text import BEGIN, END, PAD, UNKNOWN
from components.tasks import find
from components.tasks.description import describe_prepared
from components.tasks.translation import TranslationParameters, TranslationProcessor
from tests import hub_generators
from tests.tasks import whole_path

TASK = find("translation")
SAMPLES = [
    {"source": "two dogs run over the green grass", "target": "zwei Hunde laufen über das grüne Gras"},
    {"source": "a dog", "target": "ein Hund"},
    {"source": "the dog runs .", "target": "der Hund läuft ."},
]
BPE = {"kind": "bpe", "vocabulary": 320}


@pytest.fixture(params=[True, False], ids=["shared", "separate"])
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> TranslationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer=BPE, shared=request.param, max_length=64)


def copying(processor: TranslationProcessor):
    """Writes the source's tokens again: the encoder hands them on, the decoder knows how far it has come."""
    size = processor.output_spec().vocabulary

    def run(graph: str, feed: Arrays) -> Arrays:
        if graph == "encoder":
            assert set(feed) == {"source", "source_lengths"}
            return {"memory": feed["source"][..., None].astype(np.float32)}  # (N, S, 1)
        assert graph == "decoder"
        place = feed["target"].shape[1] - 1
        assert (feed["target"][:, 0] == BEGIN).all()
        logits = np.random.default_rng(place).normal(size=(1, size)).repeat(len(feed["memory"]), 0).astype(np.float32)
        inside = place < feed["source_lengths"]
        copied = feed["memory"][:, min(place, feed["memory"].shape[1] - 1), 0].astype(np.int64)
        logits[np.arange(len(logits)), np.where(inside & (copied != UNKNOWN), copied, END) % size] += 9
        return {"logits": logits}

    return run


@pytest.mark.parametrize("beams", [1, 3])
def test_sources_of_unequal_lengths_are_translated_alike_alone_and_batched(tmp_path: Path, beams: int) -> None:
    processor = whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer=BPE, max_length=64)
    texts = [*(sample["source"] for sample in SAMPLES), ""]
    samples = [processor.read(text, max_pixels=0) for text in texts]
    answers = whole_path.alone_and_batched(
        processor, copying(processor), samples, [], TranslationParameters(beams=beams)
    )
    assert [answer["text"] for answer in answers] == texts
    assert all(answer["score"] < 0 for answer in answers)


def test_a_request_may_set_how_long_it_gets(tmp_path: Path) -> None:
    processor = whole_path.fitted(
        TASK, SAMPLES, tmp_path, tokenizer={"kind": "words", "min_frequency": 1}, max_length=64
    )
    samples = [processor.read(SAMPLES[0]["source"], max_pixels=0)]
    short = processor.answer(copying(processor), samples, [], TranslationParameters(max_length=3, beams=1))
    assert short[0]["text"] == "two dogs run"
    assert processor.answer(copying(processor), samples, [], None)[0]["text"] == SAMPLES[0]["source"]
    for wrong in ({"beams": 0}, {"beams": 2.5}, {"length_penalty": -1.0}, {"spam": 1}):
        with pytest.raises(ValidationError):
            TranslationParameters.model_validate(wrong)


def test_pairs_are_encoded_and_targets_come_back(processor: TranslationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, None))
    batch = whole_path.stored(processor, encoded)
    for sample in encoded:
        assert sample["source"][-1] == END
        assert (sample["target"][0], sample["target"][-1]) == (BEGIN, END)
        assert sample["source"].min() > PAD
    assert processor.references(batch) == [sample["target"] for sample in SAMPLES]
    assert processor.sources(batch) == [sample["source"] for sample in SAMPLES]
    read = processor.read(TASK.example(SAMPLES[0]).content, max_pixels=0)
    assert (read["source"] == encoded[0]["source"]).all()
    looked = describe_prepared(TASK, processor, batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["source_tokens"].tolist() == [len(sample["source"]) for sample in encoded]


def test_what_is_too_long_is_cut_and_still_ends(processor: TranslationProcessor) -> None:
    long = {"source": "dog " * 200, "target": "Hund " * 200}
    found = processor.encode(whole_path.raws(TASK, [long], None))[0]
    assert len(found["source"]) == len(found["target"]) == 64
    assert found["source"][-1] == found["target"][-1] == END
    batch = whole_path.stored(processor, [found])
    assert processor.references(batch) == [long["target"]]  # the reference is what the data has
    assert processor.sources(batch) == [long["source"]]


def test_references_have_the_words_that_the_vocabulary_lacks(tmp_path: Path) -> None:
    words = whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer={"kind": "words"}, max_length=8)
    odd = {"source": "an  Unheard dog", "target": "Ein UNERHÖRTER  Hund!"}
    assert words.references(whole_path.stored(words, words.encode(whole_path.raws(TASK, [odd], None)))) == [
        odd["target"]
    ]


def test_what_a_network_gets_and_gives(processor: TranslationProcessor) -> None:
    input_spec, output_spec = processor.input_spec(), processor.output_spec()
    assert (input_spec.kind, output_spec.kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert (output_spec.begin, output_spec.end, output_spec.pad, output_spec.max_length) == (BEGIN, END, PAD, 64)
    if processor.shared:
        assert input_spec.vocabulary == output_spec.vocabulary
    assert processor.inputs() == ("source", "source_lengths", "target")


@pytest.mark.parametrize("item", [b"\xff", 3, None, "half \ud800"])
def test_bad_requests_are_refused(processor: TranslationProcessor, item: object) -> None:
    with pytest.raises(SampleError, match="text"):
        processor.read(item, max_pixels=0)


def test_bad_samples_are_seen() -> None:
    seen = TASK.describe({"source": "a\ufffd", "target": ""})
    assert tuple(seen) == TASK.raw_columns
    assert (seen["source_valid"], seen["target_empty"], seen["length_ratio"], seen["same"]) == (False, True, 0.0, False)


def test_a_damaged_tokenizer_is_refused(processor: TranslationProcessor, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"source": "{}"}')
    with pytest.raises(CorruptArtifactError, match="tokenizer"):
        TASK.load(tmp_path)


def test_two_sentencepiece_models_of_marian_are_a_tokenizer_a_language(tmp_path: Path) -> None:
    place = tmp_path / "marian"
    place.mkdir()
    (tmp_path / "fitted").mkdir()
    sources, targets = ([sample[name] for sample in SAMPLES] for name in ("source", "target"))
    hub_generators.sentencepiece_pair(place, sources * 9, targets * 9)
    pad = len(json.loads((place / "vocab.json").read_text())) - 1
    config = {"model_type": "marian", "decoder_start_token_id": pad, "pad_token_id": pad, "eos_token_id": 0}
    (place / "config.json").write_text(json.dumps({**config, "bad_words_ids": [[pad]]}))
    tokenizer = {"kind": "pretrained", "source": f"folder:{place}"}
    processor = whole_path.fitted(TASK, SAMPLES, tmp_path / "fitted", tokenizer=tokenizer, max_length=64)
    assert processor.special_tokens() == (pad, 0, [pad])
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, None))
    batch = whole_path.stored(processor, encoded)
    for sample, own in zip(SAMPLES, encoded, strict=True):
        assert own["target"][0] == pad
        assert own["source"][-1] == own["target"][-1] == 0
        known = processor.target_text(own["target"][1:-1])
        assert set(known) <= set(sample["target"])  # the generator leaves some pieces out of the vocabulary
    assert processor.references(batch) == targets
