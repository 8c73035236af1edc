"""A recognised layout of files."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import TypeAdapter

from components import tasks
from components.contracts.dataset_layout import Fields, Layout

_LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)


class Recognised(NamedTuple):
    """A recognised layout.

    Args:
        layout: as in dataset.yaml; `kind: folder` for a source that is a folder of class folders.
        why: how the layout was recognised.
        remarks: what is left out or assumed, one sentence each.
    """

    layout: dict[str, Any]
    why: str
    remarks: tuple[str, ...] = ()

    @property
    def fields(self) -> Fields:
        """Fields of the layout's samples, with their kinds."""
        layout: Layout = _LAYOUT.validate_python(self.layout)
        return layout.fields

    @property
    def task(self) -> str | None:
        """The task that reads the fields of the layout's samples; None if there is none."""
        return tasks.of_fields(self.fields)
