"""Perplexity against scipy's log-softmax, text by text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import TokensInput
from components.core.errors import InferenceError
from components.evaluation.scorer import Arrays
from components.evaluation.text_generation import SCORER
from tests.evaluation.stub_package import Answers, frozen, quiet

SPECS = [ArraySpec(name="text_tokens", type="int32", shape=(), layout="ragged")]
TABLE = (np.random.default_rng(0).normal(size=(30, 30)) * 3).astype(np.float32)  # logits of what follows each token
INPUTS = {
    "inputs": lambda: ("tokens", "tokens_lengths"),
    "input_spec": lambda: TokensInput(vocabulary=30, max_length=20),
}


def texts(count: int = 40) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.integers(0, 30, random.integers(1, 20)) for _ in range(count)]


def test_against_log_softmax_with_texts_of_every_length(tmp_path: Path) -> None:
    samples = texts()
    asked = Answers(lambda feed: {"logits": TABLE[feed["tokens"]]}, **INPUTS)
    scored = SCORER.score(asked, frozen(tmp_path, SPECS, [{"text_tokens": tokens} for tokens in samples]), quiet)
    logs = np.concatenate(
        [
            log_softmax(TABLE[tokens[:-1]].astype(np.float64), axis=1)[range(len(tokens) - 1), tokens[1:]]
            for tokens in samples
        ]
    )
    right = np.concatenate([TABLE[tokens[:-1]].argmax(axis=1) == tokens[1:] for tokens in samples])
    figures = scored.figures()
    assert figures["perplexity"] == pytest.approx(np.exp(-logs.mean()), rel=1e-9)
    assert figures["next_token_accuracy"] == pytest.approx(right.mean())
    places = scored.document()["per_place"]
    assert sum(row["tokens"] for row in places) == len(logs)
    assert places[0]["tokens"] == sum(min(3, len(tokens) - 1) for tokens in samples)


def test_a_text_longer_than_the_window_is_measured_to_its_end(tmp_path: Path) -> None:
    """Each token is predicted once: what the table gives does not depend on where a window begins."""
    samples = [{"text_tokens": tokens} for tokens in texts()]
    seen: list[int] = []

    def outputs(feed: Arrays) -> Arrays:
        seen.append(feed["tokens"].shape[1])
        return {"logits": TABLE[feed["tokens"]]}

    short = INPUTS | {"input_spec": lambda: TokensInput(vocabulary=30, max_length=4)}
    whole, cut = (
        SCORER.score(Answers(outputs, **inputs), frozen(tmp_path / name, SPECS, samples), quiet)
        for name, inputs in (("whole", INPUTS), ("cut", short))
    )
    assert cut.figures() == pytest.approx(whole.figures(), rel=1e-9)
    assert cut.document()["per_place"] == [pytest.approx(row) for row in whole.document()["per_place"]]
    long_texts = sum(len(tokens) > 4 for tokens in texts())
    assert cut.document()["reading"] | {"tokens": 0} == {"tokens": 0, "window": 4, "long_texts": long_texts}
    assert max(seen[-len(seen) // 2 :]) == 4
    assert f"{long_texts} of 40 texts are longer than the context window of 4" in cut.card_lines().limits[1]


def test_without_knowledge_the_perplexity_is_the_vocabulary(tmp_path: Path) -> None:
    asked = Answers(lambda feed: {"logits": np.zeros((*feed["tokens"].shape, 30), np.float32)}, **INPUTS)
    scored = SCORER.score(asked, frozen(tmp_path, SPECS, [{"text_tokens": tokens} for tokens in texts()]), quiet)
    assert scored.figures()["perplexity"] == pytest.approx(30)


def test_padding_that_is_not_finite_is_nobodys_fault_and_a_text_that_is_not_is_counted(tmp_path: Path) -> None:
    def outputs(feed: Arrays) -> Arrays:
        logits = TABLE[feed["tokens"]].copy()
        for row, length in enumerate(feed["tokens_lengths"]):
            logits[row, length:] = np.nan
            if feed["tokens"][row, 0] == 29 and length > 1:
                logits[row, 0] = np.nan
        return {"logits": logits}

    samples = texts()
    scored = SCORER.score(
        Answers(outputs, **INPUTS), frozen(tmp_path, SPECS, [{"text_tokens": one} for one in samples]), quiet
    )
    assert scored.not_finite == sum(tokens[0] == 29 and len(tokens) > 1 for tokens in samples) > 0
    assert np.isfinite(scored.figures()["perplexity"])


def test_logits_of_the_last_place_alone_are_refused(tmp_path: Path) -> None:
    asked = Answers(lambda feed: {"logits": TABLE[feed["tokens"][:, 0]]}, **INPUTS)
    with pytest.raises(InferenceError, match="one position"):
        SCORER.score(asked, frozen(tmp_path, SPECS, [{"text_tokens": np.arange(3)}]), quiet)


def test_it_is_drawn_and_told(tmp_path: Path) -> None:
    asked = Answers(lambda feed: {"logits": TABLE[feed["tokens"]]}, **INPUTS)
    scored = SCORER.score(asked, frozen(tmp_path, SPECS, [{"text_tokens": tokens} for tokens in texts()]), quiet)
    scored.draw(tmp_path / "plots")
    assert (tmp_path / "plots" / "perplexity.png").stat().st_size > 3000
    assert scored.card_lines().results[2].startswith("| 1 | ")
