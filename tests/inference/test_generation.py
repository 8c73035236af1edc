"""Packages that keep keys, values and states answer as without, and as packages of earlier versions."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from components.core.errors import InferenceError, TrainingError
from components.inference.predictor import Predictor
from components.models.transformer_decoder import TransformerDecoder
from components.tasks.task import Prediction
from components.tasks.text_generation import TextGenerationParameters
from components.tasks.translation import TranslationParameters
from tests import generation_package
from tests.generation_package import MODELS

pytestmark = pytest.mark.slow

TEXTS = ["cat dog house", "", "river tree bird cat dog", "cat dog " * 20, "cat dog river"]  # one beyond the window


@pytest.fixture(scope="module", params=["decoder", "mamba", "seq2seq", "gru"])
def predictors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Predictor]:
    """Of a package of today, and of one of an earlier version."""
    folder = tmp_path_factory.mktemp(request.param)
    task, model = MODELS[request.param]
    made = generation_package.prepared(folder / "prepared", task)
    packages = [generation_package.build(folder / name, model, made, state=name == "new") for name in ("new", "old")]
    new, old = map(Predictor, packages)
    return new, old


def parameters(predictor: Predictor, **more: Any) -> Any:
    """For 40 tokens: past the window of 32, if the text is that long."""
    if predictor.task.name == "translation":
        return TranslationParameters(**more)
    return TextGenerationParameters(max_tokens=40, **more)


def same(answers: list[Prediction], others: list[Prediction]) -> None:
    for one, other in zip(answers, others, strict=True):
        assert {**one, "score": 0} == {**other, "score": 0}
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_the_answers_are_those_without_a_state(predictors: tuple[Predictor, Predictor]) -> None:
    new, old = predictors
    graph = "decoder" if new.task.name == "translation" else "model"
    assert new.states(graph)
    assert not old.states(graph)
    samples = new.read(TEXTS)
    draws: list[dict[str, Any]] = [{}, {"beams": 1}] if graph == "decoder" else [{}, {"temperature": 0.7, "seed": 3}]
    for more in draws:
        chosen = parameters(new, **more)
        answers = new.answer(samples, chosen)
        assert max(len(answer["text"]) for answer in answers) > 30
        same(answers, old.answer(samples, chosen))
        same(answers, new.processor.answer(new.run, samples, [], chosen))  # a function alone keeps no state
        same(answers, [new.answer([sample], chosen)[0] for sample in samples])
        same(answers, new.answer(samples[::-1], chosen)[::-1])


def test_each_token_is_read_once(predictors: tuple[Predictor, Predictor], monkeypatch: pytest.MonkeyPatch) -> None:
    new, _ = predictors
    read: list[int] = []
    advance = new.advance

    def counted(graph: str, feed: Any, state: Any = None) -> Any:
        read.append((feed["target"] if graph == "decoder" else feed["tokens"]).shape[1])
        return advance(graph, feed, state)

    monkeypatch.setattr(new, "advance", counted)
    if new.task.name == "translation":
        new.answer(new.read(TEXTS), TranslationParameters())
        assert set(read) == {1}
    else:
        new.answer(new.read(TEXTS[:3]), TextGenerationParameters(max_tokens=20))
        assert len(read) > 15
        assert set(read[1:]) == {1}  # the prompts without their last tokens, then each of the others


def test_the_parts_of_a_stream_are_the_answer(predictors: tuple[Predictor, Predictor]) -> None:
    for predictor in predictors:
        for text in TEXTS:
            (sample,) = predictor.read([text])
            chosen = parameters(predictor)
            parts = predictor.stream(sample, chosen)
            if predictor.task.name == "translation":
                assert parts is None
                continue
            assert parts is not None
            found = list(parts)
            prediction = found[-1].prediction
            assert prediction == predictor.answer([sample], chosen)[0]
            assert "".join(part.text for part in found) == prediction["text"]
            assert [part.prediction for part in found[:-1]] == [None] * (len(found) - 1)
            assert found[-1].tokens == prediction["tokens"]
            assert {part.prompt_tokens for part in found} == {len(sample["tokens"]) - 1}


def test_a_feed_without_an_input_is_an_error_that_names_the_graph(predictors: tuple[Predictor, Predictor]) -> None:
    new, _ = predictors
    graph = "decoder" if new.task.name == "translation" else "model"
    with pytest.raises(InferenceError, match="the graph failed"):
        new.advance(graph, {}, None)
    with pytest.raises(InferenceError, match="no such graph"):
        new.advance("other", {}, None)


def test_a_network_whose_state_is_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extend = TransformerDecoder.extend

    def forgetful(self: Any, tokens: Any, lengths: Any, logits_from: Any, state: Any) -> Any:
        logits, following = extend(self, tokens, lengths, logits_from, state)
        return logits, [following[0], following[1], torch.zeros_like(following[2]), *following[3:]]

    monkeypatch.setattr(TransformerDecoder, "extend", forgetful)
    made = generation_package.prepared(tmp_path / "prepared", "text-generation")
    with pytest.raises(TrainingError, match="with its state differ"):
        generation_package.build(tmp_path / "package", MODELS["decoder"][1], made)


def test_a_predictor_is_freed_with_its_last_reference(tmp_path: Path) -> None:
    """Not by the collector of cycles, which may run in a forked process: there, the end of a session hangs."""
    made = generation_package.prepared(tmp_path / "prepared", "text-generation")
    predictor = Predictor(generation_package.build(tmp_path / "package", MODELS["decoder"][1], made))
    predictor.predict(["cat"], TextGenerationParameters(max_tokens=2))
    freed = weakref.ref(predictor)
    gc.disable()
    try:
        del predictor
        assert freed() is None
    finally:
        gc.enable()
