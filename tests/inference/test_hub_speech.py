"""Recognisers of speech of the hub, fine-tuned: their packages write as transformers' `generate`, and are exported."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.contracts.training_request import TrainRequest
from components.evaluation import stage as evaluation
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.packaging import model_export
from components.tasks.speech_recognition import SpeechRecognitionParameters
from components.training import pretrained
from components.training import stage as training
from components.training.sinks import EventStream
from tests import hub_speech
from tests.preprocessing.wav_files import wav
from tests.training.prepared_task import Samples, prepare

pytestmark = pytest.mark.slow

TOKENS = 12


def tone(hertz: float, seconds: float, rate: int) -> bytes:
    samples = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate) * 0.5
    return wav((samples * 2**15).astype(np.int16), rate)


def spoken(count: int, rng: np.random.Generator) -> Samples:
    """Tones, each with the word of its number."""
    found = []
    for _ in range(count):
        number = int(rng.integers(0, 10))
        sound = tone(200 + 150 * number, float(rng.uniform(0.1, 0.8)), int(rng.choice([8_000, 16_000])))
        found.append({"sound": sound, "text": hub_speech.DIGITS[number]})
    return found


def train(folder: Path, *, languages: bool, transfer: dict[str, Any]) -> tuple[Path, Package]:
    """A small model, and the package of its training."""
    place = hub_speech.whisper(folder / "model", languages=languages)
    settings: dict[str, Any] = {"tokenizer": {"kind": "pretrained", "source": f"folder:{place}"}, "max_length": 20}
    if languages:
        settings |= {"language": "de", "task": "translate"}
    digest = prepare(folder / "prepared", "speech-recognition", settings, (16, 4, 4), maker=spoken)
    model = {
        "family": "transformer", "name": "whisper", "config": f"folder:{place}",
        "pretrained": f"file:{place}/model.safetensors", "transfer": transfer,
        "pretrained_sha256": pretrained.find(f"file:{place}/model.safetensors").digest,
    }  # fmt: skip
    document: dict[str, Any] = {
        "pipeline": "small", "train_fingerprint": "ab" * 32, "data_digest": digest, "lineage": {}, "model": model,
        "prepared": str(folder / "prepared"), "run_folder": str(folder / "run"), "package": str(folder / "package"),
        "train": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-4, "threads": 1},
    }  # fmt: skip
    request = TrainRequest.model_validate(document)
    before = torch.get_num_threads()
    training.train(request, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (folder / "request.json").write_text(request.model_dump_json())
    evaluation.main([str(folder / "request.json")])
    return place, Package.open(folder / "package")


@pytest.mark.parametrize(
    ("languages", "transfer"), [(True, {"policy": "none"}), (False, {"policy": "lora", "rank": 2})]
)
def test_texts_are_those_of_generate(languages: bool, transfer: dict[str, Any], tmp_path: Path) -> None:
    from transformers import GenerationConfig, WhisperForConditionalGeneration, WhisperProcessor

    _, package = train(tmp_path, languages=languages, transfer=transfer)
    assert package.metrics()["overall"]["wer"] >= 0
    assert set(package.signature().graphs["decoder"].state) == {
        f"{kind}_{layer}" for kind in ("key", "value") for layer in (0, 1)
    }
    # What is exported is the package's weights: transformers' own `generate` on them is the reference.
    model_export.export(package, "huggingface", tmp_path / "exported")
    network = WhisperForConditionalGeneration.from_pretrained(tmp_path / "exported").eval()
    theirs = WhisperProcessor.from_pretrained(tmp_path / "exported")
    settings = GenerationConfig.from_pretrained(tmp_path / "exported")
    settings.max_length, settings.max_new_tokens = None, TOKENS
    network.generation_config.max_length = None
    predictor = Predictor(package)
    sounds = [tone(hertz, seconds, 16_000) for hertz, seconds in ((300, 0.2), (900, 1.9), (1500, 0.7), (60, 0.05))]
    chosen = SpeechRecognitionParameters(max_length=TOKENS)
    answers = predictor.predict(sounds, chosen)
    assert answers == [predictor.predict([sound], chosen)[0] for sound in sounds]
    assert len({answer["score"] for answer in answers}) == len(sounds)  # answers depend on the sound
    for sound, answer in zip(sounds, answers, strict=True):
        waveform = np.frombuffer(sound[sound.index(b"data") + 8 :], np.int16).astype(np.float32) / 2**15
        features = theirs.feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_features
        with torch.inference_mode():
            tokens = network.generate(input_features=features, generation_config=settings, do_sample=False)
        assert answer["text"] == theirs.tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
