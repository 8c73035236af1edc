"""Perplexity of answers against scipy's log-softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from components.contracts.shapes import TokensInput
from components.evaluation.answers import SCORER
from tests.evaluation.stub_package import Answers, frozen, quiet
from tests.training.test_conversations import SPECS, samples

TABLE = (np.random.default_rng(0).normal(size=(30, 30)) * 3).astype(np.float32)  # logits of what follows each token
INPUTS = {
    "inputs": lambda: ("tokens", "tokens_lengths"),
    "input_spec": lambda: TokensInput(vocabulary=30, max_length=16),
}


def test_only_answers_are_scored(tmp_path: Path) -> None:
    made = samples()
    predictor = Answers(lambda feed: {"logits": TABLE[feed["tokens"]]}, **INPUTS)
    scored = SCORER.score(predictor, frozen(tmp_path, SPECS, made), quiet)
    logs, correct = [], []
    for one in made:
        for place in np.flatnonzero(one["answers"]):
            line = TABLE[one["tokens"][place - 1]].astype(np.float64)
            logs.append(log_softmax(line)[one["tokens"][place]])
            correct.append(line.argmax() == one["tokens"][place])
    figures = scored.figures()
    assert figures["perplexity"] == pytest.approx(np.exp(-np.mean(logs)), rel=1e-9)
    assert figures["next_token_accuracy"] == pytest.approx(np.mean(correct))
    assert scored.document()["reading"]["tokens"] == len(logs)
    assert f"Figures are over the {len(logs)} tokens of answers" in scored.card_lines().limits[1]


def test_a_conversation_without_finite_logits_counts_as_wrong(tmp_path: Path) -> None:
    table = TABLE.copy()
    table[7] = np.nan
    predictor = Answers(lambda feed: {"logits": table[feed["tokens"]]}, **INPUTS)
    scored = SCORER.score(predictor, frozen(tmp_path, SPECS, samples()), quiet)
    assert scored.not_finite > 0
    assert np.isfinite(scored.figures()["perplexity"])
