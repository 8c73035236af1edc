"""Sound classification: a sound file -> one of K classes, by its log-mel frames.

Legend: N samples, T frames, B mel bands, K classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from components.contracts.shapes import InputSpec, SpectrogramInput
from components.core.strict import Strict
from components.tasks import classification, items
from components.tasks.series_processor import PREPARED_COLUMNS, SeriesClassifier, describe_prepared
from components.tasks.task import EndpointSchema, Example, FieldKind, RawSample, Values
from components.tasks.task_defaults import Layout, SourceProfile, high

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays


class SoundClassificationSettings(Strict):
    """How sounds become frames.

    Args:
        features: log-mel frames; or the waveform itself, one channel, for networks that read it.
        rate: sampling rate in Hz; sounds of another rate are resampled. Several channels are averaged; if they cancel
            out, the channel of most power is taken.
        bands: number of mel bands.
        window_ms, hop_ms: length of a frame, and time from the start of one frame to the start of the next.
        max_seconds: longer sounds are truncated.
        resampler: soxr; or kaiser, the resampler of earlier versions.
        trim_db: level below the loudest 10 ms under which both ends are cut as silence; null for no trimming.
    """

    features: Literal["log-mel", "waveform"] = Field(default="log-mel", exclude_if=lambda name: name == "log-mel")
    rate: int = Field(default=16_000, ge=1_000, le=192_000)
    bands: int = Field(default=40, ge=4, le=256)
    window_ms: float = Field(default=25.0, ge=1, le=1_000)
    hop_ms: float = Field(default=10.0, ge=1, le=1_000)
    max_seconds: float = Field(default=10.0, gt=0, le=600)
    trim_db: float | None = Field(default=None, gt=0)
    resampler: Literal["soxr", "kaiser"] = "soxr"

    def frames(self) -> int:
        """Number of frames, or of samples of the waveform, of the longest sound."""
        from components.preprocessing import sound

        if self.features == "waveform":
            return self.max_samples()
        window, hop = sound.frame_sizes(self.rate, self.window_ms, self.hop_ms)
        return 1 + max(0, self.max_samples() - window) // hop

    def max_samples(self) -> int:
        """Number of samples of the longest sound."""
        return max(1, round(self.max_seconds * self.rate))

    def series(self, content: bytes) -> NDArray[Any]:
        """A sound file as log-mel frames float32 (T, B), or as waveform (T, 1)."""
        from components.preprocessing import resampling, sound, sound_file

        # With a second to spare, which resampling sees beyond the last sample.
        recorded = sound_file.read(content, None if self.trim_db else self.max_seconds + 1)
        samples = resampling.resampled(recorded.samples, recorded.rate, self.rate, self.resampler)
        if self.trim_db is not None:
            samples = sound.trimmed(samples, self.rate, self.trim_db)
        if self.features == "waveform":
            return samples[: self.max_samples(), None]
        return sound.log_mel(
            samples[: self.max_samples()], self.rate, bands=self.bands, window_ms=self.window_ms, hop_ms=self.hop_ms
        )


class SoundClassificationProcessor(SeriesClassifier, SoundClassificationSettings):
    """How sounds become frames, with the statistics of each band over the train split and the classes.

    Args:
        resampler: kaiser in packages that do not name one: they are of versions that had no other.
    """

    resampler: Literal["soxr", "kaiser"] = "kaiser"

    def input_spec(self) -> SpectrogramInput:
        """Frames (N, T, B) and their lengths."""
        return SpectrogramInput(**self.shaped(self.frames(), fixed=False).model_dump())

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Frames and label numbers."""
        return self.labelled([raw.decoded["series"] for raw in samples], samples)

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A sound file."""
        return {"series": self.series(item)}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `sound` or `sounds`."""
        return items.of(document, "sound", "sounds")

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Sound files to labels."""
        return EndpointSchema(
            item="sound",
            items="sounds",
            media=("audio/wav", "audio/*", "application/octet-stream"),
            schema={
                "type": "string",
                "contentEncoding": "base64",
                "description": "a file of WAV, FLAC, Ogg or MP3, base64",
            },
            prediction=classification.schema(classes),
            form="sound",
            summary="Classify sounds",
        )


class SoundClassification(classification.OneClass):
    """The half without state."""

    name: ClassVar[str] = "sound-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"sound": "binary", "label": "text"}
    payload_field: ClassVar[str] = "sound"
    settings: ClassVar[type[Strict]] = SoundClassificationSettings
    input_type: ClassVar[type[InputSpec]] = SpectrogramInput
    libraries: ClassVar[tuple[str, ...]] = ("soundfile", "soxr")
    raw_columns: ClassVar[tuple[str, ...]] = (
        "readable", "error", "seconds", "rate", "channels", "peak", "rms", "silent",
    )  # fmt: skip
    prepared_columns: ClassVar[tuple[str, ...]] = PREPARED_COLUMNS
    starting_model: ClassVar[dict[str, Any]] = {"family": "cnn", "name": "spectrogram-cnn"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "spectrogram-cnn"},
        "rnn": {"name": "gru", "bidirectional": True, "pooling": "max"},
        "transformer": {"name": "encoder"},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The usual sampling rate; a duration for nearly all sounds. Files that cannot be read do not count."""
        rate = Counter(profile.numbers("rate")).most_common(1)[0][0]
        return {"rate": int(rate), "max_seconds": float(max(1, math.ceil(high(profile, "seconds"))))}

    def content(self, values: Values) -> bytes:
        """The file's bytes."""
        return bytes(values["sound"])

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the file: whether it can be read, duration, loudness."""
        from components.preprocessing import sound_file

        return sound_file.describe(values["sound"])

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Class number, frames, minimum, maximum and mean level."""
        return describe_prepared(batch)

    def preview(self, values: Values) -> bytes | str:
        """Duration, rate, channels and peak as text; of a file that cannot be read, the error."""
        facts = self.describe(values)
        if not facts["readable"]:
            return str(facts["error"])
        return f"{facts['seconds']:.2f} s, {facts['rate']} Hz, {facts['channels']} channels, peak {facts['peak']:.2f}"

    def decode(self, values: Values, settings: SoundClassificationSettings) -> Arrays:
        """`series` float32 (T, B)."""
        return {"series": settings.series(values["sound"])}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The frames: two files of equal frames are duplicates."""
        return decoded["series"].tobytes()

    def fit(
        self, settings: SoundClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> SoundClassificationProcessor:
        """Mean and standard deviation of each band."""
        from components.preprocessing.series import SeriesStatistics

        statistics = SeriesStatistics()
        for raw in train:
            statistics.add(raw.decoded["series"])
        mean, std = statistics.result()
        return SoundClassificationProcessor(**settings.model_dump(), mean=mean, std=std, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The file."""
        from components.preprocessing import sound_file

        content = bytes(values["sound"])
        return Example(content, *sound_file.media(content), values["label"])

    def load(self, folder: Path) -> SoundClassificationProcessor:
        """Read processor.json."""
        return SoundClassificationProcessor.load(folder)


TASK = SoundClassification()
