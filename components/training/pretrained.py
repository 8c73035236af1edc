"""Pretrained weights: found, verified by digest, fitted to a network by name and shape.

Loading cannot run code: safetensors, or torch files with `weights_only=True`.
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
from components.contracts.shapes import ImageInput, InputSpec
from components.core import linked_files, outward
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.identity import digest, hub_folder
from components.identity.package import Package
from components.training import image_statistics, vision_config
from components.training.messages import log
from components.training.transfer import head_names, in_head

NAMES = ("model.safetensors", "pytorch_model.bin")
COUNTER = "num_batches_tracked"  # of a batch normalisation; old files lack it, and nothing depends on it
SHOWN = 6


class Source(NamedTuple):
    """Weights and their identity: the sha256 of the file, or the digest of their package or folder.

    Args:
        path: the file, or the first of the shards.
        shards: all files, where the weights have several.
        folder: the folder in Hugging Face's layout that the weights are from.
    """

    path: Path
    digest: str
    shards: tuple[Path, ...] = ()
    folder: hub_folder.HubFolder | None = None

    def read(self) -> dict[str, Tensor]:
        """The weights by name.

        Raises:
            CorruptArtifactError: a file has no weights, or cannot be read.
        """
        return {name: value for path in self.shards or (self.path,) for name, value in read(path).items()}


class Fit(NamedTuple):
    """Names of weights after loading: loaded into the network, not in the file, in the file but not in the network."""

    fitted: list[str]
    new: list[str]
    left: list[str]

    def facts(self, name: str, source: Source, normalisation: str | None) -> dict[str, Any]:
        """Facts for the manifest of the trained parts."""
        return {
            **({"normalisation": normalisation} if normalisation else {}),
            "source": name,
            "sha256": source.digest,
            "fitted": len(self.fitted),
            "new": self.new,
            "left": self.left,
        }


def start(
    spec: ArchitectureSpec, network: nn.Module, folder: str | None, input_spec: InputSpec | None = None
) -> dict[str, Any] | None:
    """Load the pretrained weights of a spec into a network and log the result; returns facts, or None without weights.

    A network for images gets the normalisation of the weights (`image_statistics.adopt`).

    Args:
        folder: of the package, if the spec has `registry:`.
        input_spec: what the network takes.

    Raises:
        NotFoundError, SourceError: the weights are missing.
        CorruptArtifactError: the digest differs, or the weights cannot be read.
        UsageError: the weights do not fit, or their normalisation is not that of the dataset.
    """
    if spec.pretrained is None:
        return None
    source = find(spec.pretrained, folder)
    if spec.pretrained_sha256 is not None and source.digest != spec.pretrained_sha256:
        raise CorruptArtifactError(
            "the digest of the pretrained weights is not that of the spec",
            where=str(source.path),
            got=source.digest,
            expected=spec.pretrained_sha256,
            next_step="correct model.pretrained_sha256, or fetch the file again",
        )
    own_loading = getattr(network, "load_pretrained", None)
    if own_loading is not None and source.folder is not None:
        result = Fit(*own_loading(source.folder.path))
    else:
        result = fit(network, source.read(), spec.pretrained)
    log(f"pretrained {spec.pretrained} ({digest.short(source.digest)}): {len(result.fitted)} weights loaded")
    for word, names in (("new", result.new), ("left over", result.left)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            log(f"  {word}: {', '.join(names[:SHOWN])}{more}")
    normalisation = None
    if isinstance(input_spec, ImageInput):
        config = _beside(spec.pretrained, source.path, vision_config.FILE_NAME)
        vision_config.check(network, config, spec.pretrained)
        config = _beside(spec.pretrained, source.path, image_statistics.FILE_NAME) or config
        normalisation = image_statistics.adopt(network, input_spec, result.fitted, config, spec.pretrained)
    return result.facts(spec.pretrained, source, normalisation)


def find(pretrained: str, folder: str | None = None) -> Source:
    """The file of weights of `model.pretrained`.

    Raises:
        NotFoundError, SourceError: the file is missing.
        CorruptArtifactError: a package of the registry is damaged.
    """
    kind, _, name = pretrained.partition(":")
    if kind == "registry":
        if folder is None:
            next_step = "run the pipeline with `modelyard run`, which reads the registry"
            raise NotFoundError("the request names no package for the alias", where=pretrained, next_step=next_step)
        package = Package.open(Path(folder))
        return Source(package.folder / "model.safetensors", package.digest)
    if kind == "file":
        path = Path(name).expanduser()
        if not path.is_file():
            path = _in_mirror(name) or path
        if not path.is_file():
            raise NotFoundError("no such file of weights", where=name, next_step="correct model.pretrained")
    elif kind == "package":
        path = _in_package(name)
    else:
        return _of_folder(hub_folder.find(pretrained))
    return Source(path, digest.of_file(path), folder=hub_folder.local(pretrained) if kind == "package" else None)


def _of_folder(folder: hub_folder.HubFolder) -> Source:
    paths = folder.weights()
    if len(paths) == 1:
        return Source(paths[0], digest.of_file(paths[0]), folder=folder)
    digests = {path.name: digest.of_file(path) for path in paths}
    return Source(paths[0], digest.of_value(digests), tuple(paths), folder)


def read(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name, without the wrapper `state_dict` and the prefix `module.`.

    Raises:
        CorruptArtifactError: the file has no weights, or cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load(path.read_bytes())
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise hub_folder.unreadable_torch_file(path) from error
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CorruptArtifactError("the weights cannot be read", where=str(path), got=error) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        expected = "tensors by name"
        raise CorruptArtifactError(
            "the file holds no weights", where=str(path), got=type(content).__name__, expected=expected
        )
    return {name.removeprefix("module."): value for name, value in content.items()}


def fit(network: nn.Module, weights: dict[str, Tensor], where: str) -> Fit:
    """Copy weights into a network by name and shape; a prefix of the names of either side is detected.

    Raises:
        UsageError: no weight fits, or a weight outside the head has another shape.
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
                f"the pretrained weight has another shape: {mine}",
                where=where,
                got=f"{name} {tuple(value.shape)}",
                expected=tuple(own[mine].shape),
                next_step="set the model's sizes to those of the weights; only the head may differ",
            )
    if not fitted:
        raise UsageError(
            "no pretrained weight fits this architecture",
            where=where,
            got=", ".join(sorted(weights)[:SHOWN]),
            expected=", ".join(sorted(own)[:SHOWN]),
        )
    places = {own[name].data_ptr() for name in fitted}  # of tied weights, a file has one name
    missing = [name for name in own.keys() - set(fitted) if own[name].data_ptr() not in places]
    new = sorted(name for name in missing if not name.endswith(COUNTER))
    return Fit(fitted, new, left)


