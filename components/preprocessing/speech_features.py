"""What a speech recogniser hears of a sound: the log-mel frames of Whisper.

Training and serving share this code. Legend: S samples of a sound, T frames, B mel bands, F bins of a transform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from components.core.errors import SampleError
from components.core.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SpeechTask = Literal["transcribe", "translate"]

FLOOR = 1e-10  # smallest power of a band
DECADES = 8.0  # bands more than 80 dB below the loudest one are raised to that level
TOP_HERTZ = 8000.0  # upper corner of the last band
LINEAR_BELOW, MELS_BELOW, MELS_PER_LOG = 1000.0, 15.0, 27.0 / math.log(6.4)  # Slaney's scale: 200/3 Hz a mel, then log


class WhisperFeatures(Strict):
    """Log-mel frames as of transformers' WhisperFeatureExtractor (Radford et al. 2022, arXiv:2212.04356, 2.2).

    The frames after the end of a sound, up to `frames`, are all alike: only the first of them is kept, and the network
    repeats it. A sound that is longer than the window is refused.

    Args:
        rate: samples a second.
        bands: B, number of mel bands.
        window, hop: samples of a frame, and from the start of one frame to the start of the next.
        seconds: length of the window that the encoder reads.
    """

    rate: int = Field(ge=1_000)
    bands: int = Field(ge=1)
    window: int = Field(ge=2)
    hop: int = Field(ge=1)
    seconds: int = Field(ge=1)

    @property
    def frames(self) -> int:
        """Number of frames of the window."""
        return self.seconds * self.rate // self.hop

    @property
    def max_samples(self) -> int:
        """Number of samples of the window."""
        return self.seconds * self.rate

    def of(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """A waveform (S,) to frames float32 (T, B): (max(log10 power, loudest - 8) + 4) / 4.

        A frame is `window` samples around i * `hop` under a periodic Hann window; the sound is reflected at its begin.

        Raises:
            SampleError: the sound is longer than the window.
        """
        import numpy as np

        check_length(waveform, self.rate, self.max_samples)
        half = self.window // 2
        padded = np.pad(waveform.astype(np.float64), (0, self.max_samples - len(waveform)))
        padded = np.pad(padded, half, mode="reflect")
        kept = min(self.frames, -(-(len(waveform) + half) // self.hop) + 1)  # with one frame of silence
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop][:kept]  # (T, window)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        power = np.square(np.abs(np.fft.rfft(frames * hann)))  # (T, F)
        levels = np.log10(np.maximum(power @ slaney_weights(self.rate, self.window, self.bands).T, FLOOR))
        found: NDArray[np.float32] = ((np.maximum(levels, levels.max() - DECADES) + 4.0) / 4.0).astype(np.float32)
        return found

    def hub_document(self) -> dict[str, Any]:
        """The preprocessor_config.json that transformers reads."""
        return {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
            "feature_size": self.bands,
            "sampling_rate": self.rate,
            "hop_length": self.hop,
            "chunk_length": self.seconds,
            "n_fft": self.window,
            "n_samples": self.max_samples,
            "nb_max_frames": self.frames,
            "padding_value": 0.0,
            "padding_side": "right",
            "return_attention_mask": False,
        }


def of_whisper(document: Mapping[str, Any]) -> WhisperFeatures:
    """The features of a preprocessor_config.json of Whisper; its own defaults where a key is missing."""
    return WhisperFeatures(
        rate=int(document.get("sampling_rate", 16_000)),
        bands=int(document.get("feature_size", 80)),
        window=int(document.get("n_fft", 400)),
        hop=int(document.get("hop_length", 160)),
        seconds=int(document.get("chunk_length", 30)),
    )


def check_length(waveform: NDArray[np.float32], rate: int, most: int) -> None:
    """Refuse a sound of more samples than the network reads: its text would be that of another sound.

    Raises:
        SampleError: it is longer.
    """
    if len(waveform) > most:
        raise SampleError(
            "the sound is longer than what the network reads at once",
            got=f"{len(waveform) / rate:.1f} s or more",
            expected=f"at most {most / rate:g} s",
            next_step="cut the sound into parts",
        )


def slaney_weights(rate: int, size: int, bands: int) -> NDArray[np.float64]:
    """Triangular filters over the bins of a transform of `size` samples, (B, F), each of area 1 in Hz.

    Their corners are equidistant on Slaney's mel scale (Auditory Toolbox, 1998), from 0 to 8 kHz: linear below 1 kHz,
    logarithmic above.
    """
    import numpy as np

    mels = np.linspace(0.0, MELS_BELOW + MELS_PER_LOG * math.log(TOP_HERTZ / LINEAR_BELOW), bands + 2)
    above = LINEAR_BELOW * np.exp((np.maximum(mels, MELS_BELOW) - MELS_BELOW) / MELS_PER_LOG)
    corners = np.where(mels >= MELS_BELOW, above, mels * LINEAR_BELOW / MELS_BELOW)  # Hz
    bins = np.linspace(0, rate // 2, 1 + size // 2)
    widths = np.diff(corners)
    rise = (bins - corners[:-2, None]) / widths[:-1, None]
    fall = (corners[2:, None] - bins) / widths[1:, None]
    triangles = np.clip(np.minimum(rise, fall), 0, None)
    weights: NDArray[np.float64] = triangles * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return weights
