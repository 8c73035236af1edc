"""Word and character error rates from sums, against jiwer over all texts at once."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest

from components.evaluation.speech_recognition import ErrorRateView, error_counts

VIEW = ErrorRateView(())
SAID = ["one two three", "seven", "a dog runs home", "eight nine"]
WRITTEN = ["one three", "seven eleven", "a dog runs home", ""]


def test_against_jiwer() -> None:
    total = error_counts(SAID, WRITTEN).sum(axis=0)
    assert VIEW.wer(total) == pytest.approx(jiwer.wer(SAID, WRITTEN), abs=1e-12)
    assert VIEW.cer(total) == pytest.approx(jiwer.cer(SAID, WRITTEN), abs=1e-12)
    document = VIEW.document(total)
    assert document["without_error"] == 1
    assert [round(row["rate"] * 10) for row in document["word_errors"]] == [0, 3, 1]  # wrong, missing, added


def test_a_resample_is_the_rate_of_its_sounds() -> None:
    counts = error_counts(SAID, WRITTEN)
    weights = np.asarray([[2, 0, 1, 1], [1, 1, 1, 1]], np.float64)
    twice = [SAID[0], SAID[0], SAID[2], SAID[3]], [WRITTEN[0], WRITTEN[0], WRITTEN[2], WRITTEN[3]]
    assert VIEW.wer(weights @ counts) == pytest.approx([jiwer.wer(*twice), jiwer.wer(SAID, WRITTEN)])


def test_a_sound_in_which_nothing_is_said_counts_what_is_added() -> None:
    total = error_counts(["", "one"], ["two", "one"]).sum(axis=0)
    assert VIEW.wer(total) == 1.0
