"""Text generation, from texts to what follows a prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from components.core.errors import SampleError
from components.preprocessing.batch import Arrays
from components.preprocessing.text import BEGIN, END
from components.tasks import find
from components.tasks.description import describe_prepared
from components.tasks.growing_text import GrowingText
from components.tasks.task import RawSample
from components.tasks.text_generation import TextGenerationParameters, TextGenerationProcessor
from tests import hub_generators
from tests.tasks import whole_path

TASK = find("text-generation")
SAMPLES = [{"text": "one two three four five six seven"}, {"text": "two four six"}, {"text": "seven eight"}]


@pytest.fixture
def processor(tmp_path: Path) -> TextGenerationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer={"kind": "words", "min_frequency": 1}, max_length=6)


def counting(processor: TextGenerationProcessor):
    """After "one" comes "two", and so on; "eight" is the end."""
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    order = [int(tokens[0]) for tokens in processor.tokenizer.encode(names, 1)]
    follows = {BEGIN: order[0], **dict(zip(order, [*order[1:], END], strict=True))}

    def run(graph: str, feed: Arrays) -> Arrays:
        assert graph == "model"
        assert tuple(feed) == processor.inputs()
        assert feed["tokens"].shape[1] <= 6
        last = feed["tokens"][np.arange(len(feed["tokens"])), feed["tokens_lengths"] - 1]
        logits = np.zeros((len(last), processor.tokenizer.vocabulary), np.float32)
        logits[np.arange(len(last)), [follows[token] for token in last.tolist()]] = 5
        return {"logits": logits}

    return run


def ask(processor: TextGenerationProcessor, prompts: list[str], **parameters: object):
    samples = [processor.read(prompt, max_pixels=0) for prompt in prompts]
    return whole_path.alone_and_batched(
        processor, counting(processor), samples, [], TextGenerationParameters.model_validate(parameters)
    )


def test_prompts_of_unequal_lengths_go_on_alike_alone_and_batched(processor: TextGenerationProcessor) -> None:
    answers = ask(processor, ["one two three", "", "seven", "eight"], max_tokens=9)
    assert [answer["text"].strip() for answer in answers] == [
        "four five six seven eight", "one two three four five six seven eight", "eight", "",
    ]  # fmt: skip
    assert [answer["stopped"] for answer in answers] == ["end"] * 4
    assert [answer["tokens"] for answer in answers] == [5, 8, 1, 0]
    probabilities = 5 - np.log(np.exp(5) + processor.tokenizer.vocabulary - 4)  # [PAD], [UNK], [BEGIN] are never chosen
    assert answers[0]["score"] == pytest.approx(probabilities, rel=1e-6)


def test_it_stops_where_it_is_told_to(processor: TextGenerationProcessor) -> None:
    answers = ask(processor, ["one", "two three"], max_tokens=2)
    assert [(answer["text"], answer["stopped"]) for answer in answers] == [
        (" two three", "length"), (" four five", "length"),
    ]  # fmt: skip
    answers = ask(processor, ["one", "five"], stop=["three", "four"])
    assert [(answer["text"], answer["stopped"]) for answer in answers] == [
        (" two ", "stop"), (" six seven eight", "end"),
    ]  # fmt: skip


def test_equal_seeds_write_equal_texts_and_others_do_not(processor: TextGenerationProcessor) -> None:
    first, again, other = (
        ask(processor, ["one", "one two"], temperature=5.0, seed=seed, max_tokens=30) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_byte_pairs_keep_the_space_between(tmp_path: Path) -> None:
    processor = whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer={"kind": "bpe", "vocabulary": 280}, max_length=64)
    expected = processor.tokenizer.encode(["one two"], 64)[0]
    prompt = processor.tokenizer.encode(["one"], 64)[0]
    assert processor._continuation(prompt, expected[len(prompt) :]) == " two"


def test_texts_are_encoded_from_begin_to_end(processor: TextGenerationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, None))
    batch = whole_path.stored(processor, encoded)
    assert batch["tokens_lengths"].tolist() == [6, 5, 4]
    assert (batch["tokens"][:, 0] == BEGIN).all()
    assert encoded[0]["tokens"][-1] != END  # it is cut
    assert [sample["text_tokens"].tolist()[:6] for sample in encoded] == [one["tokens"].tolist() for one in encoded]
    assert batch["text_tokens_lengths"].tolist() == [9, 5, 4]  # of the whole text
    assert encoded[0]["text_tokens"][-1] == END
    assert encoded[1]["tokens"][-1] == END
    assert tuple(describe_prepared(TASK, processor, batch)) == TASK.prepared_columns
    assert (processor.input_spec().kind, processor.output_spec().kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert processor.output_spec().vocabulary == processor.input_spec().vocabulary


def test_a_network_that_answers_for_every_token_is_read_at_the_last(processor: TextGenerationProcessor) -> None:
    run = counting(processor)

    def wide(graph: str, feed: Arrays) -> Arrays:
        logits = np.zeros((*feed["tokens"].shape, processor.tokenizer.vocabulary), np.float32)
        logits[np.arange(len(logits)), feed["tokens_lengths"] - 1] = run(graph, feed)["logits"]
        return {"logits": logits}

    samples = [processor.read(prompt, max_pixels=0) for prompt in ("one two three", "seven")]
    assert processor.answer(wide, samples, [], None) == processor.answer(run, samples, [], None)


def test_an_example_is_a_prompt() -> None:
    example = TASK.example({"text": "a b  c d"})
    assert (example.content, example.truth, example.media) == (b"a b", "c d", "text/plain")


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}, {"seed": -1}, {"stop": "x"}]
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TextGenerationParameters.model_validate(wrong)


@pytest.mark.parametrize("item", [b"\xff", 3, None])
def test_bad_requests_are_refused(processor: TextGenerationProcessor, item: object) -> None:
    with pytest.raises(SampleError, match="text"):
        processor.read(item, max_pixels=0)


def test_a_stream_computes_only_what_is_asked_for(processor: TextGenerationProcessor) -> None:
    runs = 0
    answers = counting(processor)

    def run(graph: str, feed: Arrays) -> Arrays:
        nonlocal runs
        runs += 1
        return answers(graph, feed)

    parts = processor.stream(run, processor.read("one", max_pixels=0), [], None)
    assert runs == 0
    assert [next(parts).text for _ in range(2)] == [" two", " three"]
    assert runs == 2
    parts.close()
    assert runs == 2


def test_a_stream_ends_with_reason_and_counts(processor: TextGenerationProcessor) -> None:
    sample = processor.read("one two", max_pixels=0)
    chosen = TextGenerationParameters(stop=["five six"])
    *before, last = processor.stream(counting(processor), sample, [], chosen)
    assert [part.text for part in before] == [" three", " four", " ", ""]  # "five" may be the begin of the stop text
    assert (last.text, last.tokens, last.prompt_tokens) == ("", 4, 2)
    assert last.prediction == processor.answer(counting(processor), [sample], [], chosen)[0]
    assert last.prediction["stopped"] == "stop"


@pytest.mark.parametrize("tokenizer", [{"kind": "bpe", "vocabulary": 400}, {"kind": "words", "min_frequency": 1}])
def test_what_grows_is_the_begin_of_the_answer_whatever_comes(tokenizer: dict[str, object], tmp_path: Path) -> None:
    """Random tokens: halves of characters, bytes that are no UTF-8, space, and stop texts that come in pieces."""
    texts = ["one two  three naïve café 日本語\n new", "emoji 😀😃 and ümläut", " seven  eight "]
    samples = [{"text": text} for text in texts * 3]
    processor = whole_path.fitted(TASK, samples, tmp_path, tokenizer=tokenizer, max_length=64)
    rng = np.random.default_rng(0)
    whole_characters = 0
    for _ in range(400):
        prompt = processor.read(str(rng.choice(texts))[: rng.integers(0, 20)], max_pixels=0)["tokens"]
        tokens = rng.integers(4, processor.tokenizer.vocabulary, rng.integers(1, 20))
        if rng.random() < 0.5:
            tokens = np.concatenate([*processor.tokenizer.encode([str(rng.choice(texts))], 99), tokens])
        stop = [[], ["e"], ["two  th", " n"], ["é 日", "\n n", "\ufb01"]][rng.integers(4)]
        growing, count = GrowingText(processor.tokenizer, prompt, stop), 0
        for count in range(1, len(tokens) + 1):
            growing.push(int(tokens[count - 1]))
            continuation = processor._continuation(prompt, tokens[:count])
            answer = processor._before_stop(continuation, stop)
            assert growing.stopped == any(ending in continuation for ending in stop)
            assert answer.startswith(growing.emitted)
            if growing.stopped:
                assert growing.emitted == answer
                break
        whole_characters += "日" in growing.emitted or "😀" in growing.emitted
    assert whole_characters > 20


def test_a_pretrained_tokenizer_begins_and_ends_texts_as_its_model_does(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for kind, begins in (("llama", True), ("gpt2", False)):
        place = hub_generators.causal_lm(tmp_path / kind, kind)
        own = {"kind": "pretrained", "source": f"folder:{place}"}
        processor = whole_path.fitted(TASK, SAMPLES, tmp_path, tokenizer=own, max_length=64)
        theirs = AutoTokenizer.from_pretrained(place)
        ids = theirs("one two")["input_ids"]
        assert (ids[0] == theirs.bos_token_id) == begins
        assert processor.read("one two", max_pixels=0)["tokens"].tolist() == ids
        (encoded,) = processor.encode([RawSample({"text": "one two"}, {})])
        assert encoded["text_tokens"].tolist() == [*ids, theirs.eos_token_id]
        empty = processor.read("", max_pixels=0)["tokens"].tolist()
        assert empty == [theirs.bos_token_id]
        assert processor.special_tokens().never == []
