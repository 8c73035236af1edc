"""A function's call as a Dask task: what our code raises comes back as data, by class and with all its fields."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import components
from components.core import disk_space
from components.core.errors import ModelyardError, StackError
from components.ingestion.sample_batch import OtherRowsError


class CallOutcome(NamedTuple):
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


class FunctionCall(NamedTuple):
    """A function of one item as bytes, which `pickle.loads` calls on a worker: a scheduler reads what it passes on, and
    has none of our code.

    Args:
        code: folder of the code that is to run; None: whatever the process has.
    """

    function: Callable[[Any], Any]
    item: Any
    code: str | None

    def as_bytes(self) -> bytes:
        """The call; `pickle.loads` of it is its `CallOutcome`."""
        return pickle.dumps(_Called(self))


class _Called:
    """Is pickled as its own outcome."""

    def __init__(self, call: FunctionCall) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Callable[..., CallOutcome], tuple[Any, ...]]:
        return run, tuple(self._call)


def run(function: Callable[[Any], Any], item: Any, code: str | None) -> CallOutcome:
    """Call a function on a worker."""
    try:
        if code is not None and not Path(components.__path__[0]).is_relative_to(code):
            raise StackError(
                "the worker runs other code of Modelyard",
                where=str(components.__path__[0]),
                expected=code,
                next_step="another run with other code uses the same workers: wait for it, then run again",
            )
        return CallOutcome(function(item))
    except OtherRowsError:
        return CallOutcome(None, other_rows=True)
    except ModelyardError as error:
        return CallOutcome(None, error.to_dict())
    except OSError as error:
        if not disk_space.is_full(error):
            raise
        return CallOutcome(None, disk_space.as_error(error).to_dict())
