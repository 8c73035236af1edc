"""BLEU and chrF from sums against sacrebleu, whole and resampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from components.contracts.array_spec import ArraySpec
from components.core.errors import NotFiniteError
from components.evaluation.scorer import Arrays
from components.evaluation.translation import SCORER, NgramView
from tests.evaluation.stub_package import Answers, frozen, quiet

WORDS = ["ein", "Hund", "läuft", "über", "den", "Platz", "und", "ein", "Mann", "sieht", "ihm", "zu", ",", "wenn", "."]
SPECS = [
    ArraySpec(name="source", type="int64", shape=(), layout="ragged"),
    ArraySpec(name="target", type="int64", shape=(), layout="ragged"),
    ArraySpec(name="source_text", type="uint8", shape=(), layout="ragged", on_request=True),
    ArraySpec(name="target_text", type="uint8", shape=(), layout="ragged", on_request=True),
]
NOTHING = NgramView(())


def sentences(seed: int, count: int, noise: float) -> tuple[list[str], list[str]]:
    """References, and answers in which some words are other words."""
    random = np.random.default_rng(seed)
    references = [list(random.choice(WORDS, random.integers(1, 14))) for _ in range(count)]
    answers = [[word if random.random() > noise else str(random.choice(WORDS)) for word in row] for row in references]
    cut = [row[: max(0, len(row) - int(random.integers(0, 3)))] for row in answers]
    return [" ".join(row) for row in cut], [" ".join(row) for row in references]


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_against_sacrebleu(noise: float, count: int) -> None:
    answers, references = sentences(3, count, noise)
    total = SCORER.of_sentences(answers, references).sum(axis=0)
    assert NOTHING.bleu(total) == pytest.approx(
        sacrebleu.corpus_bleu(answers, [references], force=True).score, abs=1e-9
    )
    assert NOTHING.chrf(total) == pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score, abs=1e-9)


@pytest.mark.parametrize("answers", [["", ""], ["x y", "z"], ["ein", "Hund"]])
def test_against_sacrebleu_where_hardly_anything_is_right(answers: list[str]) -> None:
    references = ["ein Hund läuft", "und ein Mann"]
    total = SCORER.of_sentences(answers, references).sum(axis=0)
    assert NOTHING.bleu(total) == pytest.approx(
        sacrebleu.corpus_bleu(answers, [references], force=True).score, abs=1e-9
    )
    assert NOTHING.chrf(total) == pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score, abs=1e-9)


class Processor:
    """Source and target tokens are places in a list of texts."""

    def __init__(self, answers: list[str], references: list[str], broken: int = -1) -> None:
        self._answers, self._references, self._broken = answers, references, broken

    def inputs(self) -> tuple[str, ...]:
        return "source", "source_lengths", "target"

    def answer(
        self, _run: object, samples: list[Arrays], _classes: object, _parameters: object
    ) -> list[dict[str, Any]]:
        assert all(list(sample) == ["source"] for sample in samples), "the truth is not shown to who is asked"
        places = [int(sample["source"][0]) for sample in samples]
        if self._broken in places:
            raise NotFiniteError("not finite")
        return [{"text": self._answers[place]} for place in places]

    def references(self, batch: Arrays) -> list[str]:
        return [self._references[int(row[0])] for row in batch["target_text"]]

    def sources(self, batch: Arrays) -> list[str]:
        return [f"source\n{row[0]} |" for row in batch["source_text"]]


def scored(folder: Path, broken: int = -1) -> tuple[Any, list[str], list[str]]:
    answers, references = sentences(5, 50, 0.3)
    processor = Processor(answers, references, broken)
    samples = [
        {"source": np.full(1 + place % 7, place)}
        | {name: np.array([place]) for name in ("target", "source_text", "target_text")}
        for place in range(50)
    ]
    asked = Answers(lambda feed: feed)
    asked.processor = processor
    return SCORER.score(asked, frozen(folder, SPECS, samples, processor=processor), quiet), answers, references


def test_answers_are_asked_for_in_any_order_and_scored_in_their_own(tmp_path: Path) -> None:
    result, answers, references = scored(tmp_path)
    assert result.figures()["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, [references], force=True).score)
    weights = np.random.default_rng(0).integers(0, 4, (3, 50)).astype(np.float64)
    for row, bleu, chrf in zip(
        weights, result.resampled("bleu", weights), result.resampled("chrf", weights), strict=True
    ):
        chosen = np.repeat(np.arange(50), row.astype(int))
        drawn = [answers[place] for place in chosen], [[references[place] for place in chosen]]
        assert bleu == pytest.approx(sacrebleu.corpus_bleu(*drawn, force=True).score)
        assert chrf == pytest.approx(sacrebleu.corpus_chrf(*drawn).score)


def test_one_answer_that_is_not_finite_spoils_no_other(tmp_path: Path) -> None:
    result, answers, references = scored(tmp_path, broken=17)
    assert result.not_finite == 1
    answers[17] = ""
    assert result.figures()["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, [references], force=True).score)


def test_it_is_drawn_and_told(tmp_path: Path) -> None:
    result, *_ = scored(tmp_path)
    result.draw(tmp_path / "plots")
    assert (tmp_path / "plots" / "ngrams.png").stat().st_size > 3000
    assert len(result.document()["examples"]) == 8
    assert "times as long" in result.card_lines().limits[0]
    assert result.card_lines().results[2].startswith("| source 0 / |")  # one line of the table
