"""Sounds in class folders. Each is a tone of its own frequency."""

from __future__ import annotations

import io
import random
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import soundfile

from benchmarks.mutations.dataset import CLASSES, FOLDER_MUTATIONS, Dataset, Mutation, Row, some
from components.core.errors import SampleError
from components.ingestion.sample import Sample
from components.preprocessing import sound_file

STEP = 25  # Hz between two sounds
SECONDS = 0.4


@dataclass
class Tone:
    """A sound file: its tone, class, split and content."""

    number: int
    label: str
    folder: str
    name: str
    content: bytes
    suffix: str = ".wav"
    split: str | None = None
    is_sound: bool = True


class Sounds(Dataset):
    """`<class>/<file>.wav`, `<split>/<class>/<file>.wav` or `<class>_<file>.wav`."""

    task: ClassVar[str] = "sound-classification"
    mutations: ClassVar[dict[str, Mutation]] = {}
    early: ClassVar[tuple[str, ...]] = (
        "A-law", "mu-law", "some", "24", "8 ", "float", "ADPCM", "FLAC", "Ogg", "MP3", "stereo", "one channel",
        "stream", "something", "mixed",
    )  # fmt: skip

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        classes = rng.choice(CLASSES)
        self.flat = False
        self.tones = [
            Tone(i + 8, label := classes[i % len(classes)], label, f"rec{i:03d}", encode(i + 8))
            for i in range(14 * len(classes))
        ]

    def files(self) -> dict[str, bytes]:
        named = {}
        for one in self.tones:
            path = f"{one.folder}_{one.name}" if self.flat else f"{one.folder}/{one.name}"
            named[f"{one.split}/{path}{one.suffix}" if one.split else f"{path}{one.suffix}"] = one.content
        return named

    def truth(self) -> Counter[Row]:
        return Counter((one.split, one.label, one.number) for one in self.tones if one.is_sound)

    def read(self, position: int, sample: Sample, settings: Any) -> Row:
        return (sample.split, sample.values["label"], number_of(sample.values["sound"]))


def encode(
    number: int, kind: str = "WAV", subtype: str | None = "PCM_16", rate: int = 8000, channels: str = "mono"
) -> bytes:
    """A file of a tone."""
    wave = 0.5 * np.sin(2 * np.pi * number * STEP * np.arange(int(SECONDS * rate)) / rate)
    silence = np.zeros_like(wave)
    values = {"mono": wave, "stereo": np.stack([wave, wave], 1), "antiphase": np.stack([wave, -wave], 1),
              "left": np.stack([wave, silence], 1), "right": np.stack([silence, wave], 1)}[channels]  # fmt: skip
    out = io.BytesIO()
    soundfile.write(out, values, rate, format=kind, subtype=subtype)
    return out.getvalue()


def number_of(content: bytes) -> int | str:
    """The number of a tone by its dominant frequency, or what is wrong."""
    try:
        sound = sound_file.read(content)
    except SampleError as error:
        return f"cannot be read: {error.what}"
    if float(np.abs(sound.samples).max()) < 0.1:
        return "silent"
    if not 0.8 < len(sound.samples) / sound.rate / SECONDS < 1.3:
        return f"{len(sound.samples) / sound.rate:.3f} s"
    spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples))))
    return round(int(spectrum.argmax()) * sound.rate / len(sound.samples) / STEP)


def _form(suffix: str = ".wav", *, every: bool = True, **options: Any) -> Mutation:
    def mutate(data: Sounds) -> None:
        for one in data.tones if every else some(data.rng, data.tones):
            one.content, one.suffix = encode(one.number, **options), suffix

    return mutate


def _header(data_size: int, riff_size: int) -> Mutation:
    """Sizes that a program writes that cannot go back in its output."""

    def mutate(data: Sounds) -> None:
        for one in data.tones:
            content = bytearray(encode(one.number))
            place = content.index(b"data") + 4
            content[4:8], content[place : place + 4] = struct.pack("<I", riff_size), struct.pack("<I", data_size)
            one.content = bytes(content)

    return mutate


def _behind(data: Sounds) -> None:
    for one in data.tones:
        one.content = encode(one.number) + b"ID3\3" + b"\0" * 125


def _mixed_rates(data: Sounds) -> None:
    for one in data.tones:
        one.content = encode(one.number, rate=data.rng.choice((8000, 16000, 44100)))


def _silent(data: Sounds) -> None:
    for one in data.tones[:2]:
        out = io.BytesIO()
        soundfile.write(out, np.zeros(3200), 8000, format="WAV")
        one.content = out.getvalue()
        one.is_sound = False
    data.must.append(("silent",))
    data.words.append("silent")


def _cut(data: Sounds) -> None:
    for one in data.tones[:2]:
        content = encode(one.number)
        one.content, one.is_sound = content[: len(content) // 2], False
    data.words.append("cannot be read")


def _empty(data: Sounds) -> None:
    data.tones[0].content, data.tones[0].is_sound = b"", False
    data.words.append("cannot be read")


def _splits(data: Sounds) -> None:
    for number, one in enumerate(data.tones):
        one.split = ("train", "train", "train", "validation", "test")[number // 3 % 5]


def _flat(data: Sounds) -> None:
    data.flat = True
    for one in data.tones:
        one.folder = one.label = one.label.replace(" ", "-")


def _upper(data: Sounds) -> None:
    for one in some(data.rng, data.tones, 0.5):
        one.suffix = one.suffix.upper()


def _notes(data: Sounds) -> None:
    data.extra |= {"notes.txt": b"x", "info.json": b"{}"}
    data.must.append((".txt", "left out"))


def _amr(data: Sounds) -> None:
    data.extra |= {f"{data.tones[0].folder}/{i}.amr": b"#!AMR\n" + bytes(40) for i in range(3)}
    data.must.append((".amr", "amr"))


def _rare(data: Sounds) -> None:
    data.tones[0].label = data.tones[0].folder = "rare"
    data.must.append(("fewer than", "rare"))


Sounds.mutations = {
    **FOLDER_MUTATIONS,
    "A-law": _form(subtype="ALAW"),
    "mu-law": _form(subtype="ULAW"),
    "some A-law": _form(subtype="ALAW", every=False),
    "24 bits": _form(subtype="PCM_24"),
    "8 bits": _form(subtype="PCM_U8"),
    "float": _form(subtype="FLOAT"),
    "ADPCM": _form(subtype="IMA_ADPCM"),
    "FLAC": _form(".flac", kind="FLAC"),
    "Ogg": _form(".ogg", kind="OGG", subtype="VORBIS"),
    "MP3": _form(".mp3", kind="MP3", subtype=None, rate=16000),
    "some FLAC": _form(".flac", kind="FLAC", every=False),
    "FLAC named .wav": _form(".wav", kind="FLAC", every=False),
    "stereo": _form(channels="stereo"),
    "stereo in antiphase": _form(channels="antiphase"),
    "one channel empty": _form(channels="right", every=False),
    "stream header of sox": _header(0x7FFFFFFF - 36, 0x7FFFFFFF),
    "stream header of ffmpeg": _header(0xFFFFFFFF, 0xFFFFFFFF),
    "stream header of arecord": _header(0x80000000, 0x80000024),
    "stream header of zeros": _header(0, 0),
    "something behind": _behind,
    "mixed rates": _mixed_rates,
    "silent file": _silent,
    "cut file": _cut,
    "empty file": _empty,
    "given splits": _splits,
    "class in the name": _flat,
    ".WAV": _upper,
    "other files": _notes,
    "files of a kind that is not read": _amr,
    "one sample in a class": _rare,
}
