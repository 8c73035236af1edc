"""Layouts of the files that annotation tools write: tables of boxes, and exports in JSON."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contracts.sample_fields import Fields
from components.contracts.table_layout import FileName, TextEncoding, is_default
from components.core.strict import Strict


class BoxTableLayout(Strict):
    """CSV or TSV files by their splits, one row a box; several rows may have one image.

    A row whose cells of the box and of the label are all empty is an image without objects. The samples of the files ""
    have no split yet.

    Args:
        image: column of the image's path, relative to the table, or to its `image_folder`.
        label: column of the class.
        box: the four columns of the box, in the order of `form`.
        form: corners: xmin, ymin, xmax, ymax. corner_size: xmin, ymin, width, height. centre_size: the centre's x and
            y, width, height.
        unit: pixels, or fractions of the image's width and height.
        size: columns of the image's width and height, if the file has them.
        split: column of the split, if the file has one.
        columns: names of the columns, if the first line does not have them.
        image_folder: folder of the images, relative to the table; or one for each split.
        image_suffix: what is appended to the cells to make file names, such as `.jpg`.
        sizes: what to do if the size in the table is not that of the image: refuse, or ignore what the table says.
    """

    kind: Literal["boxes"]
    files: dict[str, FileName | list[FileName]]
    image: str
    label: str
    box: list[str] = Field(min_length=4, max_length=4)
    form: Literal["corners", "corner_size", "centre_size"] = "corners"
    unit: Literal["pixels", "fractions"] = "pixels"
    size: list[str] | None = Field(default=None, min_length=2, max_length=2)
    split: str | None = None
    columns: list[str] | None = None
    encoding: TextEncoding = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    skip_lines: int = Field(default=0, ge=0)
    comment: str | None = Field(default=None, min_length=1)
    image_folder: str | dict[str, str] | None = None
    image_suffix: str | None = Field(default=None, pattern=r"^\.[A-Za-z0-9.]+$")
    sizes: Literal["refuse", "ignore"] = Field(default="refuse", exclude_if=is_default("refuse"))

    @property
    def fields(self) -> Fields:
        """Fields of the samples; a box is {label, xmin, ymin, xmax, ymax} in pixels."""
        return {"image": "binary", "boxes": "json"}

    def folder_of(self, split: str) -> str | None:
        """The folder of a split's images, relative to its table; None: the table's folder."""
        return self.image_folder.get(split) if isinstance(self.image_folder, dict) else self.image_folder

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        optional = [] if self.split is None else [self.split]
        names = [self.image, self.label, *self.box, *(self.size or ()), *optional]
        if len(set(names)) < len(names):
            raise ValueError("a column stands twice in image:, label:, box:, size: and split:")
        if isinstance(self.image_folder, dict) and set(self.image_folder) != set(self.files):
            raise ValueError("image_folder: and files: name different splits")
        return self


class SpanLayout(Strict):
    """Files of JSON objects, one a line or in one list: a text and its labelled spans, as doccano exports them.

    A span is `[start, end, label]`, or an object with `start_offset` and `end_offset` (or `start` and `end`) and
    `label` (or `labels`, of one). Offsets count characters (code points) from 0; `end` is excluded. The samples of the
    files "" have no split yet.

    Args:
        text: key of the text.
        spans: key of the list of spans; an empty list, or none, is a text without spans.
    """

    kind: Literal["spans"]
    files: dict[str, FileName | list[FileName]]
    text: str = "text"
    spans: str = "label"
    encoding: TextEncoding = "utf-8"

    @property
    def fields(self) -> Fields:
        """Fields of the samples: a list of tokens, and a list of as many BIO tags."""
        return {"tokens": "json", "tags": "json"}


class LabelStudioLayout(Strict):
    """Label Studio's export in JSON (a list of tasks, or one task a line): texts or images with annotations.

    Tasks without an annotation, or whose annotations were all cancelled, are left out and counted. Of several
    annotations of a task the first is read. The samples of the files "" have no split yet.

    Args:
        data: key of a task's `data` that has the text, or the name of the image.
        read: what annotations hold: spans of a text; boxes of an image; one label, or a set of labels, by choices.
        content: what `data` is.
        control: `from_name` of the results that are read; default: of any name.
        images: folder of the images.
        sizes: what to do if the size in the export is not that of the image: refuse, or ignore what the export says.
    """

    kind: Literal["label_studio"]
    files: dict[str, FileName | list[FileName]]
    data: str
    read: Literal["spans", "boxes", "label", "labels"]
    content: Literal["text", "image"]
    control: str | None = None
    images: str = "."
    sizes: Literal["refuse", "ignore"] = Field(default="refuse", exclude_if=is_default("refuse"))

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        if self.read == "spans":
            return {"tokens": "json", "tags": "json"}
        content: Fields = {"text": "text"} if self.content == "text" else {"image": "binary"}
        own: dict[str, Fields] = {
            "boxes": {"boxes": "json"}, "label": {"label": "text"}, "labels": {"labels": "json"},
        }  # fmt: skip
        return {**content, **own[self.read]}

    @model_validator(mode="after")
    def _content_that_fits(self) -> Self:
        if (self.read, self.content) in (("spans", "image"), ("boxes", "text")):
            raise ValueError("read: spans needs content: text, and read: boxes needs content: image")
        return self


class InstructionLayout(Strict):
    """Files of JSON objects, one a line or in one list, that become texts by a template: data of language models.

    `instruction`: an instruction, an input that may be empty, and an output. `prompt`: a prompt and its completion.
    `messages`: a list of messages with a role and a content. The samples of the files "" have no split yet.

    Args:
        keys: key of each part in the objects: instruction, input, output; prompt, completion; messages.
        template: the text of a sample, with the parts in braces, as in `{instruction}`; of `messages`: the text of one
            message, with `{role}` and `{content}`. Null: the samples are conversations, lists of messages in the field
            `messages`, that the chat template of a model makes texts of; an instruction or a prompt is a message of the
            user, with its input after an empty line, and the output or completion is the answer of the assistant.
        template_without_input: template for samples whose input is empty.
        roles: roles of messages that are read, and what stands for `{role}`; messages of other roles are left out.
        group: key of what objects belong to (a conversation, a document, a user): the field `group`, which `split:
            {group: group}` keeps in one split.
    """

    kind: Literal["instructions"]
    files: dict[str, FileName | list[FileName]]
    form: Literal["instruction", "prompt", "messages"]
    keys: dict[str, str] = Field(default={})
    template: str | None = Field(default=None, min_length=1, exclude_if=is_default(None))
    template_without_input: str | None = Field(default=None, min_length=1)
    roles: dict[str, str] = Field(default={})
    encoding: TextEncoding = "utf-8"
    group: str | None = Field(default=None, min_length=1, exclude_if=is_default(None))

    @property
    def fields(self) -> Fields:
        """Fields of the samples, with their kinds."""
        own: Fields = {"messages": "json"} if self.template is None else {"text": "text"}
        return own if self.group is None else {**own, "group": "text"}

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of an object."""
        return PARTS[self.form]

    def key(self, part: str) -> str:
        """The key of a part in the objects."""
        return self.keys.get(part, part)

    @model_validator(mode="after")
    def _parts_that_are_there(self) -> Self:
        if unknown := sorted(set(self.keys) - set(self.parts)):
            raise ValueError(f"keys: {self.form} has no {', '.join(unknown)}")
        needed = ("role", "content") if self.form == "messages" else self.parts
        template = self.template
        if template is not None and (missing := [part for part in needed if f"{{{part}}}" not in template]):
            raise ValueError(f"template: lacks {', '.join(f'{{{part}}}' for part in missing)}")
        if self.form == "messages" and not self.roles:
            raise ValueError("roles: names the roles that are read, such as {user: user, assistant: assistant}")
        if self.form != "messages" and self.roles:
            raise ValueError("roles: needs form: messages")
        if self.template_without_input is not None and (self.form != "instruction" or template is None):
            raise ValueError("template_without_input: needs form: instruction and template")
        return self


PARTS = {
    "instruction": ("instruction", "input", "output"),
    "prompt": ("prompt", "completion"),
    "messages": ("messages",),
}
