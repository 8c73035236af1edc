"""A model in Hugging Face's layout: one folder with config, weights, tokenizer, image processor, feature extractor.

`hub:<name>[@<revision>]` is looked for in the folder that MODELYARD_MIRROR names, then in the cache of huggingface_hub,
then fetched. In the mirror, the folder of a model is `<name>`, `<organisation>/<name>`, or has the layout of the cache:
`models--<organisation>--<name>/snapshots/<commit>`. `folder:<path>` is a folder, `package:<name>` an installed package.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from components.core import outward
from components.core.errors import CorruptArtifactError, NotFoundError, SourceError, UsageError
from components.identity import digest

MIRROR = "MODELYARD_MIRROR"
CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model",
    "tokenizer.model", "source.spm", "target.spm", "target_vocab.json", "bpe.codes", "special_tokens_map.json",
    "added_tokens.json", TOKENIZER_CONFIG, "chat_template.jinja", "normalizer.json",
)  # fmt: skip
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")  # of images and of sounds
CONFIG_FILES = (CONFIG, "generation_config.json")
# The first that is there is read. Torch files are read with `weights_only=True`, so that loading runs no code.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


class HubFolder(NamedTuple):
    """A folder in Hugging Face's layout.

    Args:
        source: as it was written, for messages: `hub:bert-base-uncased`.
        path: the folder.
    """

    source: str
    path: Path

    def file(self, name: str) -> Path | None:
        """A file of the folder, if it is there."""
        return path if (path := self.path / name).is_file() else None

    def document(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder.

        Raises:
            NotFoundError: there is no such file.
            CorruptArtifactError: it is no JSON object.
        """
        path = self.file(name)
        if path is None:
            raise NotFoundError(f"the {name} is missing", where=self.source, next_step=f"add {name} to the folder")
        return _document(path)

    def weights(self) -> list[Path]:
        """The file of weights, or its shards in the order of their names; safetensors before torch files.

        Raises:
            NotFoundError: there are no weights, or a shard is missing.
            CorruptArtifactError: a safetensors file is not as long as its header says, or the index cannot be read.
        """
        for name in WEIGHTS:
            path = self.file(name)
            if path is None:
                continue
            found = self._shards(path) if path.suffix == ".json" else [path]
            for one in found:
                if one.suffix == ".safetensors":
                    _check_length(one)
            return found
        there = sorted(one.name for one in self.path.iterdir()) if self.path.is_dir() else []
        raise NotFoundError(
            "the model has no weights",
            where=self.source,
            got=", ".join(there[:20]) or "an empty folder",
            expected=" or ".join(WEIGHTS),
            next_step="save the model with transformers' save_pretrained",
        )

    def files(self) -> list[Path]:
        """All files that a training may take from the folder: configs, tokenizer, processors, weights.

        Raises:
            NotFoundError, CorruptArtifactError: as of `weights`; a folder without any weights has none.
        """
        names = (*CONFIG_FILES, *TOKENIZER_FILES, *PROCESSOR_FILES, *(name for name in WEIGHTS if "index" in name))
        found = [path for name in names if (path := self.file(name)) is not None]
        return [*found, *(self.weights() if has_weights(self.path) else [])]

    def digest(self) -> str:
        """The sha256 over names and contents of `files`."""
        return digest.of_value({path.name: digest.of_file(path) for path in self.files()})

    def _shards(self, index: Path) -> list[Path]:
        names = _document(index).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise CorruptArtifactError("the index names no weights", where=str(index), expected="weight_map")
        shards = sorted(set(names.values()))
        if unsafe := [name for name in shards if Path(name).name != name]:
            raise CorruptArtifactError(
                "the index names a file outside of its folder", where=str(index), got=", ".join(unsafe)
            )
        if missing := [name for name in shards if self.file(name) is None]:
            raise NotFoundError(
                "shards of the weights are missing",
                where=self.source,
                got=", ".join(missing),
                expected=f"the {len(shards)} files that {index.name} names",
                next_step="copy the missing files into the folder, or fetch the model again",
            )
        return [self.path / name for name in shards]


def find(source: str, *, weights: bool = True) -> HubFolder:
    """The folder of `hub:<name>[@<revision>]`, `folder:<path>` or `package:<python package>`.

    A model of the hub that is not on this machine is fetched.

    Args:
        weights: whether the folder must have weights, else a config or a tokenizer is enough.

    Raises:
        NotFoundError: no such folder or package, or it has no config.json.
        SourceError: the model of the hub is not on this machine and cannot be fetched.
        UsageError: the mirror has several models of this name.
    """
    found = local(source, weights=weights)
    if found is not None:
        return found
    kind, _, name = source.partition(":")
    if kind == "hub":
        return HubFolder(source, _fetch(name))
    next_step = f"install the package {name}" if kind == "package" else "correct the path"
    raise NotFoundError("the config.json is missing", where=source, next_step=next_step)


