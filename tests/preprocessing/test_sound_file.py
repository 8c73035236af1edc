"""Sound files of all kinds, and what is none."""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from components.core.errors import SampleError
from components.preprocessing import sound_file
from tests.preprocessing.wav_files import GOOD, TONE, wav

CASES = Path(os.environ.get("MODELYARD_MIRROR", "."), "..", "cases", "30-wav-stream-header", "requests")


def written(kind: str, coding: str, samples: NDArray[np.float64] = TONE, rate: int = 8000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=coding)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("samples", "coding", "step"),
    [
        (np.round(TONE * 127 + 128).astype(np.uint8), 1, 1 / 64),
        ((TONE * 2**15).astype(np.int16), 1, 2**-14),
        ((TONE * 2**31).astype(np.int32), 1, 1e-7),
        ((TONE * 2**31).astype("<i4").view(np.uint8).reshape(-1, 1, 4)[..., 1:], 1, 2**-22),
        (TONE.astype(np.float32), 3, 1e-7),
        (TONE, 3, 1e-7),
    ],
    ids=["8 bits", "16 bits", "32 bits", "24 bits", "float", "double"],
)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_coding_is_read(samples: NDArray[np.generic], coding: int, step: float, extensible: bool) -> None:
    found = sound_file.read(wav(samples, coding=coding, extensible=extensible))
    assert (found.rate, found.channels, found.samples.dtype) == (8000, 1, np.float32)
    assert np.abs(found.samples - TONE).max() <= step


