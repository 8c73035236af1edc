"""From sound files to samples, by libsndfile: WAV of any usual coding, FLAC, Ogg (Vorbis, Opus), MP3.

Legend: T samples of a sound, C channels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SampleError
from components.preprocessing import mp3_frames, ogg_pages, wav_header

if TYPE_CHECKING:
    import soundfile

SILENT = 1e-4  # a peak below -80 dB of full scale: less than a step of 13 bits
DESCRIBED = ("readable", "error", "seconds", "rate", "channels", "peak", "rms", "silent")
EXPECTED = "WAV, FLAC, Ogg or MP3; `ffmpeg -i FILE -c:a pcm_s16le NEW.wav` makes a WAV file of most others"

_FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3"})  # libsndfile takes a cut AIFF, AU or W64 file as whole
_MP3 = ("audio/mpeg", ".mp3")
_MEDIA = ((b"RIFF", "audio/wav", ".wav"), (b"fLaC", "audio/flac", ".flac"), (b"OggS", "audio/ogg", ".ogg"))
_OTHERS = (
    (0, b"#!AMR", "AMR"), (4, b"ftyp", "MP4 or M4A (AAC)"), (0, b"\x30\x26\xb2\x75", "WMA"),
    (0, b"\x1a\x45\xdf\xa3", "WebM"), (0, b"\xff\xf1", "AAC"), (0, b"\xff\xf9", "AAC"), (0, b"MThd", "MIDI"),
    (0, b"RIFX", "big-endian WAV"), (0, b"RF64", "RF64"), (0, b"riff", "W64"), (0, b"caff", "CAF"),
    (0, b"FORM", "AIFF"), (0, b".snd", "AU"),
)  # fmt: skip
_BLOCK = 1 << 18  # frames
_MOST_VALUES = 1 << 27  # samples times channels: a compressed file of silence may hold days
_CANCELLED = 1e-4  # power of the mean of the channels, of the power of the loudest: -40 dB


class Sound(NamedTuple):
    """Samples float32 (T,) in -1..1 of one channel, the sampling rate in Hz, the number of channels of the file."""

    samples: NDArray[np.float32]
    rate: int
    channels: int


def read(content: bytes, max_seconds: float | None = None) -> Sound:
    """Read a sound file; of several channels, `mono`.

    Args:
        max_seconds: what follows is not decoded.

    Raises:
        SampleError: the content is no sound file, is truncated, damaged, empty, too long, of a coding that is not read,
            or not finite.
    """
    import soundfile

    plain = wav_header.plain(content) if wav_header.is_wav(content) else content
    stated = mp3_frames.check(plain) if mp3_frames.is_mp3(plain) else None
    ogg_pages.check(plain)
    try:
        with soundfile.SoundFile(io.BytesIO(plain)) as file:
            if file.format not in _FORMATS:
                raise _refusal(content)
            values, rate = _values(file, max_seconds, stated), file.samplerate
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError) as error:
        raise _refusal(content) from error
    if not len(values):
        raise SampleError("the sound is empty", got="0 samples", expected="at least one")
    if not np.isfinite(values).all():
        raise SampleError("the sound is not finite", got="NaN or infinity", expected="numbers in -1..1")
    return Sound(mono(values), rate, values.shape[1])


def mono(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """One channel (T,) of several (T, C): the mean; if the channels cancel out in it, the channel of most power.

    Channels cancel out if the power of the mean is more than 40 dB below that of the loudest channel: microphones of
    opposite phase, or a difference signal.
    """
    if values.shape[1] == 1:
        return values[:, 0]
    mean = values.mean(axis=1, dtype=np.float64)
    powers = np.square(values, dtype=np.float64).sum(axis=0)  # (C,)
    if np.square(mean).sum() < _CANCELLED * powers.max():
        return np.ascontiguousarray(values[:, int(powers.argmax())])
    found: NDArray[np.float32] = mean.astype(np.float32)
    return found


def describe(content: bytes) -> dict[str, object]:
    """Facts about a sound file, readable or not: `DESCRIBED`. Silent: no sample is above -80 dB of full scale.

    The numbers of a file that cannot be read are None.
    """
    try:
        sound = read(content)
    except SampleError as error:
        facts = "; expected ".join(fact for fact in (error.got, error.expected) if fact)
        reason = error.what if not facts else f"{error.what}: {facts}"
        return dict(zip(DESCRIBED, (False, reason, None, None, None, None, None, True), strict=True))
    samples = sound.samples.astype(np.float64)
    peak, rms = float(np.abs(samples).max()), float(np.sqrt(np.square(samples).mean()))
    seconds = len(samples) / sound.rate
    values = (True, None, seconds, sound.rate, sound.channels, peak, rms, peak < SILENT)
    return dict(zip(DESCRIBED, values, strict=True))


def media(content: bytes) -> tuple[str, str]:
    """Media type of a sound file and a usual suffix; those of unknown bytes for other files."""
    if mp3_frames.is_mp3(content):
        return _MP3
    found = ((kind, suffix) for start, kind, suffix in _MEDIA if content.startswith(start))
    return next(found, ("application/octet-stream", ".snd"))


def _values(file: soundfile.SoundFile, max_seconds: float | None, stated: int | None) -> NDArray[np.float32]:
    """All samples of a file, or those of its first seconds, (T, C).

    Args:
        stated: the least number of samples that the file should have, if it is known; that of FLAC is in its header.

    Raises:
        SampleError: channels or rate are out of range, the sound is too long, or shorter than its header says.
    """
    if not file.channels <= wav_header.MOST_CHANNELS or file.samplerate < wav_header.LEAST_RATE:
        got = f"{file.channels} channels, {file.samplerate} Hz"
        expected = f"at most {wav_header.MOST_CHANNELS} channels, at least {wav_header.LEAST_RATE} Hz"
        raise SampleError("channels or rate are out of range", got=got, expected=expected)
    wanted = file.frames if max_seconds is None else min(file.frames, round(max_seconds * file.samplerate))
    limit = _MOST_VALUES // file.channels
    blocks, count = [np.empty((0, file.channels), np.float32)], 0
    while count < min(wanted, limit + 1) and len(block := file.read(min(_BLOCK, wanted - count), "float32", True)):
        blocks.append(block)
        count += len(block)
    if count > limit:
        got, expected = f"over {count / file.samplerate:,.0f} s", f"at most {limit / file.samplerate:,.0f} s"
        raise SampleError("the sound is too long", got=got, expected=expected)
    least = file.frames if file.format == "FLAC" else stated or 0
    if count < (least if max_seconds is None else min(least, round(max_seconds * file.samplerate))):
        raise SampleError(
            "the sound file is truncated or damaged", got=f"{count} samples", expected=f"at least {least}"
        )
    return np.concatenate(blocks)


def _refusal(content: bytes) -> SampleError:
    """Why a file is not read: its coding, its kind, or damage."""
    if wav_header.is_wav(content):
        form = wav_header.form(content)
        name = "an unknown coding" if form is None else f"{form.name}, {form.bits} bits"
        return SampleError(f"the WAV coding is not read, or damaged: {name}", got=name, expected=EXPECTED)
    for place, start, name in _OTHERS:
        if content[place:].startswith(start):
            return SampleError(
                f"sounds of the kind {name} are not read", got=f"{len(content)} bytes", expected=EXPECTED
            )
    kind = media(content)[0]
    if kind != "application/octet-stream":
        return SampleError("the sound file is damaged", got=f"{kind}, {len(content)} bytes", expected=EXPECTED)
    return SampleError("not a sound file", got=f"{len(content)} bytes", expected=EXPECTED)
