"""Sound classification, from WAV files to answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import SampleError
from components.drafting.profile import Profile
from components.preprocessing.batch import Arrays
from components.tasks import find
from components.tasks.sound_classification import SoundClassificationProcessor
from tests.preprocessing.wav_files import wav
from tests.tasks import whole_path

TASK = find("sound-classification")
SETTINGS = {"rate": 8000, "bands": 16, "max_seconds": 0.5}


def tone(hertz: float, seconds: float, rate: int = 8000) -> bytes:
    samples = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate) * 0.5
    return wav((samples * 2**15).astype(np.int16), rate)


SAMPLES = [
    {"sound": tone(500, 0.1), "label": "low"},
    {"sound": tone(2500, 0.3), "label": "high"},
    {"sound": tone(600, 0.05, 44_100), "label": "low"},
    {"sound": tone(2700, 2.0), "label": "high"},
]


@pytest.fixture
def processor(tmp_path: Path) -> SoundClassificationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS)


def network(graph: str, feed: Arrays) -> Arrays:
    """High is what is louder above 1 kHz than below: of the frames that count."""
    assert graph == "model"
    assert tuple(feed) == ("series", "series_lengths")
    inside = np.arange(feed["series"].shape[1]) < feed["series_lengths"][:, None]
    level = (np.exp(feed["series"]) * inside[..., None]).sum(axis=1)  # (N, B)
    high = (level[:, 8:].sum(axis=1) / level.sum(axis=1)).round(6)
    return {"probabilities": np.stack([high, 1 - high], axis=1).astype(np.float32)}


def test_from_files_to_answers(processor: SoundClassificationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, processor))
    batch = whole_path.stored(processor, encoded)
    assert batch["series_lengths"].tolist() == [8, 28, 3, 48]
    assert processor.input_spec().max_length == 48
    assert batch["labels"].tolist() == [1, 0, 1, 0]
    read = [processor.read(sample["sound"], max_pixels=0) for sample in SAMPLES]
    for one, other in zip(read, encoded, strict=True):
        assert (one["series"] == other["series"]).all()
    answers = whole_path.alone_and_batched(processor, network, read, ["high", "low"])
    assert [answer["label"] for answer in answers] == ["low", "high", "low", "high"]
    looked = TASK.describe_prepared(batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["minimum"][0] == encoded[0]["series"].min()
    assert looked["mean"][2] == pytest.approx(encoded[2]["series"].mean(), rel=1e-5)


def test_statistics_are_those_of_all_frames(processor: SoundClassificationProcessor) -> None:
    frames = np.concatenate([raw.decoded["series"] for raw in whole_path.raws(TASK, SAMPLES, processor)])
    assert processor.mean == pytest.approx(frames.mean(axis=0, dtype=np.float64), rel=1e-6)
    assert processor.std == pytest.approx(frames.std(axis=0, dtype=np.float64), rel=1e-6)


def test_a_sound_is_the_same_at_any_rate_and_in_stereo(processor: SoundClassificationProcessor) -> None:
    plain = processor.read(tone(500, 0.3), max_pixels=0)["series"]
    for rate in (16_000, 44_100):
        other = processor.read(tone(500, 0.3, rate), max_pixels=0)["series"]
        assert np.abs(np.exp(plain) - np.exp(other))[5:-5].max() < 0.02 * np.exp(plain).max()
    samples = (np.sin(np.arange(2400)) * 2**14).astype(np.int16)
    both = wav(np.stack([samples, samples], axis=1))
    assert (processor.read(both, max_pixels=0)["series"] == processor.read(wav(samples), max_pixels=0)["series"]).all()


def test_silence_around_a_sound_is_trimmed_where_it_is_asked_for(tmp_path: Path) -> None:
    trimming = whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS, trim_db=40.0)
    samples = (np.sin(np.arange(1600)) * 2**14).astype(np.int16)
    silence = np.zeros(8000, np.int16)
    around = wav(np.concatenate([silence, samples, silence]))
    assert (trimming.read(around, max_pixels=0)["series"] == trimming.read(wav(samples), max_pixels=0)["series"]).all()


@pytest.mark.parametrize("content", [b"", b"RIFF", tone(500, 0.1)[:-7], b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_sound_is_refused_and_seen(processor: SoundClassificationProcessor, content: bytes) -> None:
    with pytest.raises(SampleError):
        processor.read(content, max_pixels=0)
    seen = TASK.describe({"sound": content, "label": "low"})
    assert seen["readable"] is False
    assert tuple(seen) == TASK.raw_columns


def test_an_example_is_what_a_client_sends(processor: SoundClassificationProcessor) -> None:
    example = TASK.example(SAMPLES[0])
    assert example.media == processor.endpoint(["high", "low"]).media[0]
    assert processor.endpoint([]).schema["contentEncoding"] == "base64"
    assert (processor.read(example.content, max_pixels=0)["series"] ==
            processor.read(SAMPLES[0]["sound"], max_pixels=0)["series"]).all()  # fmt: skip
    assert "0.10 s, 8000 Hz" in TASK.preview(SAMPLES[0])


def test_a_package_without_a_resampler_keeps_its_own(tmp_path: Path, processor: SoundClassificationProcessor) -> None:
    """Packages of earlier versions have no such key; new ones name it."""
    state = json.loads((tmp_path / "processor.json").read_text())
    assert state.pop("resampler") == "soxr"
    (tmp_path / "processor.json").write_text(json.dumps(state))
    earlier = TASK.load(tmp_path)
    assert earlier.resampler == "kaiser"
    content = tone(500, 0.3, 44_100)
    one, other = (each.read(content, max_pixels=0)["series"] for each in (earlier, processor))
    assert (one != other).any()
    assert np.abs(np.exp(one) - np.exp(other)).max() < 0.01 * np.exp(other).max()


def test_the_rate_of_a_draft_is_that_of_sounds_that_can_be_read() -> None:
    profile = Profile(samples=5)
    for content in (b"", b"x", b"no sound", tone(500, 0.1), tone(500, 0.1, 16_000), tone(300, 0.2, 16_000)):
        for name, value in TASK.describe({"sound": content, "label": "low"}).items():
            profile.columns[name].append(value)
    assert TASK.draft_settings(profile, {})["rate"] == 16_000


def test_a_waveform_is_the_sound_itself(tmp_path: Path) -> None:
    samples = [{"sound": tone(440, 0.2), "label": "low"}, {"sound": tone(880, 0.1), "label": "high"}]
    processor = whole_path.fitted(TASK, samples, tmp_path, features="waveform", rate=8000, max_seconds=0.15)
    spec = processor.input_spec()
    assert (spec.channels, spec.max_length) == (1, 1200)
    waves = [processor.read(one["sound"], max_pixels=0)["series"] for one in samples]
    assert [wave.shape for wave in waves] == [(1200, 1), (800, 1)]
    assert waves[0].dtype == np.float32
    assert "features" not in (TASK.settings()).model_dump()  # datasets of frames keep their keys
