"""The binary version of CIFAR-10: lossless, unlike most copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.contracts.dataset_layout import CifarLayout
from components.core.errors import SourceError
from components.ingestion import png
from components.ingestion.sample import Sample, split_name

_SIDE, _COLOURS = 32, 3
_RECORD = 1 + _COLOURS * _SIDE * _SIDE


def samples(layout: CifarLayout, folder: Path) -> Iterator[Sample]:
    """The images of each file, in order; ids are `<split>/<number>`.

    Raises:
        SourceError: a file is missing or of another length, or a label has no class.
    """
    for split, names in layout.files.items():
        row = 0
        for path in (folder / name for name in names):
            if not path.is_file():
                raise SourceError("no such file in the source", where=str(path))
            content = np.fromfile(path, np.uint8)
            if not content.size or content.size % _RECORD:
                expected = f"a multiple of {_RECORD}"
                raise SourceError("the file is truncated", where=str(path), got=content.size, expected=expected)
            for record in content.reshape(-1, _RECORD):
                if record[0] >= len(layout.classes):
                    expected = f"0 to {len(layout.classes) - 1}"
                    raise SourceError("a label without a class", where=str(path), got=record[0], expected=expected)
                pixels = record[1:].reshape(_COLOURS, _SIDE, _SIDE).transpose(1, 2, 0)  # (H, W, C)
                values = {"image": png.encode(pixels), "label": layout.classes[record[0]]}
                yield Sample(f"{split}/{row:06d}", split_name(split, "layout.files"), values)
                row += 1
