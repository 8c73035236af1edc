"""Speech recognition: a sound file -> its words, by an encoder and a decoder of pretrained weights.

Legend: N samples, T frames, B mel bands, U tokens of a text, V vocabulary.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec, SpectrogramInput, TranscriptOutput
from components.core.errors import SampleError, UsageError
from components.core.strict import Strict
from components.preprocessing.speech_features import SpeechTask, WhisperFeatures
from components.preprocessing.tokenizer_spec import Pretrained
from components.tasks import items
from components.tasks.task import (
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    ValidationMetric,
    Values,
)
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults, high
from components.tasks.tokenized import Tokenized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph

DECODED_SECONDS = 31.0  # of a file that is longer; all recognisers read less


class SpeechRecognitionSettings(Strict):
    """How sounds become frames and texts become tokens: as the pretrained weights do both.

    Args:
        tokenizer: source of the weights; tokenizer, features and the tokens that begin a text are theirs.
        language: of weights that know several: `en`, `de`, ...
        task: of weights that know several languages: `transcribe` (default), or `translate` into English.
        rate: samples a second that sounds are resampled to; that of the weights.
        max_length: largest number of tokens of a text, with those that begin and end it.
    """

    tokenizer: Pretrained
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    task: SpeechTask | None = None
    rate: int = Field(default=16_000, ge=1_000, le=192_000)
    max_length: int = Field(default=128, ge=8, le=4096)

    def waveform(self, content: bytes) -> NDArray[np.float32]:
        """A sound file as samples (S,) of one channel at `rate`."""
        return _waveform(content, self.rate)


class SpeechRecognitionParameters(Strict):
    """Parameters of a request.

    Args:
        beams: width of the beam search; 1, the default, is greedy search.
        max_length: largest number of tokens of the text; at most, and by default, what the model can write.
    """

    beams: int = Field(default=1, ge=1, le=16)
    max_length: int | None = Field(default=None, ge=1)


class SpeechRecognitionProcessor(Tokenized):
    """Features and tokens of the pretrained weights.

    Args:
        features: what the network hears.
        prompt, end, never, never_first: as of `SpeechTokenizer`.
        language, task: of weights that know several languages.
    """

    features: WhisperFeatures
    prompt: list[int]
    end: int
    never: list[int] = Field(default=[])
    never_first: list[int] = Field(default=[])
    language: str | None = None
    task: SpeechTask | None = None

    _plain: Any = PrivateAttr(default=None)  # the tokenizer without special tokens in texts

    def input_spec(self) -> SpectrogramInput:  # type: ignore[override]  # frames, where the base has tokens
        """Frames (N, T, B) and their lengths, as the weights take them: nothing is standardised."""
        channels = self.features.bands
        return SpectrogramInput(
            channels=channels, max_length=self.features.frames, mean=[0.0] * channels, std=[1.0] * channels
        )

    def output_spec(self) -> TranscriptOutput:
        """Logits (N, U, V) of the text's next tokens."""
        return TranscriptOutput(
            vocabulary=self.tokenizer.vocabulary, max_length=self.max_length, begin=tuple(self.prompt), end=self.end,
            pad=self.tokenizer.pad,
        )  # fmt: skip

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`series` float32 (T, B); `target` int64 (U,), from the prompt to the end token; on request `text`, UTF-8."""
        return (
            ArraySpec(name="series", type="float32", shape=(self.features.bands,), layout="ragged"),
            ArraySpec(name="target", type="int64", shape=(), layout="ragged", pad=self.tokenizer.pad),
            ArraySpec(name="text", type="uint8", shape=(), layout="ragged", on_request=True),
        )

    def inputs(self) -> tuple[str, ...]:
        """Frames, their number, and the text so far."""
        return "series", "series_lengths", "target"

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Frames and tokens."""
        return items.each(self._encoded, samples)

    def _encoded(self, raw: RawSample) -> Arrays:
        import numpy as np

        from components.preprocessing import text

        written = text.checked(raw.values["text"])
        target = [*self.prompt, *self._tokens(written), self.end]
        if len(target) > self.max_length:
            raise SampleError(
                "the text has more tokens than max_length", got=len(target), expected=f"at most {self.max_length}",
                next_step="raise input.max_length of dataset.yaml, or cut the sound into parts",
            )  # fmt: skip
        return {
            "series": self.features.of(raw.decoded["waveform"]),
            "target": np.asarray(target, np.int64),
            "text": np.frombuffer(written.encode(), np.uint8),
        }

    def _tokens(self, text: str) -> list[int]:
        """The tokens of a text, without those that begin and end it; a special token in it is ordinary text."""
        if self._plain is None:
            self._plain = self.tokenizer.library_tokenizer()
            self._plain.encode_special_tokens = True
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A sound file."""
        return {"series": self.features.of(_waveform(item, self.features.rate))}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `sound` or `sounds`."""
        return items.of(document, "sound", "sounds")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The best text of a search over the graphs `encoder` and `decoder`."""
        from components.preprocessing.batch import collate
        from components.tasks import beam_search, prompted

        chosen = parameters if isinstance(parameters, SpeechRecognitionParameters) else SpeechRecognitionParameters()
        feed = collate(self.arrays(), samples, ("series",))
        encoded = {**run("encoder", feed), "source_lengths": feed["series_lengths"]}
        step = prompted.PromptedTargets(run, encoded, chosen.beams, self.prompt, self.never_first)
        room = self.max_length - len(self.prompt)
        found = beam_search.search(
            step, len(samples), begin=self.prompt[-1], end=self.end, never=self.never, beams=chosen.beams,
            length_penalty=0.0, max_length=min(chosen.max_length or room, room), reorder=step.reorder,
        )  # fmt: skip
        return [{"text": self.tokenizer.decode(best.tokens), "score": best.score} for best in found]

    def target_text(self, tokens: NDArray[np.int64]) -> str:
        """The text of tokens (U,)."""
        return self.tokenizer.decode(tokens)

    def references(self, batch: Arrays) -> list[str]:
        """The texts of a batch, as the data has them."""
        from components.contracts.array_spec import lengths

        pairs = zip(batch["text"], batch[lengths("text")].tolist(), strict=True)
        return [row[:length].tobytes().decode() for row, length in pairs]

    def feature_extractor(self) -> dict[str, Any]:
        """The preprocessor_config.json of an export."""
        return self.features.hub_document()

    def generation(self) -> dict[str, Any]:
        """What an export sets in generation_config.json: `generate` writes as the service does."""
        known = {"language": self.language, "task": self.task or "transcribe"}
        return known if self.language is not None else {}

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Sound files to texts."""
        return EndpointSchema(
            item="sound",
            items="sounds",
            media=("audio/wav", "audio/*", "application/octet-stream"),
            schema={
                "type": "string",
                "contentEncoding": "base64",
                "description": "a file of WAV, FLAC, Ogg or MP3, base64",
            },
            prediction={
                "type": "object",
                "properties": {"text": {"type": "string"}, "score": {"type": "number"}},
                "required": ["text", "score"],
                "additionalProperties": False,
            },
            parameters=SpeechRecognitionParameters,
            form="sound",
            summary="Write down what is said",
        )