def test_what_the_standard_library_writes_is_read() -> None:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        left, right = (TONE * 2**15).astype(np.int16), np.zeros(4000, np.int16)
        file.writeframes(np.stack([left, right], axis=1).tobytes())
    found = sound_file.read(stream.getvalue())
    assert (found.rate, found.channels, len(found.samples)) == (16_000, 2, 4000)
    assert np.abs(found.samples - TONE / 2).max() < 2**-14  # the mean of the channels


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not a sound"),
        (b"ID3 no wave file at all", "damaged"),
        (b"no sound at all", "not a sound"),
        (GOOD[:-100], "truncated"),
        (GOOD[:40], "truncated|no data chunk"),
        (wav(np.zeros(0, np.int16)), "empty"),
        (wav(np.array([0.1, np.nan], np.float32), coding=3), "not finite"),
        (wav(np.zeros(8, np.uint8), coding=0x161), r"coding 353 \(WMA 2\)"),
        (wav(np.zeros(8, np.int16), rate=3), "out of range"),
        (b"RIFF\x04\x00\x00\x00WAVE", "format"),
    ],
)
def test_what_is_no_sound_is_refused_and_seen(content: bytes, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        sound_file.read(content)
    seen = sound_file.describe(content)
    assert seen["readable"] is False
    assert seen["error"]
    assert tuple(seen) == sound_file.DESCRIBED


def test_a_recorder_that_did_not_know_the_length_is_believed() -> None:
    place = GOOD.index(b"data") + 4
    content = GOOD[:place] + b"\xff\xff\xff\xff" + GOOD[place + 4 :]
    assert (sound_file.read(content).samples == sound_file.read(GOOD).samples).all()


def test_facts_of_sounds() -> None:
    seen = sound_file.describe(GOOD)
    assert (seen["readable"], seen["seconds"], seen["rate"], seen["channels"]) == (True, 0.5, 8000, 1)
    assert seen["peak"] == pytest.approx(0.5, abs=1e-3)
    assert seen["rms"] == pytest.approx(0.5 / 2**0.5, abs=1e-3)
    assert seen["silent"] is False
    assert sound_file.describe(wav(np.zeros(100, np.int16)))["silent"] is True
    assert sound_file.describe(wav(np.zeros((100, 2), np.int16)))["channels"] == 2


@pytest.mark.parametrize(
    ("kind", "coding", "step", "suffix"),
    [
        ("WAV", "ALAW", 0.02, ".wav"), ("WAV", "ULAW", 0.02, ".wav"), ("WAV", "IMA_ADPCM", 0.05, ".wav"),
        ("WAV", "MS_ADPCM", 0.05, ".wav"), ("WAV", "GSM610", 0.3, ".wav"), ("WAVEX", "PCM_24", 1e-6, ".wav"),
        ("FLAC", "PCM_16", 1e-4, ".flac"), ("OGG", "VORBIS", 0.1, ".ogg"), ("OGG", "OPUS", 0.4, ".ogg"),
        ("MP3", "MPEG_LAYER_III", 0.1, ".mp3"),
    ],
)  # fmt: skip
def test_what_libsndfile_writes_is_read(kind: str, coding: str, step: float, suffix: str) -> None:
    content = written(kind, coding)
    found = sound_file.read(content)
    assert found.channels == 1
    assert np.abs(found.samples[:4000] - TONE)[500:3500].max() < step
    assert sound_file.media(content)[1] == suffix
    assert sound_file.describe(content)["readable"] is True


def test_mp3_inside_a_wav_file_is_read_as_mp3() -> None:
    inside = written("MP3", "MPEG_LAYER_III")
    samples = np.frombuffer(inside, np.uint8)
    content = wav(samples, coding=0x55)
    assert (sound_file.read(content).samples == sound_file.read(inside).samples).all()


def test_a_damaged_or_cut_mp3_is_refused_before_it_is_decoded(capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(size=40_000) * 0.1
    content = written("MP3", "MPEG_LAYER_III", noise)
    broken = bytearray(content)
    for start in range(600, len(content) - 4, 2):
        broken[start] ^= 0x5A if broken[start] != 0xFF and broken[start + 1] != 0xFF else 0
    for wrong, what in ((bytes(broken), "damaged"), (content[: len(content) // 2], "truncated")):
        with pytest.raises(SampleError, match=f"MP3 file is {what}"):
            sound_file.read(wrong)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x00\x00\x00\x1cftypM4A " + bytes(50), "M4A"), (b"#!AMR\n" + bytes(50), "AMR"),
        (b"\x30\x26\xb2\x75" + bytes(50), "WMA"), (written("AIFF", "PCM_16"), "AIFF"),
    ],
)  # fmt: skip
def test_kinds_that_are_not_read_are_named(content: bytes, name: str) -> None:
    with pytest.raises(SampleError, match=name) as caught:
        sound_file.read(content)
    assert "ffmpeg" in str(caught.value.expected)
    assert name in str(sound_file.describe(content)["error"])


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_a_cut_file_is_refused(kind: str) -> None:
    content = written(
        kind, {"FLAC": "PCM_16", "OGG": "VORBIS"}[kind], np.random.default_rng(0).normal(size=40_000) * 0.1
    )
    with pytest.raises(SampleError, match=r"truncated|damaged"):
        sound_file.read(content[: len(content) // 2])


def test_channels_that_cancel_out_give_the_loudest() -> None:
    for gain in (1.0, 0.999):
        both = np.stack([TONE, -gain * TONE], axis=1)
        found = sound_file.read(wav(both, coding=3))
        assert np.abs(found.samples - TONE).max() < 1e-6
        assert found.channels == 2
    quieter = sound_file.read(wav(np.stack([0.999 * TONE, -TONE], axis=1), coding=3))
    assert np.abs(quieter.samples + TONE).max() < 1e-6
    one_of_many = np.zeros((4000, 60))
    one_of_many[:, 7] = TONE
    assert np.abs(sound_file.read(wav(one_of_many, coding=3)).samples - TONE / 60).max() < 1e-6


def test_only_the_first_seconds_are_decoded_on_demand() -> None:
    for content in (GOOD, written("FLAC", "PCM_16")):
        whole, part = sound_file.read(content).samples, sound_file.read(content, max_seconds=0.1).samples
        assert (part == whole[:800]).all()


def test_a_small_file_of_days_of_silence_is_refused() -> None:
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", 8000, 1, "PCM_16", format="FLAC") as file:
        file.write(np.zeros(200_000, np.int16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound_file, "_MOST_VALUES", 100_000)
        with pytest.raises(SampleError, match="too long"):
            sound_file.read(stream.getvalue())


@pytest.mark.skipif(not CASES.is_dir(), reason="the collected files are not here")
def test_files_as_programs_write_them() -> None:
    good = sound_file.read((CASES / "good.wav").read_bytes()).samples
    names = ("sox", "arecord", "zero", "ffmpeg", "cut-list", "junk-behind", "riff-wrong", "odd-padded", "odd-unpadded",
             "extensible24", "float32", "stereo-antiphase")  # fmt: skip
    for name in names:
        assert np.abs(sound_file.read((CASES / f"{name}.wav").read_bytes()).samples - good).max() < 1e-4, name
    for name in ("half", "empty", "rate-0", "bits24-in-4"):
        with pytest.raises(SampleError):
            sound_file.read((CASES / f"{name}.wav").read_bytes())
