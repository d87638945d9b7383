"""Checkpoints of other projects, read as plain weights and refused wherever something does not fit."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load as safetensors_load
from torch import Tensor

from pretext import inputs, unreadable
from pretext.backbones import Backbone
from pretext.encoder import Encoder, from_state_dict
from pretext.encoder.weights import some
from pretext.foreign.networks import network_of
from pretext.foreign.roots import recognise
from pretext.inputs import Input

UNKNOWN = "unknown"
"""The name of pretraining images that nobody told us of: their overlap with test images is flagged."""


PICKLE, LEGACY = b"\x80", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What Python's pickles begin with, and those of `torch.save` before it packed them (its magic number)."""


class Settings:
    """Stands in for a foreign object of settings, which is not built: what it is made of is dropped."""

    def __new__(cls, *_: object) -> Settings:
        """Take and forget whatever the object would have been made from."""
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        """Forget the object's state."""


INERT = (
    "argparse.Namespace", "omegaconf.", "typing.Any", "collections.defaultdict",
    "builtins.dict", "builtins.int", "builtins.float", "builtins.bool", "builtins.str", "builtins.list",
    "builtins.tuple",
)  # fmt: skip
"""Beginnings of what `Settings` stands in for: objects of settings, and the types that they name."""


def open_checkpoint(path: Path, seen: Input | None, arguments: Mapping[str, object]) -> Encoder:
    """Open a checkpoint in one of the layouts; see `pretext.foreign.open_foreign`."""
    content, sha256 = read(path)
    arguments = dict(arguments)
    key = arguments.pop("key", None)
    layout, parts = recognise(content, str(path), None if key is None else str(key))
    if parts.unknown:
        raise ValueError(
            f"{path} (layout {layout.name}): unexpected: {some(parts.unknown)}; left out knowingly "
            f"is what begins with: {', '.join((*layout.beside, *layout.heads))}"
        )
    try:
        _check_values(parts.backbone)
        network, renamed = network_of(parts.backbone, layout, arguments)
        encoder = Encoder(seen or default_input(network), network, {
            "task": f"{layout.name}:{sha256[:12]}",
            "source": f"{path.name} in the layout of {layout.source}",
            "layout": layout.name,
            "file_sha256": sha256,
            "left_out": list(parts.left),
            "arguments": arguments | ({} if key is None else {"key": key}),
            "recipe": " ".join([sha256, layout.name, *([] if key is None else [str(key)])]),
            "data_name": UNKNOWN,
        })  # fmt: skip
        from_state_dict(encoder, renamed)
    except ValueError as error:
        raise ValueError(f"{path} (layout {layout.name}): {error}") from error
    return encoder.eval()


def default_input(network: Backbone) -> Input:
    """RGB by ImageNet's statistics.

    Raises:
        ValueError: a network of another number of channels: what it sees has to be said.
    """
    if network.in_channels != 3:
        fit = [name for name, kind in inputs.INPUTS.items() if kind.channels == network.in_channels]
        raise ValueError(
            f"the network takes {network.in_channels} channels; say which input they are, one of: "
            f"{', '.join(fit) or 'none fits'}"
        )
    return inputs.build("rgb")


def read(path: Path) -> tuple[Any, str]:
    """What a file holds, and its SHA-256. No code of the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one that holds other objects than plain weights and settings.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _check_is_no_page(path)
    _check_is_no_program(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors_load(path.read_bytes()), sha256
        return _load(path), sha256
    except Exception as error:  # torch and safetensors raise a dozen unrelated types on damaged files
        raise ValueError(f"{path} cannot be read as plain weights: {_reason(path, error)}") from error


def _check_is_no_page(path: Path) -> None:
    """Raise ValueError for what is often stored in the place of a checkpoint."""
    with path.open("rb") as file:
        raw = file.read(200)
    begin = raw.lstrip().lower()
    if not raw:
        raise ValueError(f"{path} cannot be read as plain weights: it is empty")
    if begin.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{path} is a git-lfs pointer, not the file it points to: fetch that by git lfs pull"
        )
    if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError(f"{path} is a web page, not a checkpoint: download the file, not the page about it")
    if raw.startswith(PICKLE) and not raw.startswith(LEGACY):
        raise ValueError(
            f"{path} cannot be read as plain weights: it is a pickle, which may run any code, and not "
            "torch.save's: where you trust it, save its weights by torch.save or safetensors"
        )
    text = " ".join(raw.decode("latin-1").split())
    if path.suffix != ".safetensors" and text.isprintable():
        raise ValueError(f"{path} cannot be read as plain weights: it is text, and begins with {text[:40]!r}")


def _check_is_no_program(path: Path) -> None:
    """Raise ValueError for a network that brings its own code, which could do anything."""
    members = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    parts = {part for name in members for part in name.split("/")[1:2]}  # under a folder of any name
    if "code" in parts:
        raise ValueError(
            f"{path} is a TorchScript program, not weights, and is not run unasked: where you trust it, "
            f"pretextbench.judge(torch.jit.load({str(path)!r}), data) judges it in Python"
        )
    if path.suffix in (".onnx", ".pt2") or "archive_format" in parts:
        raise ValueError(
            f"{path} is an exported program, not weights: judge the module that it was exported from, by "
            "pretextbench.judge(module, data) or by its state_dict"
        )


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        inert: list[Any] = [(Settings, name) for name in _globals(path) if name.startswith(INERT)]
        with torch.serialization.safe_globals(inert):
            return torch.load(path, map_location="cpu", weights_only=True)


def _globals(path: Path) -> list[str]:
    """Names of the classes and functions in a file that `weights_only` refuses."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not a file of today's format, or damaged: the caller says so
        return []


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file, in one line; PyTorch's own advice is to trust it."""
    refused = [name for name in _globals(path) if not name.startswith(INERT)]
    if refused:
        return (
            f"it holds {', '.join(refused)}; where you trust it, save its weights alone: "
            "torch.save(checkpoint['state_dict'], …)"
        )
    return unreadable.reason(path, error)


def _check_values(state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if value.is_meta or value.layout is not torch.strided:
            what = "has no values (it is on the device meta)" if value.is_meta else f"is {value.layout}"
            raise ValueError(f"{name} {what}, and weights are read as plain (torch.strided) tensors")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{name} {tuple(value.shape)} has more entries than the file holds of it")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} is not finite")
