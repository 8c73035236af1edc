"""The error tree. The numbers are exit codes.

ModelyardError                    1  something failed
├── UsageError                    2  the request is invalid
│   ├── SpecError                 2  a pipeline or dataset file is wrong (all its problems at once)
│   └── NotFoundError             2  no such pipeline, dataset, stage, file
├── GateRefused                   3  a gate refused: validation, metric floor
│   └── ValidationRefused         3  the data did not meet its expectations
├── CorruptArtifactError          1  content differs from the manifest
├── SignatureError                1  not signed, signed with another key, or changed since
├── SourceError                   1  a source could not be fetched or read
│   ├── UnsafeArchiveError        1  an archive would write outside its folder, or is a bomb
│   └── ColouredMaskError         1  a mask has colours where numbers of classes are expected
├── SampleError                   1  one sample cannot be turned into a tensor
├── InferenceError                1  a model failed to answer a sample that fits
│   └── NotFiniteError            1  a model's answer contains NaN or infinity
├── TrainingError                 1  training cannot continue (not finite, out of memory, wrong checkpoint)
├── Interrupted                 130  Ctrl-C; completed work is kept
├── DiskFullError                 1  no space left on the disk; completed work is kept
├── StageKilled                   1  another process killed a stage; a retry can help
├── StackError                    1  a server of the stack does not run or is not healthy
├── RegistryError                 1  the registry rejected a request or did not answer
└── ServingError                  1  a bundle could not be started, or a service did not answer
    └── BundleError               1  a bundle, its wheels or its image could not be built

An error names what happened, where, the value it got, the value expected, and the next step. Errors cross process
boundaries as JSON (`to_dict`, `from_dict`), so a stage's error reaches the command line unchanged.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ModelyardError(Exception):
    """Base class of all errors that Modelyard raises deliberately; `exit_code` is the exit code of the process."""

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
        """The error as text, one fact a line."""
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
    """The request is invalid; nothing was started."""

    exit_code = 2


class NotFoundError(UsageError):
    """No pipeline, dataset, stage or file has the given name."""


class Problem:
    """One problem in a file: path of the key, message, line, and the value found."""

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
    """A file does not match its contract. Contains all problems of the file."""

    def __init__(self, where: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"{where}: {count}", where=where, next_step="correct the lines above; `modelyard schema`")

    def lines(self) -> list[str]:
        next_step = "correct these lines; `modelyard schema` prints the allowed keys"
        return [self.what, *(f"  {problem}" for problem in self.problems), f"  {'next:':<10}{next_step}"]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "problems": [vars(problem) for problem in self.problems]}


class GateRefused(ModelyardError):
    """A gate refused; the previous state is unchanged."""

    exit_code = 3


class ValidationRefused(GateRefused):
    """The data did not meet its expectations."""


class CorruptArtifactError(ModelyardError):
    """A file's content differs from its manifest."""


class SignatureError(ModelyardError):
    """An artifact is not signed, is signed with another key, or was changed after it was signed."""


class SourceError(ModelyardError):
    """A source could not be fetched, or its content is not the expected one."""


class UnsafeArchiveError(SourceError):
    """An archive contains a path outside its folder, a link, a device, or too much data."""


class ColouredMaskError(SourceError):
    """A mask has colours where numbers of classes are expected."""


class SampleError(ModelyardError):
    """One sample is not a valid input of its task: not an image, too large, wrong type.

    Args:
        code: a machine-readable code, such as `range`; "" if there is none.
    """

    code = ""

    def __init__(self, what: str, *, code: str = "", **facts: Any) -> None:
        super().__init__(what, **facts)
        self.code = code


class InferenceError(ModelyardError):
    """A model failed on a valid sample."""


class NotFiniteError(InferenceError):
    """A model's answer contains NaN or infinity."""


class TrainingError(ModelyardError):
    """Training cannot continue."""


class SearchError(ModelyardError):
    """A search could not be recorded, or found nothing."""


class Interrupted(ModelyardError):
    """Stopped by Ctrl-C or SIGTERM; completed work is kept."""

    exit_code = 130


class DiskFullError(ModelyardError):
    """A disk or a quota is full."""


class StageKilled(ModelyardError):
    """Another process killed a stage."""


class StackError(ModelyardError):
    """A server of the stack does not run or is not healthy."""


class RegistryError(ModelyardError):
    """The registry rejected a request or did not answer."""


class ServingError(ModelyardError):
    """A bundle could not be started, or a service did not answer."""


class BundleError(ServingError):
    """A bundle, its wheels or its image could not be built."""


def _classes() -> dict[str, type[ModelyardError]]:
    classes: dict[str, type[ModelyardError]] = {}
    pending: list[type[ModelyardError]] = [ModelyardError]
    while pending:
        error_class = pending.pop()
        classes[error_class.__name__] = error_class
        pending.extend(error_class.__subclasses__())
    return classes
