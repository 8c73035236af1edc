"""Entities against counts by hand, and against a slow count by definition on random tags."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from components.contracts.array_spec import ArraySpec
from components.core.errors import CorruptArtifactError
from components.evaluation.scorer import Arrays
from components.evaluation.token_classification import SCORER, EntityView
from tests.evaluation.stub_package import Answers, frozen, quiet

TAGS = ["B-loc", "B-per", "I-loc", "I-per", "O"]
SPECS = [
    ArraySpec(name="tokens", type="int64", shape=(), layout="ragged"),
    ArraySpec(name="tags", type="int64", shape=(), layout="ragged", pad=-100),
    ArraySpec(name="word_tags", type="int32", shape=(), layout="ragged", pad=-100, on_request=True),
    ArraySpec(name="word_tokens", type="int32", shape=(), layout="ragged", pad=-1, on_request=True),
]


def sample(true: str, answered: str, skipped: int = 0) -> Arrays:
    """Tokens that are the number of the tag to answer; `skipped` tokens in front are no word.

    Words without an answer are past the cut.
    """
    tokens, tags = [TAGS.index(tag) for tag in answered.split()], [TAGS.index(tag) for tag in true.split()]
    unread = len(tags) - len(tokens)
    return {
        "tokens": np.array([4] * skipped + tokens),
        "tags": np.array([-100] * skipped + tags[: len(tokens)]),
        "word_tags": np.array(tags),
        "word_tokens": np.array([skipped + place for place in range(len(tokens))] + [-1] * unread),
    }


def answering(names: list[str] = TAGS, bad: int = -1) -> Answers:
    """Answers each token with the tag of its number; a token of the number `bad` with NaN."""

    def outputs(feed: Arrays) -> Arrays:
        numbers = np.array([names.index(tag) for tag in TAGS])[np.minimum(feed["tokens"], 4)]
        probabilities = np.eye(len(TAGS), dtype=np.float32)[numbers]
        probabilities[feed["tokens"] == bad] = np.nan
        return {"probabilities": probabilities}

    return Answers(outputs, names, inputs=lambda: ("tokens", "tokens_lengths"))


SAMPLES = [
    sample("B-per I-per O B-loc", "B-per I-per O B-loc"),  # both right
    sample("B-per I-per O O", "B-per O O B-loc", skipped=1),  # one too short, one that is none
    sample("B-loc I-loc O", "I-loc I-loc O"),  # an I without its B begins one all the same
    sample("B-loc B-loc", "B-loc I-loc"),  # two are one
    sample("O O O O O", "O O O O O"),
]


def test_by_hand(tmp_path: Path) -> None:
    scored = SCORER.score(answering(), frozen(tmp_path, SPECS, SAMPLES, TAGS), quiet)
    right, found, true = 3, 6, 6
    assert scored.figures() == pytest.approx(
        {
            "entity_precision": right / found,
            "entity_recall": right / true,
            "entity_f1": 2 * right / (found + true),
            "token_accuracy": 14 / 18,
        }
    )
    rows = {row["type"]: row for row in scored.document()["per_type"]}
    assert (rows["per"]["support"], rows["loc"]["support"]) == (2, 4)
    assert rows["per"]["precision"] == 0.5
    assert rows["loc"]["recall"] == 0.5
    assert [part.name for part in scored.slices()] == ["loc", "per"]


def test_tags_meet_by_name(tmp_path: Path) -> None:
    split = frozen(tmp_path, SPECS, SAMPLES, TAGS)
    assert (
        SCORER.score(answering(TAGS[::-1]), split, quiet).figures() == SCORER.score(answering(), split, quiet).figures()
    )


def test_what_is_not_finite_finds_nothing_and_is_counted(tmp_path: Path) -> None:
    samples = [*SAMPLES, sample("B-per O", "B-per O") | {"tokens": np.array([9, 1])}]
    scored = SCORER.score(answering(bad=9), frozen(tmp_path, SPECS, samples, TAGS), quiet)
    assert scored.not_finite == 1
    assert scored.figures()["entity_recall"] == pytest.approx(3 / 7)


def test_words_past_the_cut_are_missed_entities_and_are_counted(tmp_path: Path) -> None:
    whole = [sample("B-per I-per O B-loc O", "B-per I-per O B-loc O"), sample("B-loc O", "B-loc O")]
    cut = [sample("B-per I-per O B-loc O", "B-per"), sample("B-loc O", "B-loc O")]
    scored = [
        SCORER.score(answering(), frozen(tmp_path / name, SPECS, samples, TAGS), quiet)
        for name, samples in (("whole", whole), ("cut", cut))
    ]
    assert scored[0].figures()["entity_f1"] == 1
    assert scored[0].document()["past_max_length"] == {"samples": 0, "words": 0, "entities": 0}
    assert not any("max_length" in line for line in scored[0].card_lines().limits)
    assert scored[1].figures() == pytest.approx(
        {"entity_precision": 1 / 2, "entity_recall": 1 / 3, "entity_f1": 2 / 5, "token_accuracy": 3 / 7}
    )
    assert scored[1].document()["past_max_length"] == {"samples": 1, "words": 4, "entities": 2}
    assert "4 of 7 words, in 1 samples, are past `max_length`" in scored[1].card_lines().limits[-1]


def test_data_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="has no array that the scores need"):
        SCORER.score(answering(), frozen(tmp_path, SPECS[:2], SAMPLES, TAGS), quiet)


def test_against_a_slow_count_on_random_tags() -> None:
    random = np.random.default_rng(0)
    view = EntityView(("loc", "per"))
    totals = np.zeros(8)
    right = found = true = 0
    for _ in range(300):
        pair = [[TAGS[tag] for tag in random.integers(0, 5, 7)] for _ in range(2)]
        totals += SCORER.of_sample(view, pair[0], pair[1])
        sets = [slow_spans(tags) for tags in pair]
        right, found, true = right + len(sets[0] & sets[1]), found + len(sets[1]), true + len(sets[0])
    assert view.f1(totals) == pytest.approx(2 * right / (found + true))
    assert view.precision(totals) == pytest.approx(right / found)


def slow_spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Every (kind, begin, end) that a new entity begins at `begin` and that goes on until just before `end`."""
    found = set()
    for begin in range(len(tags)):
        if tags[begin] == "O" or (tags[begin][0] == "I" and begin and tags[begin - 1][1:] == tags[begin][1:]):
            continue
        end = begin + 1
        while end < len(tags) and tags[end] == f"I-{tags[begin][2:]}":
            end += 1
        found.add((tags[begin][2:], begin, end))
    return found


