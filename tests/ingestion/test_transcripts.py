"""Sounds with their texts, as the tables of usual datasets name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.contracts.dataset_layout import TranscriptLayout, WavLayout
from components.core.errors import SourceError
from components.ingestion import transcripts, wav_folder
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample
from tests.preprocessing.wav_files import GOOD


def _read(folder: Path, **layout: Any) -> list[Sample]:
    return list(transcripts.samples(TranscriptLayout(kind="transcripts", **layout), folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "clips" / name).write_bytes(GOOD)
    return tmp_path


def test_common_voice(folder: Path) -> None:
    table = 'client_id\tpath\tsentence\nada\ta.wav\tHe said "no".\nkurt\tb.wav\tOne, two\n'
    (folder / "train.tsv").write_text(table)
    common = {"form": "tsv", "sound": "path", "text": "sentence", "group": "client_id", "sound_folder": "clips"}
    one, other = _read(folder, files={"train": "train.tsv"}, **common)
    assert (one.id, one.split, other.id) == ("train/000000", "train", "train/000001")
    assert one.values == {"sound": GOOD, "text": 'He said "no".', "group": "ada"}
    assert other.values["text"] == "One, two"


def test_ljspeech_audiofolder_and_manifests(folder: Path) -> None:
    (folder / "metadata.csv").write_text("a|Dr. A|Doctor A\nb|two|two\n")
    columns = ["id", "raw", "text"]
    lj = {"form": "bars", "columns": columns, "sound": "id", "sound_folder": "clips", "sound_suffix": ".wav"}
    assert [one.values["text"] for one in _read(folder, files={"": "metadata.csv"}, **lj)] == ["Doctor A", "two"]
    (folder / "clips" / "metadata.csv").write_text('file_name,transcription\na.wav,"one, two"\n')
    (found,) = _read(folder, files={"": "clips/metadata.csv"}, text="transcription")
    assert (found.split, found.values["text"]) == (None, "one, two")
    (folder / "m.jsonl").write_text(json.dumps({"audio_filepath": "clips/b.wav", "text": "three", "duration": 0.5}))
    (found,) = _read(folder, files={"": "m.jsonl"}, form="jsonl", sound="audio_filepath")
    assert found.values == {"sound": GOOD, "text": "three"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../../x.wav,one", "outside the source's folder"),
        ("no.wav,one", "no such sound"),
        ("a.wav,", "no text"),
        (",one", "no file_name"),
    ],
)
def test_what_is_missing_is_refused_with_its_line(folder: Path, row: str, message: str) -> None:
    (folder / "t.csv").write_text(f"file_name,text\n{row}\n")
    with pytest.raises(SourceError, match=message) as refused:
        _read(folder, files={"": "t.csv"}, sound_folder="clips")
    assert "line 2" in str(refused.value.where)


def test_labels_of_file_names_have_texts(tmp_path: Path) -> None:
    for name in ("0_ada.wav", "1_ada.wav"):
        (tmp_path / name).write_bytes(GOOD)
    layout = WavLayout(kind="wav", pattern="{label}_{speaker}.wav", texts={"0": "zero", "1": "one"})
    assert layout.fields == {"sound": "binary", "label": "text", "speaker": "text", "text": "text"}
    assert [one.values["text"] for one in wav_folder.samples(layout, tmp_path, Remarks())] == ["zero", "one"]
    fewer = layout.model_copy(update={"texts": {"0": "zero"}})
    with pytest.raises(SourceError, match="no text for this label"):
        list(wav_folder.samples(fewer, tmp_path, Remarks()))
    with pytest.raises(ValidationError, match="has a name"):
        WavLayout(kind="wav", pattern="{label}_{text}.wav", texts={"0": "zero"})
    assert "texts" not in WavLayout(kind="wav", pattern="{label}.wav").model_dump()
