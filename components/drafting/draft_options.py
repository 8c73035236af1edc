"""What a person says of data that is to be recognised."""

from __future__ import annotations

from typing import NamedTuple


class DraftOptions(NamedTuple):
    """Options of a draft.

    Args:
        label: name of the column of the label or target.
        fields: fields of the samples of the task that was named; None if none was.
    """

    label: str | None = None
    fields: frozenset[str] | None = None

    def allows(self, field: str) -> bool:
        """Whether samples may have a field."""
        return self.fields is None or field in self.fields

    def demands(self, field: str) -> bool:
        """Whether the task that was named reads a field."""
        return self.fields is not None and field in self.fields


NO_OPTIONS = DraftOptions()
