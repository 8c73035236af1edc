"""The request file that is the only command-line argument of a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.core.errors import UsageError
from components.core.strict import Strict

Request = TypeVar("Request")


class RequestFile(Strict):
    """What a stage is asked to do; it is called with the path of a file that holds this as JSON."""

    @classmethod
    def read(cls, arguments: list[str]) -> Self:
        """The request in the file that the stage was called with.

        Raises:
            UsageError: not one argument, no such file, or it does not fit the contract.
        """
        return read(TypeAdapter(cls), arguments)


def read(contract: TypeAdapter[Request], arguments: list[str]) -> Request:
    """The request in the file that a stage was called with, where it is one of several kinds.

    Raises:
        UsageError: not one argument, no such file, or it does not fit the contract.
    """
    if len(arguments) != 1:
        raise UsageError("one request file is expected", got=" ".join(arguments) or "nothing", expected="REQUEST.json")
    try:
        return contract.validate_json(Path(arguments[0]).read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError("the request cannot be read", where=arguments[0], got=error) from error
