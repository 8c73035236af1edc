"""The frames of Whisper against transformers' own feature extractor."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import SampleError
from components.preprocessing.speech_features import of_whisper


def _speech(samples: int) -> np.ndarray:
    """Fading harmonics above a little noise."""
    seconds = np.arange(samples) / 16_000
    voice = sum(np.sin(2 * np.pi * 170 * harmonic * seconds) / harmonic for harmonic in range(1, 12))
    noise = np.random.default_rng(0).normal(0, 0.003, samples)
    return (0.2 * voice * np.exp(-2 * seconds) + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "bands", "seconds"), [(1, 80, 30), (4_001, 80, 30), (47_999, 80, 3), (48_000, 128, 3)]
)
def test_frames_are_those_of_transformers(samples: int, bands: int, seconds: int) -> None:
    from transformers import WhisperFeatureExtractor

    theirs = WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds)
    features, waveform = of_whisper(theirs.to_dict()), _speech(samples)
    found = features.of(waveform)
    assert found.shape[1] == bands
    assert len(found) <= min(features.frames, samples // 160 + 4)  # not the silence up to the end of the window
    whole = np.concatenate([found, np.repeat(found[-1:], features.frames - len(found), axis=0)])
    expected = theirs(waveform, sampling_rate=16_000, return_tensors="np")["input_features"][0].T
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_what_an_export_writes_is_read_again_by_transformers() -> None:
    from transformers import WhisperFeatureExtractor

    theirs = WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    document = of_whisper(theirs.to_dict()).hub_document()
    again = WhisperFeatureExtractor.from_dict(document)
    assert (again.feature_size, again.n_samples, again.nb_max_frames) == (16, 32_000, 200)
    assert of_whisper(document) == of_whisper(theirs.to_dict())


def test_a_sound_beyond_the_window_is_refused() -> None:
    with pytest.raises(SampleError, match="longer than what the network reads"):
        of_whisper({"chunk_length": 1}).of(_speech(16_001))
