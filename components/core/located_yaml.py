"""Validates a YAML file against its contract; reports all problems at once, with line numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from components.core.errors import NotFoundError, Problem, SpecError

Spec = TypeVar("Spec", bound=BaseModel)
Location = tuple[int | str, ...]

_BOOLEAN = "tag:yaml.org,2002:bool"
# A key is text as it is written: the classes of digits may be named `{3: 2.0}`.
_TEXT_KEYS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp"))


MOST_VALUES = 100_000  # of a file with aliases, with what they repeat
MOST_LEVELS = 60


class _Loader(yaml.SafeLoader):
    """A SafeLoader that reads 1e-3 as a number, and yes, no, on and off as texts, as YAML 1.2 does.

    YAML 1.1 requires 1.0e-3, and reads those words as booleans: of the classes yes and no, of `compile: on`.

    A file that is nested deeper than `MOST_LEVELS`, or whose aliases make more than `MOST_VALUES` values, is an error:
    aliases of aliases make gigabytes of a few lines.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._written = self._values = self._levels = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As PyYAML's, which is recursive."""
        self._written += 1
        self._levels += 1
        if self._levels > MOST_LEVELS:
            raise _too_deep(self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)
        self._levels -= 1
        return node

    def count(self, node: yaml.Node, levels: int) -> None:
        """Count a value that is constructed of a node."""
        self._values += 1
        if levels > MOST_LEVELS:  # of an alias, which may stand for itself
            raise _too_deep(node.start_mark)
        if self._values > max(MOST_VALUES, self._written):
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_VALUES:,} values, with what aliases repeat", problem_mark=node.start_mark
            )


def _too_deep(mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"nested deeper than {MOST_LEVELS} levels", problem_mark=mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def parse_value(text: str) -> Any:
    """Parse one YAML value, as in a file: `3` is a number, `null` is None.

    Raises:
        ValueError: not a YAML value.
    """
    problems: list[Problem] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = _construct(loader, node, (), {}, problems) if node is not None else None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {getattr(error, 'problem', None) or error}") from error
    if problems:
        raise ValueError("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
    return value


def read(path: Path, spec: type[Spec], overrides: dict[str, Any] | None = None, *, content: str | None = None) -> Spec:
    """Read and validate a file.

    Args:
        overrides: values by dotted key, which override those of the file, as in `--set train.epochs=3`.
        content: of the file as it was read before; None: it is read now.

    Raises:
        NotFoundError: there is no such file.
        SpecError: the file is not YAML, has a duplicate key, or does not match the spec; all problems, with lines.
    """
    try:
        text = path.read_text(encoding="utf-8") if content is None else content
    except FileNotFoundError as error:
        raise NotFoundError(f"no such file: {path}", next_step="check the name") from error
    except UnicodeDecodeError as error:
        raise SpecError(str(path), (Problem("", "not UTF-8 text", got=str(error)),)) from error
    document, lines, problems = _parse(path, text)
    if not isinstance(document, dict):
        problems.append(Problem("", "a mapping of keys is expected", 1, got=type(document).__name__))
        raise SpecError(str(path), tuple(problems))
    for key, value in (overrides or {}).items():
        _put(document, key, value, problems)
        _place(tuple(key.split(".")), value, lines)
    try:
        result = spec.model_validate(document)
    except ValidationError as error:
        problems += [_problem(detail, lines) for detail in error.errors(include_url=False)]
    if problems:
        raise SpecError(str(path), tuple(sorted(problems, key=lambda problem: problem.line or 0)))
    return result


def lines(path: Path) -> dict[Location, int]:
    """The line number of every location in a valid YAML file."""
    return _parse(path, path.read_text(encoding="utf-8"))[1]


def problems(error: ValidationError, path: Path, at: Location) -> tuple[Problem, ...]:
    """The problems of a section that was validated against a contract of its own, with lines of the file.

    Args:
        at: the location of the section in the file.
    """
    _, lines, _ = _parse(path, path.read_text(encoding="utf-8"))
    inside = {place[len(at) :]: line for place, line in lines.items() if place[: len(at)] == at}
    section_problems = [_problem(detail, inside) for detail in error.errors(include_url=False)]
    for problem in section_problems:
        problem.path = ".".join(filter(None, (_path(at), problem.path)))
    return tuple(sorted(section_problems, key=lambda problem: problem.line or 0))


def _parse(path: Path, text: str) -> tuple[Any, dict[Location, int], list[Problem]]:
    """The document, the line number of every location in it, and the problems of its keys."""
    lines: dict[Location, int] = {}
    problems: list[Problem] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        document = _construct(loader, node, (), lines, problems) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error)
        raise SpecError(str(path), (Problem("", f"not YAML: {message}", mark.line + 1 if mark else None),)) from error
    return document, lines, problems


def _construct(
    loader: _Loader, node: yaml.Node, at: Location, lines: dict[Location, int], problems: list[Problem]
) -> Any:
    loader.count(node, len(at))
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem(_path(at), "a key must be text", line, got=f"a {key_node.id}"))
                continue
            key = key_node.value if key_node.tag in _TEXT_KEYS else loader.construct_object(key_node)
            if not isinstance(key, str):
                problems.append(Problem(_path(at), "a key must be text", line, got=repr(key)))
                continue
            if key in result:
                problems.append(Problem(_path((*at, key)), "duplicate key", line))
            lines[(*at, key)] = line
            result[key] = _construct(loader, value_node, (*at, key), lines, problems)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*at, index), lines, problems) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _put(document: dict[str, Any], key: str, value: Any, problems: list[Problem]) -> None:
    *parents, last = key.split(".")
    mapping = document
    for name in parents:
        nested = mapping.setdefault(name, {})
        if not isinstance(nested, dict):
            problems.append(Problem(key, f"--set: {name} is a value, not a mapping"))
            return
        mapping = nested
    mapping[last] = value


def _place(at: Location, value: Any, lines: dict[Location, int]) -> None:
    """Enter an override and its sections, so that its problems are reported there: 0 stands for no line of the file."""
    for end in range(1, len(at) + 1):
        lines.setdefault(at[:end], 0)
    if isinstance(value, dict):
        for name, inner in value.items():
            _place((*at, name), inner, lines)


def _problem(detail: Any, lines: dict[Location, int]) -> Problem:
    location: Location = tuple(detail["loc"])
    line = None
    # pydantic adds the tag of a union's branch to the location; the file has no such key.
    place = location
    while place and place not in lines:
        shorter = [place[:index] + place[index + 1 :] for index in range(len(place) - 1, -1, -1)]
        place = next((candidate for candidate in shorter if candidate in lines), place[:-1])
    line = lines.get(place)
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown key"
    value = detail.get("input")
    got = None if detail["type"] in ("missing", "extra_forbidden") or isinstance(value, dict) else repr(value)
    path = location if detail["type"] in ("missing", "extra_forbidden") else place
    return Problem(_path(path), message, line, got)


def _path(location: Location) -> str:
    return ".".join(str(part) for part in location)
