"""The stage: `raw/` -> a staged `prepared/`; then, once its expectations are met, that one in place of the last.

python -m components.preparation data/<dataset>               fills .modelyard/staging/<dataset>/prepared
python -m components.validation prepared data/<dataset>       looks at it, leaves its verdict beside it
python -m components.preparation data/<dataset> --accept      seals it and puts it in its place
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import UsageError


def main(arguments: list[str]) -> None:
    """Prepare a dataset, or accept what was prepared.

    Raises:
        UsageError: not called with one dataset's folder.
        CorruptArtifactError: raw/, validated/ or the staged folder is not what its manifest says.
        SampleError: a sample does not become arrays.
    """
    match arguments:
        case [folder]:
            from components.preparation import prepare

            prepare.prepare(Path(folder))
        case [folder, "--accept"]:  # imports neither numpy nor PIL: it only moves a folder
            from components.preparation import accept

            accept.accept(Path(folder))
        case _:
            raise UsageError("one dataset's folder is expected", got=arguments, expected="data/<dataset> [--accept]")
