"""Weights to start from: found, proved by their digest, fitted to a network by name and shape.

Nothing that loads here can run code: safetensors, or torch files read with `weights_only=True`.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from components.contracts.architectures.architecture import ArchitectureSpec
from components.core import outward
from components.core.errors import CorruptArtifactError, NotFoundError, SourceError, UsageError
from components.identity import digest
from components.identity.package import Package
from components.training.messages import log
from components.training.transfer import head_names, in_head

NAMES = ("model.safetensors", "pytorch_model.bin")
COUNTER = "num_batches_tracked"  # of a batch normalisation; old files have none, and nothing depends on it
SHOWN = 6


class Source(NamedTuple):
    """A file of weights and what it is known by: the sha256 of the file, or the digest of the package it lies in."""

    path: Path
    digest: str


class Fit(NamedTuple):
    """What came of loading: names of the network's weights that were found and that stay fresh, of others left over."""

    fitted: list[str]
    new: list[str]
    left: list[str]

    def facts(self, name: str, source: Source) -> dict[str, Any]:
        """For the manifest of the trained parts."""
        return {
            "source": name,
            "sha256": source.digest,
            "fitted": len(self.fitted),
            "new": self.new,
            "left": self.left,
        }


def start(spec: ArchitectureSpec, network: nn.Module, folder: str | None) -> dict[str, Any] | None:
    """Load what a spec starts from into a network, tell a person what fitted, and give the facts; None without.

    Args:
        folder: of the package, where the spec says `registry:`.

    Raises:
        NotFoundError, SourceError: the weights are not there.
        CorruptArtifactError: they are not those that the digest names, or cannot be read.
        UsageError: they do not fit.
    """
    if spec.pretrained is None:
        return None
    source = find(spec.pretrained, folder)
    if spec.pretrained_sha256 is not None and source.digest != spec.pretrained_sha256:
        raise CorruptArtifactError(
            "the pretrained weights are not those of the spec",
            where=str(source.path),
            got=source.digest,
            expected=spec.pretrained_sha256,
            next_step="mend model.pretrained_sha256, or fetch the file again",
        )
    found = fit(network, read(source.path), spec.pretrained)
    log(f"pretrained {spec.pretrained} ({digest.short(source.digest)}): {len(found.fitted)} weights fitted")
    for word, names in (("new", found.new), ("left over", found.left)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            log(f"  {word}: {', '.join(names[:SHOWN])}{more}")
    return found.facts(spec.pretrained, source)


def find(pretrained: str, folder: str | None = None) -> Source:
    """The file that `pretrained` stands for.

    Raises:
        NotFoundError, SourceError: it is not there.
        CorruptArtifactError: a package of the registry is damaged.
    """
    kind, _, name = pretrained.partition(":")
    if kind == "registry":
        if folder is None:
            next_step = "run the pipeline with `modelyard run`, which asks the registry"
            raise NotFoundError("nobody said which package this is", where=pretrained, next_step=next_step)
        package = Package.open(Path(folder))
        return Source(package.folder / "model.safetensors", package.digest)
    if kind == "file":
        path = Path(name).expanduser()
        if not path.is_file():
            path = _in_mirror(name) or path
        if not path.is_file():
            raise NotFoundError("no such file of weights", where=name, next_step="mend model.pretrained")
    elif kind == "package":
        path = _in_package(name)
    else:
        path = _from_hub(name)
    return Source(path, digest.of_file(path))


def read(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name; the wrapper `state_dict` and the prefix `module.` are taken off.

    Raises:
        CorruptArtifactError: it is no such file.
    """
    try:
        if path.suffix == ".safetensors":
            found: Any = safetensors.torch.load(path.read_bytes())
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise CorruptArtifactError("the weights cannot be read", where=str(path), got=error) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        expected = "tensors by name"
        raise CorruptArtifactError(
            "the file holds no weights", where=str(path), got=type(found).__name__, expected=expected
        )
    return {name.removeprefix("module."): value for name, value in found.items()}


def fit(network: nn.Module, weights: dict[str, Tensor], where: str) -> Fit:
    """Copy weights into a network, by name and shape; a prefix that one of both has more is found out.

    Raises:
        UsageError: none fits, or one of another shape does not belong to the head.
    """
    rename = getattr(network, "fit_pretrained", None)
    if rename is not None:
        weights = rename(weights)
    own = network.state_dict()
    names = _aligned(own, weights)
    heads = head_names(network)
    fitted, left = [], []
    for name, value in sorted(weights.items()):
        mine = names.get(name)
        if mine is None:
            left.append(name)
        elif own[mine].shape == value.shape:
            own[mine].copy_(value)
            fitted.append(mine)
        elif in_head(mine, heads):
            left.append(name)
        else:
            raise UsageError(
                f"pretrained weights of another shape: {mine}",
                where=where,
                got=f"{name} {tuple(value.shape)}",
                expected=tuple(own[mine].shape),
                next_step="give the model the settings that the weights were trained with; only its head may differ",
            )
    if not fitted:
        raise UsageError(
            "none of the pretrained weights fits this architecture",
            where=where,
            got=", ".join(sorted(weights)[:SHOWN]),
            expected=", ".join(sorted(own)[:SHOWN]),
        )
    new = sorted(name for name in own.keys() - set(fitted) if not name.endswith(COUNTER))
    return Fit(fitted, new, left)


def _aligned(own: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, str]:
    """Which of the network's names each of the source's is: by the prefixes under which most weights fit."""
    best: dict[str, str] = {}
    most = (0, 0)
    for prefix in sorted(_prefixes(weights), key=lambda prefix: (len(prefix), prefix)):
        for own_prefix in sorted(_prefixes(own), key=lambda prefix: (len(prefix), prefix)):
            pairs = {
                name: own_prefix + name.removeprefix(prefix)
                for name in weights
                if name.startswith(prefix) and own_prefix + name.removeprefix(prefix) in own
            }
            if len(pairs) < most[0]:
                continue
            fitting = sum(weights[theirs].shape == own[ours].shape for theirs, ours in pairs.items())
            if (fitting, len(pairs)) > most and fitting:
                best, most = pairs, (fitting, len(pairs))
    # What lies outside the prefix, such as a head, may still have the same name on both sides.
    taken_names = set(best.values())
    same = {name: name for name in weights if name in own and name not in taken_names} if best else {}
    return {**same, **best}


def _prefixes(names: dict[str, Tensor]) -> set[str]:
    """Of one, two and three words, as they begin names; and none."""
    found = {""}
    for name in names:
        words = name.split(".")
        found |= {".".join(words[:count]) + "." for count in range(1, min(4, len(words)))}
    return found


def _in_package(name: str) -> Path:
    module = name.replace("-", "_")
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        next_step = f"install it into this environment: pip install {name}"
        raise NotFoundError("no such package is installed", where=f"package:{name}", next_step=next_step)
    for file_name in NAMES:
        places = sorted(path for place in found.submodule_search_locations for path in Path(place).rglob(file_name))
        if places:
            return min(places, key=lambda path: len(path.parts))
    raise NotFoundError("the package holds no weights", where=f"package:{name}", expected=" or ".join(NAMES))


def _in_mirror(name: str) -> Path | None:
    mirror = os.environ.get("MODELYARD_MIRROR")
    found = sorted(Path(mirror).rglob(Path(name).name)) if mirror else []
    return found[0] if found else None


def _from_hub(name: str) -> Path:
    """A model of Hugging Face: of the mirror, of the cache, or fetched into the cache, in this order."""
    model, _, revision = name.partition("@")
    mirror = os.environ.get("MODELYARD_MIRROR")
    if mirror:
        for folder in (Path(mirror) / model, *sorted(Path(mirror).glob(f"*/{model}"))):
            for file_name in NAMES:
                if (folder / file_name).is_file():
                    return folder / file_name
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    trouble: Exception | None = None
    with outward.restored():
        for only_here in (True, False):
            for file_name in NAMES:
                try:
                    return Path(
                        hf_hub_download(model, file_name, revision=revision or None, local_files_only=only_here)
                    )
                except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
                    trouble = error
    raise SourceError(
        "the model is neither in the cache nor to be fetched",
        where=f"hub:{name}",
        got=trouble,
        next_step=f"put its files into $MODELYARD_MIRROR/{model}, or connect to the network once",
    ) from trouble