def test_it_is_drawn_and_told(tmp_path: Path) -> None:
    scored = SCORER.score(answering(), frozen(tmp_path, SPECS, SAMPLES, TAGS), quiet)
    scored.draw(tmp_path / "plots")
    assert (tmp_path / "plots" / "entities.png").stat().st_size > 3000
    lines = scored.card_lines()
    assert any("| per | 0.5000" in line for line in lines.results)
    assert "Weakest kind" in lines.limits[0]


def test_a_calibrated_package_shows_the_error_of_its_words_before_and_after(tmp_path: Path) -> None:
    samples = [sample("B-loc O", "B-loc B-loc"), sample("O O O", "O O", skipped=1)]

    def outputs(feed: Arrays) -> Arrays:
        answers = np.eye(len(TAGS), dtype=np.float32)[feed["tokens"]]
        return {"probabilities": 0.75 * answers + 0.05}  # 0.8 for the answer, 0.05 for each other tag

    predictor = Answers(outputs, TAGS, inputs=lambda: ("tokens", "tokens_lengths"))
    predictor.package = SimpleNamespace(facts=SimpleNamespace(calibration=SimpleNamespace(temperature=2.0)))  # type: ignore[attr-defined]  # as of a real predictor
    scored = SCORER.score(predictor, frozen(tmp_path, SPECS, samples, TAGS), quiet)
    before = 0.8**2 / (0.8**2 + 4 * 0.05**2)
    table = scored.document()["calibration"]
    assert table == {"temperature": 2.0, "ece_before": pytest.approx(before - 0.75), "ece": pytest.approx(0.05)}
    assert any("divided by 2.000" in line for line in scored.card_lines().results)
