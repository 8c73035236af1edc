"""What an output is made of, as digests: the model, the options, the code, the input."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from components import tasks
from components.contracts.score_request import ScoreRequest
from components.core.project import Project
from components.identity import digest, user_source
from components.identity.manifest import Manifest
from components.identity.package import Package
from components.identity.source_code import SourceIdentity
from components.scoring import pieces
from components.scoring.piece import Piece
from components.scoring.samples import files_of
from components.scoring.sources import ScoreSource

ENTRY = "components.scoring.stage"


class RunIdentity(NamedTuple):
    """What a run is made of beside the content of its input.

    Args:
        key: digest of model, options and form of the input: the same for runs that give the same answers.
        run: digest of these and of the code, for the parts of one output.
        facts: in words, for the manifest.
    """

    key: str
    run: str
    facts: dict[str, Any]


def of(request: ScoreRequest, bundle: Manifest, package: Package, source: ScoreSource, samples: int) -> RunIdentity:
    """The identity of a run.

    Args:
        samples: how many are computed together.
    """
    code = _code(tasks.module(package.facts.task))
    options = request.options.model_dump(mode="json", exclude={"max_errors", "expectations"})
    form = None
    if source.form is not None:
        form = {name: value for name, value in vars(source.form).items() if name not in ("layout", "notes", "names")}
        layout = source.form.layout.model_dump(mode="json", exclude={"files"})
        form |= {"layout": layout, "names": source.form.names[0]}
    made_of = {
        "package": package.digest,
        "bundle": bundle.digest,
        "options": options,
        "kind": source.kind,
        "form": form,
        "files": source.names if source.form is not None and source.has_names else None,
        "batch": samples,
    }
    key = digest.of_value(made_of)
    facts = {
        "model": request.model,
        "version": request.version,
        "package_digest": package.digest,
        "bundle_digest": bundle.digest,
        "options": options,
        "code": code.digest,
        "libraries": code.libraries,
        "lock_digest": None if request.lock_file is None else digest.of_file(Path(request.lock_file)),
    }
    return RunIdentity(key, digest.of_value([key, code.digest]), facts)


@functools.cache
def _code(task: str) -> SourceIdentity:
    """The code that scores, with that of a task; it is read once, as this process runs it."""
    return user_source.identity([ENTRY, task], Project(Path()).source_root)


def input_of(piece: Piece, source: ScoreSource) -> str:
    """The digest of what is read for a piece."""
    return files_of(piece, source) if piece.kind == "files" else piece.digest()


def of_input(digests: Iterator[str]) -> str:
    """The digest of an input, of those of its pieces in order."""
    return digest.of_value(list(digests))


def read_input(source: ScoreSource) -> str:
    """The digest of an input, read for it."""
    return of_input(input_of(piece, source) for piece in pieces.of(source))
