"""Text classification, from raw samples to answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import CorruptArtifactError, SampleError
from components.preprocessing.batch import Arrays
from components.tasks import find, input_rows
from components.tasks.description import describe_prepared
from components.tasks.text_classification import TextClassificationProcessor
from tests.tasks import whole_path

TASK = find("text-classification")
SAMPLES = [
    {"text": "good good film , really good", "label": "yes"},
    {"text": "bad", "label": "no"},
    {"text": "a bad , bad film", "label": "no"},
    {"text": "good", "label": "yes"},
]


@pytest.fixture
def processor(tmp_path: Path) -> TextClassificationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer={"kind": "words", "min_frequency": 1}, max_length=5)


def network(processor: TextClassificationProcessor):
    """A network that looks no further than the lengths: the share of "good" is the probability of "yes"."""
    good = processor.tokenizer.encode(["good"], 1)[0][0]

    def run(graph: str, feed: Arrays) -> Arrays:
        assert graph == "model"
        assert tuple(feed) == processor.inputs()
        inside = np.arange(feed["tokens"].shape[1]) < feed["tokens_lengths"][:, None]
        yes = ((feed["tokens"] == good) & inside).sum(axis=1) / feed["tokens_lengths"]
        return {"probabilities": np.stack([1 - yes, yes], axis=1).astype(np.float32)}

    return run


def test_from_raw_to_answers(processor: TextClassificationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, None))
    batch = whole_path.stored(processor, encoded)
    assert batch["tokens"].shape == (4, 5)  # the first text has 6 tokens and is cut
    assert batch["tokens_lengths"].tolist() == [5, 1, 5, 1]
    assert batch["labels"].tolist() == [1, 0, 0, 1]
    read = [processor.read(sample["text"], max_pixels=0) for sample in SAMPLES]
    for sample, other in zip(read, encoded, strict=True):
        assert (sample["tokens"] == other["tokens"]).all()
    answers = whole_path.alone_and_batched(processor, network(processor), read, ["no", "yes"])
    assert [answer["label"] for answer in answers] == ["no", "no", "no", "yes"]
    assert answers[3]["probabilities"] == {"no": 0.0, "yes": 1.0}
    looked = describe_prepared(TASK, processor, batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["tokens"].tolist() == [5, 1, 5, 1]
    assert looked["unknown_share"].tolist() == [0, 0, 0, 0]


def test_words_that_train_does_not_have_are_a_share_of_the_text(processor: TextClassificationProcessor) -> None:
    texts = ("good film", "a good ugly tree", "", "tree")
    read = [processor.read(text, max_pixels=0) for text in texts]
    rows = input_rows.rows(TASK, processor, list(texts), read)
    assert rows["prepared.unknown_share"] == [0, 0.5, 1, 1]  # an empty text is one unknown token


def test_a_tokenizer_without_unknown_tokens_knows_all(tmp_path: Path) -> None:
    pieces = whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer={"kind": "bpe", "vocabulary": 300}, max_length=9)
    rows = input_rows.rows(TASK, pieces, ["∂x"], [pieces.read("∂x", max_pixels=0)])
    assert rows["prepared.unknown_share"] == [0]


def test_what_a_network_gets_and_gives(processor: TextClassificationProcessor) -> None:
    input_spec, output_spec = processor.input_spec(), processor.output_spec()
    assert (input_spec.kind, output_spec.kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert (input_spec.vocabulary, input_spec.max_length, input_spec.pad) == (processor.tokenizer.vocabulary, 5, 0)
    assert output_spec.classes == 2


def test_a_body_and_a_json_request_are_read_alike(processor: TextClassificationProcessor) -> None:
    items = processor.items({"texts": ["good film", "bad"]})
    assert processor.items({"text": "bad"}) == ["bad"]
    for item in items:
        one, other = processor.read(item, max_pixels=0), processor.read(item.encode(), max_pixels=0)
        assert (one["tokens"] == other["tokens"]).all()
    with pytest.raises(SampleError, match="list"):
        processor.items({"texts": "bad"})
    with pytest.raises(SampleError, match="UTF-8"):
        processor.read(b"\xff", max_pixels=0)


def test_a_sample_that_does_not_fit_is_named(processor: TextClassificationProcessor) -> None:
    raw = whole_path.raws(TASK, [*SAMPLES, {"text": "good", "label": "perhaps"}], None)
    with pytest.raises(SampleError, match="none of the classes") as caught:
        processor.encode(raw)
    assert caught.value.where == "sample 4"


def test_an_example_is_what_a_client_sends(processor: TextClassificationProcessor) -> None:
    example = TASK.example(SAMPLES[0])
    assert (example.media, example.suffix, example.truth) == ("text/plain", ".txt", "yes")
    assert example.media == processor.endpoint(["no", "yes"]).media[0]
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES[:1], None))[0]
    assert (processor.read(example.content, max_pixels=0)["tokens"] == encoded["tokens"]).all()


def test_raw_samples_are_seen_as_they_are() -> None:
    assert tuple(TASK.describe(SAMPLES[0])) == TASK.raw_columns
    assert TASK.labels(SAMPLES[0]) == ["yes"]
    assert TASK.content({"text": "e\u0301"}) == TASK.content({"text": "\u00e9"})


def test_a_damaged_tokenizer_is_refused(processor: TextClassificationProcessor, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match="tokenizer"):
        TASK.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CorruptArtifactError, match="tokenizer"):
        TASK.load(tmp_path)


@pytest.mark.slow
def test_serving_needs_no_training_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, components.tasks.text_classification\nlight = 'numpy' not in sys.modules\n"
        "import components.preprocessing.text\n"
        "print(light, sorted({'torch', 'pandas', 'PIL', 'pyarrow', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"
