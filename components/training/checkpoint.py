"""Checkpoints: a safetensors file and a JSON file each, no pickle; the JSON file is written last.

A checkpoint is valid if its JSON file exists and both digests match. Two checkpoints are kept; the newest valid one is
loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from components.core import atomic
from components.core.errors import TrainingError
from components.identity import digest
from components.training.messages import log

KEPT = 2


def save_checkpoint(
    folder: Path, train_fingerprint: str, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    """Write a checkpoint; a kill at any line leaves the previous checkpoint valid.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written.
    """
    content = safetensors.torch.save({name: value.detach().contiguous() for name, value in tensors.items()})
    body = {"train_fingerprint": train_fingerprint, "facts": facts, "sha256": hashlib.sha256(content).hexdigest()}
    name = f"{step:010d}"
    try:
        atomic.write_bytes(folder / f"{name}.safetensors", content)
        atomic.write_text(folder / f"{name}.json", json.dumps({"body": body, "digest": digest.of_value(body)}))
        for old in sorted(folder.glob("*.json"))[:-KEPT]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(
            "the checkpoint cannot be written",
            where=str(folder),
            got=error,
            next_step="free disk space, then run the pipeline again; it resumes from the previous checkpoint",
        ) from error


def load_checkpoint(folder: Path, train_fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest valid checkpoint of a training, or None. A damaged checkpoint is skipped, with a message on stderr.

    Raises:
        TrainingError: a valid checkpoint is of another training.
    """
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            document = json.loads(path.read_bytes())
            body = document["body"]
            content = path.with_suffix(".safetensors").read_bytes()
            if digest.of_value(body) != document["digest"]:
                raise ValueError(f"the digest of {path.name} differs")
            if hashlib.sha256(content).hexdigest() != body["sha256"]:
                raise ValueError(f"the digest of {path.with_suffix('.safetensors').name} differs")
            tensors = safetensors.torch.load(content)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log(f"checkpoint {path.stem} is damaged and is skipped: {error}")
            continue
        if body.get("train_fingerprint") != train_fingerprint:
            raise TrainingError(
                "the checkpoint is of another training",
                where=str(path),
                got=f"train_fingerprint {body.get('train_fingerprint', body.get('train_key'))}",
                expected=f"train_fingerprint {train_fingerprint}",
                next_step=f"remove {folder.parent} to train from the start",
            )
        return tensors, body["facts"]
    return None