def _aligned(own: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, str]:
    """The network's name of each name of the source, with the pair of prefixes under which most weights fit."""
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
    # Weights outside the prefix, such as a head, may still have the same name on both sides.
    taken_names = set(best.values())
    same = {name: name for name in weights if name in own and name not in taken_names} if best else {}
    return {**same, **best}


def _prefixes(names: dict[str, Tensor]) -> set[str]:
    """Prefixes of the names of one, two and three parts, and the empty prefix."""
    prefixes = {""}
    for name in names:
        parts = name.split(".")
        prefixes |= {".".join(parts[:count]) + "." for count in range(1, min(4, len(parts)))}
    return prefixes


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
    raise NotFoundError("the package has no weights", where=f"package:{name}", expected=" or ".join(NAMES))


def _in_mirror(name: str) -> Path | None:
    mirror = os.environ.get("MODELYARD_MIRROR")
    files = linked_files.files(Path(mirror)) if mirror else ()
    return min((path for path in files if path.name == Path(name).name), default=None)


def _beside(pretrained: str, weights: Path, file_name: str) -> Path | None:
    """A small file of the model that the weights belong to: in their folder or, if they are of the hub, there."""
    if (weights.parent / file_name).is_file():
        return weights.parent / file_name
    kind, _, name = pretrained.partition(":")
    mirror = os.environ.get("MODELYARD_MIRROR")
    if kind != "hub" or (mirror and Path(mirror).resolve() in weights.resolve().parents):
        return None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    model, _, revision = name.partition("@")
    with outward.restored():
        for only_here in (True, False):
            try:
                return Path(hf_hub_download(model, file_name, revision=revision or None, local_files_only=only_here))
            except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError):
                continue
    return None  # the model has none, or the network is away: `adopt` says that nothing is known
