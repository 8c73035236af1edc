"""Let the lines of a prediction log be of an earlier hour: hours pass in a test without waiting for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from components.contracts.prediction_log import FEEDBACK, OPEN, begin_of, hours


def move(log: Path, hour: str) -> list[str]:
    """Date all lines of the open hours so that they are of `hour`; nobody writes meanwhile.

    Returns:
        The ids of the predictions, as they are now.
    """
    ids: dict[str, str] = {}
    target = log / OPEN / hour
    for source in hours(log / OPEN):
        if source == hour:
            continue
        shift = begin_of(hour) - begin_of(source)
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted((log / OPEN / source).iterdir()):
            documents = [_moved(json.loads(line), shift, ids) for line in path.read_bytes().splitlines() if line]
            name = path.name if path.name.endswith(FEEDBACK) else f"{source}-{path.name}"
            with (target / name).open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(document) + "\n" for document in documents)
        shutil.rmtree(log / OPEN / source)
    return list(ids.values())


def _moved(document: dict[str, Any], shift: float, ids: dict[str, str]) -> dict[str, Any]:
    if "arrived" in document:
        return {**document, "id": shifted(document["id"], shift), "arrived": document["arrived"] + shift}
    if "id" not in document:  # the number of dropped requests
        return document
    for one in document["id"]:
        ids[one] = shifted(one, shift)
    times = [at + int(1e6 * shift) for at in document["time_us"]]
    return {**document, "id": [ids[one] for one in document["id"]], "time_us": times}


def shifted(text: str, shift: float) -> str:
    """The id of a prediction that was made so many seconds later."""
    return f"{int(text[:8], 16) + int(shift):08x}{text[8:]}"
