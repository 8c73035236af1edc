"""Beam search against every hypothesis there is, and against greedy choice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from components.tasks.beam_search import Hypothesis, _top, log_normaliser, log_softmax, penalty, search, top

PAD, _, BEGIN, END = range(4)
V = 6


def table(seed: int) -> NDArray[np.float64]:
    """Logits of the next token (samples, V last, V before last, V)."""
    return np.random.default_rng(seed).normal(size=(3, V, V, V)) * 2


def stepping(logits: NDArray[np.float64]):
    def step(rows: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        before = tokens[:, -2] if tokens.shape[1] > 1 else tokens[:, -1]
        return logits[rows, tokens[:, -1], before].copy()

    return step


def ask(logits: NDArray[np.float64], beams: int, strength: float, max_length: int) -> list[Hypothesis]:
    return search(stepping(logits), len(logits), begin=BEGIN, end=END, never=(PAD, BEGIN), beams=beams,
                  length_penalty=strength, max_length=max_length)  # fmt: skip


def every(logits: NDArray[np.float64], sample: int, strength: float, max_length: int) -> tuple[float, list[int]]:
    """The best of all hypotheses, one by one: finished ones, and those that are cut."""
    masked = logits.copy()
    masked[..., [PAD, BEGIN]] = -np.inf
    probabilities = log_softmax(masked)
    best = (-np.inf, [])
    for count in range(max_length + 1):
        for words in itertools.product([1, 4, 5], repeat=count):
            whole = [BEGIN, *words, *([END] if count < max_length else [])]
            total = sum(
                probabilities[sample, whole[place - 1], whole[max(place - 2, 0)], whole[place]]
                for place in range(1, len(whole))
            )
            best = max(best, (total / penalty(len(whole) - 1, strength), list(words)))
    return best


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_room_for_all_the_best_of_all_is_found(seed: int, strength: float) -> None:
    logits = table(seed)
    for sample, found in enumerate(ask(logits, 250, strength, 5)):
        score, words = every(logits, sample, strength, 5)
        assert found.tokens.tolist() == words
        assert found.score == pytest.approx(score)


def test_one_beam_takes_the_likeliest_each_time_until_its_end() -> None:
    logits = table(7)
    logits[..., [PAD, BEGIN]] = -np.inf
    for sample, found in enumerate(ask(logits, 1, 0.0, 30)):
        words = [BEGIN]
        while len(words) <= 30:
            words.append(int(logits[sample, words[-1], words[max(len(words) - 2, 0)]].argmax()))
            if words[-1] == END:
                break
        assert found.tokens.tolist() == [word for word in words[1:] if word != END]


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_samples_do_not_depend_on_those_beside_them(beams: int) -> None:
    logits = table(3)
    logits[0, ..., END] += 5  # done early, and leaves the batch
    logits[2, ..., END] = -1e9  # never done
    together = ask(logits, beams, 0.6, 12)
    for sample in range(3):
        alone = ask(logits[sample : sample + 1], beams, 0.6, 12)[0]
        assert alone.tokens.tolist() == together[sample].tokens.tolist()
        assert alone.score == together[sample].score
    assert len(together[0].tokens) < len(together[2].tokens)


def test_what_never_ends_is_cut() -> None:
    logits = table(0)
    logits[..., END] = -1e9
    assert [len(found.tokens) for found in ask(logits, 2, 0.6, 5)] == [5, 5, 5]


def test_a_stronger_penalty_favours_longer_texts() -> None:
    lengths = [
        np.mean([len(found.tokens) for seed in range(20) for found in ask(table(seed), 8, strength, 20)])
        for strength in (0.0, 2.0)
    ]
    assert lengths[0] < lengths[1]


def test_a_state_follows_its_hypotheses() -> None:
    """A step that knows only the newest token and its own notes, which `reorder` keeps in order."""
    logits = table(5)
    notes: list[NDArray[np.int64]] = []

    def step(rows: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        before = notes.pop() if notes else tokens[:, -1]
        notes.append(tokens[:, -1])
        return logits[rows, tokens[:, -1], before].copy()

    def reorder(rows: NDArray[np.int64]) -> None:
        notes.append(notes.pop()[rows])

    found = search(step, 3, begin=BEGIN, end=END, never=(PAD, BEGIN), beams=3, length_penalty=0.6, max_length=9,
                   reorder=reorder)  # fmt: skip
    expected = ask(logits, 3, 0.6, 9)
    assert [one.tokens.tolist() for one in found] == [one.tokens.tolist() for one in expected]


@pytest.mark.parametrize("size", [640, 1000])
def test_the_largest_of_many_are_those_of_a_full_sort(size: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4, size)).astype(np.float32).round(1)  # with many ties
    logits[:, :, :3] = -np.inf
    offsets = -rng.random((5, 4)) * 2
    offsets[1] = [0, -np.inf, -np.inf, -np.inf]  # at the begin, one hypothesis counts
    indices, values = top(logits, offsets, 8)
    expected_indices, expected = _top((logits + offsets[..., None]).reshape(5, -1), 4 * size)
    assert (indices == expected_indices[:, :8]).all()
    assert (values == expected[:, :8]).all()


def test_the_normaliser_is_that_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5000)) * 5
    logits[:, 1] = -np.inf
    expected = logits[:, 7] - log_softmax(logits)[:, 7]
    assert log_normaliser(logits.astype(np.float32)) == pytest.approx(expected, abs=1e-6)
