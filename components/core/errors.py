"""The one error tree.

ModelyardError                    1  something failed
├── UsageError                    2  the user asked for something that cannot be
│   ├── SpecError                 2  a pipeline or dataset file is wrong (all its problems at once)
│   └── NotFoundError             2  no such pipeline, dataset, stage, file
├── GateRefused                   3  a gate said no: validation, metric floor
│   └── ValidationRefused         3  the data did not meet its expectations
├── CorruptArtifactError          1  bytes are not those that the manifest names
├── SourceError                   1  a source could not be fetched or read
│   └── UnsafeArchiveError        1  an archive that would write outside, or is a bomb
├── SampleError                   1  one sample cannot be turned into a tensor
├── InferenceError                1  a model failed to answer a sample that fits
│   └── NotFiniteError            1  its answer has NaN or infinity in it
├── TrainingError                 1  training cannot go on (not finite, no room, wrong checkpoint)
├── Interrupted                 130  Ctrl-C; what was done is kept
├── DiskFullError                 1  no space left on the disk; what was done is kept
├── StageKilled                   1  a stage's process was killed from outside; a retry can help
├── StackError                    1  a server of the local stack is not there or not well
├── RegistryError                 1  the registry refused or did not answer
└── ServingError                  1  a bundle could not be built, started or asked

An error says what happened, where, what it got, what it expected, and what to do next. It crosses process
boundaries as JSON (`to_dict`, `from_dict`), so a stage's error reaches the command line unchanged.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ModelyardError(Exception):
    """Base of everything that Modelyard raises on purpose; `exit_code` is what the process ends with."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        expected: object = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.got = None if got is None else str(got)
        self.expected = None if expected is None else str(expected)
        self.next_step = next_step

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The error as a person reads it, one fact a line."""
        facts = {"where": self.where, "got": self.got, "expected": self.expected, "next": self.next_step}
        return [self.what, *(f"  {name + ':':<10}{value}" for name, value in facts.items() if value is not None)]

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that `from_dict` turns back into the same class."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "got": self.got,
            "expected": self.expected,
            "next_step": self.next_step,
        }

    @staticmethod
    def from_dict(document: dict[str, Any]) -> ModelyardError:
        """The error that another process wrote with `to_dict`; an unknown class becomes the base class."""
        kind = _classes().get(str(document.get("error")), ModelyardError)
        if kind is SpecError:
            problems = tuple(Problem(**problem) for problem in document.get("problems", ()))
            return SpecError(str(document["where"]), problems)
        error = kind.__new__(kind)
        ModelyardError.__init__(
            error,
            str(document.get("what")),
            where=document.get("where"),
            got=document.get("got"),
            expected=document.get("expected"),
            next_step=document.get("next_step"),
        )
        return error


class UsageError(ModelyardError):
    """The request itself is wrong; nothing was started."""

    exit_code = 2


class NotFoundError(UsageError):
    """A pipeline, dataset, stage or file of that name is not there."""


class Problem:
    """One thing wrong in a file: where it stands, what was found, what is allowed."""

    def __init__(self, path: str, message: str, line: int | None = None, got: str | None = None) -> None:
        self.path = path
        self.message = message
        self.line = line
        self.got = got

    def __str__(self) -> str:
        location = f"line {self.line}" if self.line else "-"
        got = f" (got {self.got})" if self.got is not None else ""
        return f"{location}: {self.path or '(file)'}: {self.message}{got}"


class SpecError(UsageError):
    """A file does not fit its contract. Holds every problem of the file, not only the first."""

    def __init__(self, where: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"{where}: {count}", where=where, next_step="correct the lines above; `modelyard schema`")

    def lines(self) -> list[str]:
        next_step = "mend these lines; `modelyard schema` prints what is allowed"
        return [self.what, *(f"  {problem}" for problem in self.problems), f"  {'next:':<10}{next_step}"]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "problems": [vars(problem) for problem in self.problems]}


class GateRefused(ModelyardError):
    """A gate said no; what stood before stands as it was."""

    exit_code = 3


class ValidationRefused(GateRefused):
    """The data did not meet its expectations."""


class CorruptArtifactError(ModelyardError):
    """A file's bytes are not those that its manifest names."""


class SourceError(ModelyardError):
    """A source could not be fetched, or what came is not what was asked for."""


class UnsafeArchiveError(SourceError):
    """An archive with a path outside its folder, a link, a device, or too much in it."""


class SampleError(ModelyardError):
    """One sample is not what its task takes: no image, too large, wrong type.

    Args:
        code: one word for machines, such as `range`; "" where the message says it all.
    """

    code = ""

    def __init__(self, what: str, *, code: str = "", **facts: Any) -> None:
        super().__init__(what, **facts)
        self.code = code


class InferenceError(ModelyardError):
    """A model failed to answer a sample that fits."""


class NotFiniteError(InferenceError):
    """A model's answer has NaN or infinity in it."""


class TrainingError(ModelyardError):
    """Training cannot go on."""


class Interrupted(ModelyardError):
    """Stopped by Ctrl-C or SIGTERM; what was done is kept."""

    exit_code = 130


class DiskFullError(ModelyardError):
    """There is no space left on a disk, or in a quota."""


class StageKilled(ModelyardError):
    """A stage's process was killed from outside."""


class StackError(ModelyardError):
    """A server of the local stack is not there or not well."""


class RegistryError(ModelyardError):
    """The registry refused, or did not answer."""


class ServingError(ModelyardError):
    """A bundle could not be built, started or asked."""


def _classes() -> dict[str, type[ModelyardError]]:
    classes: dict[str, type[ModelyardError]] = {}
    pending: list[type[ModelyardError]] = [ModelyardError]
    while pending:
        error_class = pending.pop()
        classes[error_class.__name__] = error_class
        pending.extend(error_class.__subclasses__())
    return classes