def _waveform(content: bytes, rate: int) -> NDArray[np.float32]:
    from components.preprocessing import resampling, sound_file

    recorded = sound_file.read(content, DECODED_SECONDS)
    return resampling.resampled(recorded.samples, recorded.rate, rate, "soxr")


class SpeechRecognition(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "speech-recognition"
    fields: ClassVar[dict[str, FieldKind]] = {"sound": "binary", "text": "text"}
    payload_field: ClassVar[str] = "sound"
    settings: ClassVar[type[Strict]] = SpeechRecognitionSettings
    input_type: ClassVar[type[InputSpec]] = SpectrogramInput
    output_type: ClassVar[type[OutputSpec]] = TranscriptOutput
    objective: ClassVar[str] = "components.training.objectives.transcription:TranscriptionObjective"
    scorer: ClassVar[str] = "components.evaluation.speech_recognition:SCORER"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("wer", higher_is_better=False)
    metrics: ClassVar[dict[str, Metric]] = {
        "wer": Metric(False, "word error rate: wrong, missing and added words for each word that was said"),
        "cer": Metric(False, "character error rate"),
    }
    libraries: ClassVar[tuple[str, ...]] = ("soundfile", "soxr", "tokenizers")
    raw_columns: ClassVar[tuple[str, ...]] = (
        "readable", "error", "seconds", "rate", "channels", "peak", "rms", "silent",
        "text_characters", "text_words", "text_empty", "text_control_characters", "text_valid",
    )  # fmt: skip
    prepared_columns: ClassVar[tuple[str, ...]] = ("frames", "loudest", "target_tokens", "largest_target")
    target_columns: ClassVar[frozenset[str]] = frozenset({"target_tokens", "largest_target"})
    starting_model: ClassVar[dict[str, Any]] = {
        "family": "transformer", "name": "whisper", "pretrained": "hub:openai/whisper-tiny",
    }  # fmt: skip
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {"name": "whisper", "pretrained": "hub:openai/whisper-tiny"}
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The tokens of the model that a drafted pipeline starts from; a length for nearly all texts."""
        words = high(profile, "text_words")
        tokenizer = {"kind": "pretrained", "source": self.starting_model["pretrained"]}
        return {"tokenizer": tokenizer, "language": "en", "max_length": min(448, 8 + 8 * math.ceil(words))}

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A small rate: the weights are pretrained."""
        return {**super().draft_training(samples, settings), "epochs": 3, "batch_size": 8, "learning_rate": 1e-5}

    def content(self, values: Values) -> bytes:
        """The file's bytes."""
        return bytes(values["sound"])

    def labels(self, values: Values) -> list[str]:
        """No labels."""
        return []

    def strata(self, values: Values) -> list[str]:
        """There are none."""
        return []

    def describe(self, values: Values) -> dict[str, object]:
        """Facts about the file and about the text."""
        from components.preprocessing import sound_file, text

        written = text.describe(values["text"])
        return {**sound_file.describe(values["sound"]), **{f"text_{name}": fact for name, fact in written.items()}}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of frames, largest value of a frame, number of tokens, largest token number."""
        return {
            "frames": batch["series_lengths"],
            "loudest": batch["series"].max(axis=(1, 2)),
            "target_tokens": batch["target_lengths"],
            "largest_target": batch["target"].max(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """Duration, rate and text; of a file that cannot be read, the error."""
        from components.preprocessing import sound_file

        facts = sound_file.describe(values["sound"])
        if not facts["readable"]:
            return str(facts["error"])
        return f"{facts['seconds']:.2f} s, {facts['rate']} Hz: {values['text']}"

    def decode(self, values: Values, settings: SpeechRecognitionSettings) -> Arrays:
        """`waveform` float32 (S,)."""
        return {"waveform": settings.waveform(values["sound"])}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The samples: two files of equal samples are duplicates."""
        return decoded["waveform"].tobytes()

    def fit(
        self, settings: SpeechRecognitionSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> SpeechRecognitionProcessor:
        """The features and tokens of the weights; nothing is learnt from the data."""
        from components.preprocessing import speech_tokenizer

        deque(train, maxlen=0)  # consume the iterator: the caller may collect something on the way
        found = speech_tokenizer.read(settings.tokenizer.source, settings.language, settings.task)
        if found.features.rate != settings.rate:
            raise UsageError(
                "the weights were trained at another sampling rate", where="input.rate", got=settings.rate,
                expected=found.features.rate, next_step="correct input.rate of dataset.yaml",
            )  # fmt: skip
        return SpeechRecognitionProcessor.of(
            found.tokenizer, max_length=settings.max_length, features=found.features, prompt=found.prompt,
            end=found.end, never=found.never, never_first=found.never_first,
            language=settings.language, task=settings.task,
        )  # fmt: skip

    def example(self, values: Values) -> Example:
        """The file; the truth is its text."""
        from components.preprocessing import sound_file

        content = bytes(values["sound"])
        return Example(content, *sound_file.media(content), values["text"])

    def load(self, folder: Path) -> SpeechRecognitionProcessor:
        """Read processor.json and tokenizer.json."""
        return SpeechRecognitionProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both texts are equal."""
        return bool(ours["text"] == theirs["text"])


TASK = SpeechRecognition()
