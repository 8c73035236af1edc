"""A function's call as a Dask task: what our code raises comes back as data, by class and with all its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import components
from components.core import disk_space
from components.core.errors import ModelyardError, StackError
from components.ingestion.sample_batch import OtherRowsError


class Outcome(NamedTuple):
    """What a call came to.

    Args:
        error: of `ModelyardError.to_dict`; None without one.
        other_rows: whether the samples cannot be read by column.
    """

    result: Any
    error: dict[str, Any] | None = None
    other_rows: bool = False

    def value(self) -> Any:
        """The result.

        Raises:
            ModelyardError, OtherRowsError: what the function raised.
        """
        if self.error is not None:
            raise ModelyardError.from_dict(self.error)
        if self.other_rows:
            raise OtherRowsError
        return self.result


@dataclass(frozen=True)
class Call:
    """A function of one item.

    Args:
        code: folder of the code that is to run; None: whatever the process has.
    """

    function: Callable[[Any], Any]
    code: str | None

    def __call__(self, item: Any) -> Outcome:
        """Call the function."""
        try:
            if self.code is not None and not _is_below(self.code):
                raise StackError(
                    "the worker runs other code of Modelyard",
                    where=str(components.__path__[0]),
                    expected=self.code,
                    next_step="another run with other code uses the same workers: wait for it, then run again",
                )
            return Outcome(self.function(item))
        except OtherRowsError:
            return Outcome(None, other_rows=True)
        except ModelyardError as error:
            return Outcome(None, error.to_dict())
        except OSError as error:
            if not disk_space.is_full(error):
                raise
            return Outcome(None, disk_space.as_error(error).to_dict())


def _is_below(folder: str) -> bool:
    return Path(components.__path__[0]).is_relative_to(folder)
