"""The layout of sounds with what is said in them: the data of speech recognition."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contracts.sample_fields import Fields
from components.contracts.table_layout import FileName, TextEncoding
from components.core.strict import Strict


class TranscriptLayout(Strict):
    """Tables by their splits that name a sound file and its text in each row: Common Voice (`form: tsv`, `sound: path`,
    `text: sentence`, `sound_folder: clips`), LJSpeech (`form: bars`, `columns: [id, raw, text]`), audiofolder's
    metadata.csv (`sound: file_name`, `text: transcription`), manifests of JSON lines (`sound: audio_filepath`).

    The samples of the files "" have no split yet.

    Args:
        form: csv, with quotation marks; tsv or bars, without, cells separated by a tab or by `|`; jsonl.
        sound: column, or key, of the path of the sound file.
        text: column, or key, of the text.
        group: column of what a sound belongs to (a speaker): the field `group`, which `split: {group: group}` keeps in
            one split.
        columns: names of the columns, if the first line does not have them.
        sound_folder: folder of the sounds, relative to the table; default: the table's folder.
        sound_suffix: what is appended to the cells to make file names, such as `.wav`.
    """

    kind: Literal["transcripts"]
    files: dict[str, FileName]
    form: Literal["csv", "tsv", "bars", "jsonl"] = "csv"
    sound: str = "file_name"
    text: str = "text"
    group: str | None = None
    columns: list[str] | None = None
    encoding: TextEncoding = "utf-8"
    sound_folder: str | None = Field(default=None, min_length=1)
    sound_suffix: str | None = Field(default=None, pattern=r"^\.[A-Za-z0-9.]+$")

    @property
    def fields(self) -> Fields:
        """Fields of the samples: the file and its text."""
        fields: Fields = {"sound": "binary", "text": "text"}
        return fields if self.group is None else {**fields, "group": "text"}

    @model_validator(mode="after")
    def _keys_name_themselves(self) -> Self:
        if self.form == "jsonl" and self.columns is not None:
            raise ValueError("columns: JSON lines name their keys themselves")
        return self
