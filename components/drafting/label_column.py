"""Which column is the label or the target of a table of features, and which of both it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.core.errors import SourceError
from components.drafting.cells import IDENTITIES, LABELS, Column
from components.drafting.column_roles import MOST_CLASSES
from components.drafting.draft_options import DraftOptions

# Names of labels and targets, the surest first.
_SURE = ("target", "label", "labels", "class", "y", "outcome", "response", "output")
_USUAL = ("price", "value", "score", "quality", "rating", "medv", "saleprice", "median_house_value", "income",
          "survived", "diagnosis", "species", "churn", "default", "result")  # fmt: skip
QUANTITIES = frozenset({"target", "y", "response", "output", "price", "value", "score", "medv", "saleprice",
                        "median_house_value", "income"})  # fmt: skip
FEW = 20  # different whole numbers up to which they are classes
_STEP = re.compile(r"(.*?)[_ .-]?(\d+)")
_NO_STEPS = frozenset({"column", "col", "feature", "feat", "f", "var", "variable", "attribute", "attr", "field", "pc",
                       "dim", "a", "att", "in", "input"})  # fmt: skip
_MANY_STEPS = 8
_MANY_X = 30  # x1, x2, ... and V1, V2, ... are the features of a textbook, unless they are many


def find(columns: Sequence[Column], options: DraftOptions, where: str) -> tuple[Column, str] | None:
    """The column of the label or target, and why; None if nothing says which.

    Raises:
        SourceError: the column that was named does not exist, or several columns have names of labels.
    """
    if options.label is not None:
        return named(columns, options.label, where), "as `--label` says"
    for names in (_SURE, _USUAL, LABELS):
        found = [column for column in columns if column.known in names]
        if len(found) > 1:
            raise ask(columns, where, ", ".join(column.name for column in found))
        if found:
            return found[0], "by its name"
    words = [column for column in columns if not column.is_number and not column.is_mostly_typed]
    others = [column for column in columns if column.known not in IDENTITIES]
    if len(words) == 1 and words[0] is others[-1] and 2 <= words[0].distinct <= max(2, len(words[0].cells) // 4):
        return words[0], "the only column of words, and the last one"
    return None


def named(columns: Sequence[Column], name: str, where: str) -> Column:
    """The column of a name.

    Raises:
        SourceError: there is none.
    """
    for column in columns:
        if column.name == name and column.unit is not None:
            raise SourceError(
                f"the cells of {name} have a unit beside their numbers", where=where, got=f"{column.cells[0]}, ...",
                expected="numbers alone", next_step=f"remove {column.unit} from the cells, then `modelyard new` again",
            )  # fmt: skip
        if column.name == name:
            return column
    got = ", ".join(column.name for column in columns[:30])
    raise SourceError(f"no column {name}", where=where, got=got, next_step="give `--label` one of these names")


def ask(columns: Sequence[Column], where: str, got: str | None = None) -> SourceError:
    """The error of a table of which nothing says what is to be predicted."""
    shown = ", ".join(column.name for column in columns[:30])
    return SourceError(
        "which column is the label?",
        where=where,
        got=got or shown,
        expected=f"one column with a name of labels, such as {', '.join(_SURE[:4])}; or the only column of words, last",
        next_step="say it: `modelyard new NAME --from PLACE --label COLUMN`",
    )


def is_quantity(column: Column) -> bool:
    """Whether a column of numbers is a quantity to be estimated, and not the numbers of classes."""
    if not column.is_number:
        return False
    values = [value for cell in column.cells if cell and (value := column.number(cell)) is not None]
    distinct, count = len(set(values)), len(values)
    if any(value != int(value) for value in values if abs(value) < 2**53):
        return distinct > FEW or column.known in QUANTITIES
    return distinct > FEW and (distinct > MOST_CLASSES or distinct * 4 > count or column.known in QUANTITIES)


def are_steps(names: Sequence[str]) -> bool:
    """Whether columns are numbered steps of one quantity: t0, t1, ...; or many that are called 0, 1, ..."""
    found = [_STEP.fullmatch(name.strip()) for name in names]
    if len(names) < 2 or not all(found):
        return False
    prefixes = {match.group(1).lower() for match in found if match is not None}
    numbers = [int(match.group(2)) for match in found if match is not None]
    if len(prefixes) > 1 or prefixes & _NO_STEPS or numbers != sorted(set(numbers)):
        return False
    fewest = {"": _MANY_STEPS, "x": _MANY_X, "v": _MANY_X if numbers[0] == 1 else 0}
    return len(names) >= fewest.get(next(iter(prefixes)), 0)