def local(source: str, *, weights: bool = True) -> HubFolder | None:
    """The folder of a source, if it is on this machine; nothing is fetched.

    Raises:
        UsageError: the mirror has several models of this name, or the source has no known form.
    """
    kind, _, name = source.partition(":")
    if kind == "folder":
        folders = [Path(name).expanduser()]
        weights = False  # a folder is what it is: `weights` of it says what is missing
    elif kind == "package":
        folders = list(_in_package(name))
        weights = False
    elif kind == "hub":
        model, _, revision = name.partition("@")
        folders = [folder for folder in _of_hub(model, revision) if not weights or has_weights(folder)]
    else:
        raise UsageError("not a source of a model", got=source, expected="hub:<name>, folder:<path> or package:<name>")
    marks = (CONFIG, TOKENIZER_CONFIG, *(WEIGHTS if weights else ()))
    folder = next((one for one in folders if any((one / name).is_file() for name in marks)), None)
    return None if folder is None else HubFolder(source, folder)


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or has_weights(folder)


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights or their index."""
    return any((folder / name).is_file() for name in WEIGHTS)


def _of_hub(model: str, revision: str) -> Iterator[Path]:
    mirror = os.environ.get(MIRROR)
    if mirror:
        root = Path(mirror)
        yield from _plain(root, model, revision)
        for place in (root, root / "hub", *sorted(path for path in root.glob("*/") if path.name != "hub")):
            yield from _snapshots(place, model, revision)
        if root.name == model.rpartition("/")[2]:
            yield root
    yield from _snapshots(_cache(), model, revision)


def _plain(root: Path, model: str, revision: str) -> Iterator[Path]:
    names = [f"{model}@{revision}", model] if revision else [model]
    for name in names:
        if (root / name).is_dir():
            yield root / name
        found = sorted(path for path in root.glob(f"*/{name}") if _is_model(path))
        if len(found) > 1 and not _is_model(root / name):
            raise UsageError(
                "the mirror has several models of this name",
                where=f"hub:{model}",
                got=", ".join(f"{path.parent.name}/{path.name}" for path in found),
                next_step="write hub:<organisation>/<name>",
            )
        yield from found


def _snapshots(place: Path, model: str, revision: str) -> Iterator[Path]:
    """Snapshots of a model in the layout of huggingface_hub's cache, the named or newest revision first."""
    escaped = model.replace("/", "--")
    folders = [place / f"models--{escaped}"]
    if "/" not in model:
        folders += sorted(place.glob(f"models--*--{escaped}"))
    for folder in folders:
        snapshots = folder / "snapshots"
        reference = folder / "refs" / (revision or "main")
        if reference.is_file():
            yield snapshots / reference.read_text(encoding="utf-8").strip()
        elif revision:
            yield from sorted(snapshots.glob(f"{revision}*"))
        elif snapshots.is_dir() and len(found := sorted(snapshots.iterdir())) == 1:
            yield found[0]


def _cache() -> Path:
    """The folder of huggingface_hub's cache, by its own environment variables, without the import of the library."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if place := os.environ.get(name):
            return Path(place).expanduser()
    home = os.environ.get("HF_HOME")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home or f"{caches}/huggingface").expanduser() / "hub"


def _in_package(name: str) -> Iterator[Path]:
    module = importlib.util.find_spec(name.replace("-", "_"))
    roots = [] if module is None else list(module.submodule_search_locations or [])
    found = [path.parent for root in roots for path in Path(root).rglob(CONFIG)]
    yield from sorted(found, key=lambda path: (not has_weights(path), len(path.parts), path))


def _fetch(name: str) -> Path:
    """The snapshot of a model, fetched: without safetensors, the torch files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    model, _, revision = name.partition("@")
    small = [*CONFIG_FILES, *TOKENIZER_FILES, *PROCESSOR_FILES]
    try:
        with outward.restored():
            for weights in ("model*.safetensors*", "pytorch_model*.bin*"):
                folder = Path(snapshot_download(model, revision=revision or None, allow_patterns=[*small, weights]))
                if has_weights(folder):
                    break
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        mirror = "$MODELYARD_MIRROR" if os.environ.get(MIRROR) else "a folder that MODELYARD_MIRROR names"
        incomplete = local(f"hub:{name}", weights=False)
        there = [] if incomplete is None else sorted(path.name for path in incomplete.path.iterdir())
        place = "is not in the mirror, not in the cache" if incomplete is None else "has no weights on this machine"
        raise SourceError(
            f"the model {place} and cannot be fetched",
            where=f"hub:{name}",
            got=(f"{', '.join(there[:20])} in {incomplete.path}; " if incomplete else "")
            + " ".join(str(error).split()),
            expected="config.json, model.safetensors (or its shards); of texts tokenizer.json, tokenizer_config.json; "
            "of images preprocessor_config.json",
            next_step=f"put these files as {model}/ into {mirror}, or connect to the network once",
        ) from error
    return folder


def unreadable_torch_file(path: Path) -> CorruptArtifactError:
    """The error of a torch file that `weights_only=True` refuses. torch's own text advises to read it without that."""
    return CorruptArtifactError(
        "the weights cannot be read: the file has more than tensors, or is damaged",
        where=str(path),
        got="a pickle that torch does not read with weights_only=True, since it could run code",
        expected="tensors by name",
        next_step="save the weights as safetensors: save_pretrained of transformers, or safetensors.torch.save_file",
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError("the file cannot be read", where=str(path), got=error) from error
    if not isinstance(document, dict):
        raise CorruptArtifactError("the file is no JSON object", where=str(path), got=type(document).__name__)
    return document


def _check_length(path: Path) -> None:
    """Compare a safetensors file's length with its header: a fetch that broke off is found before any work.

    Raises:
        CorruptArtifactError: they differ, or there is no header.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(min(size, 100_000_000)))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        expected = 8 + size + max((one["data_offsets"][1] for one in tensors), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorruptArtifactError("the weights have no readable header", where=str(path), got=error) from error
    if path.stat().st_size != expected:
        raise CorruptArtifactError(
            "the file of weights is not complete",
            where=str(path),
            got=f"{path.stat().st_size:,} bytes",
            expected=f"{expected:,} bytes",
            next_step="fetch or copy the file again",
        )
