"""An input and a backbone with their provenance: the product of a pretext task, and how it is saved."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor, nn

from pretext import backbones, inputs
from pretext.atomic import write_bytes, write_json
from pretext.backbones import CLASS_TOKEN, Backbone, Features, Stage
from pretext.described import defaults, described
from pretext.encoder.weights import check
from pretext.inputs import Input

FORMAT = 1
_AGAIN = "save the encoder again, or delete the run's folder to have it made again"
LIBRARIES = ("pretextbench", "torch", "torchvision", "safetensors", "numpy")


class Encoder(nn.Module):
    """Takes RGB in [0, 1] and returns named feature maps; what it sees of the colours is its own affair.

    Args:
        input: what the backbone sees of the image.
        backbone: built with `in_channels=input.channels`.
        provenance: plain JSON values on where the weights come from. Written by pretraining: `task`, `data`
            (digest), `images_seen`, `seed`, `calibration`, `commit`, and `flags`: what a
            reader of its scores must know of the run. More keys are welcome.

    Raises:
        ValueError: a backbone built for another number of channels.
        TypeError: provenance that is no JSON.
    """

    def __init__(self, input: Input, backbone: Backbone, provenance: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if backbone.in_channels != input.channels:
            raise ValueError(
                f"{type(backbone).__name__} takes {backbone.in_channels} channels, "
                f"but input {type(input).__name__} gives {input.channels}"
            )
        self.input = input
        self.backbone = backbone
        self.provenance = _plain(provenance or {})

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone's stages in order."""
        return self.backbone.stages

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order."""
        return self.backbone.stage_names

    @property
    def input_name(self) -> str:
        """Name of the input, as configurations call it."""
        return self.input.name

    @property
    def sees(self) -> str:
        """The input with its arguments, as records name it: "lightness", "lightness(scale=1)"."""
        return described(self.input.name, self.input.arguments, defaults(type(self.input)))

    @property
    def network(self) -> str:
        """The backbone with its arguments, as records name it: "SmallNet", "ResNet18(small_stem=True)"."""
        kind = type(self.backbone)
        path = backbones.class_path(kind)
        name = kind.__name__ if path.startswith(f"{backbones.__name__}.") else path
        return described(name, self.backbone.arguments, defaults(kind))

    @property
    def architecture(self) -> dict[str, Any]:
        """What is needed to build the same encoder without its weights, as plain JSON values."""
        described = {
            "backbone": {
                "class": backbones.class_path(type(self.backbone)),
                "arguments": self.backbone.arguments,
            },
            "input": {"name": self.input.name, "arguments": self.input.arguments},
        }
        architecture: dict[str, Any] = json.loads(json.dumps(described, allow_nan=False))
        return architecture

    def forward(self, rgb: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        """Run input and backbone, or from `start` on the backbone alone.

        Args:
            rgb: (B, 3, H, W) in [0, 1]; with `start` the map that this stage takes.
            start, stop: first and last stage to run, both included.

        Raises:
            ValueError: an unknown stage (the message lists the stages), or another shape.
            TypeError: integer pixels.
        """
        if start is not None:
            return self.backbone.forward(rgb, start=start, stop=stop)
        return self.backbone.forward(self.seen(rgb), stop=stop)

    def seen(self, rgb: Tensor) -> Tensor:
        """Return what the backbone is shown of images (B, 3, H, W) in [0, 1]: (B, channels, H, W).

        Raises:
            ValueError: another shape.
            TypeError: integer pixels.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3:
            raise ValueError(f"an encoder takes RGB images (B, 3, H, W), got {tuple(rgb.shape)}")
        if not rgb.is_floating_point():
            raise TypeError(f"an encoder takes floating-point RGB in [0, 1], got {rgb.dtype}")
        # Colour conversion in bfloat16 would leave a few dozen levels of lightness. Shapes alone have none.
        with nullcontext() if rgb.is_meta else torch.autocast(rgb.device.type, enabled=False):
            x: Tensor = self.input(rgb if rgb.dtype == torch.float64 else rgb.float())
        return x

    @property
    def width(self) -> int:
        """Numbers in `vector`."""
        return self.stages[-1].channels

    def vector(self, rgb: Tensor) -> Tensor:
        """Return one vector an image, (B, 3, H, W) → (B, width): the class token, or the last map's mean."""
        features: Features = self(rgb)
        if CLASS_TOKEN in features.vectors:
            return features.vectors[CLASS_TOKEN]
        return features.maps[self.stage_names[-1]].mean((2, 3))

    def digest(self) -> str:
        """SHA-256 over the architecture and every parameter and buffer: name, shape, type, bytes."""
        sha = hashlib.sha256(json.dumps(self.architecture, sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            sha.update(f"\n{name} {tuple(value.shape)} {value.dtype}\n".encode())
            sha.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return sha.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write `encoder.safetensors` and `encoder.json` into a folder, or the pair under another name.

        Each file is written whole or not at all; the JSON, which names the digest of the weights, comes last.

        Args:
            path: a folder (made if missing), or a file that ends in `.json` or `.safetensors`.

        Returns:
            The path of the JSON.

        Raises:
            ValueError: a backbone or an input that `load` could not build again.
        """
        backbones.resolve(self.architecture["backbone"]["class"])
        if type(self.input) not in inputs.INPUTS.values():
            raise ValueError(
                f"{type(self.input).__name__} is not among the inputs: {', '.join(inputs.INPUTS)}"
            )
        description, weights = _files(Path(path))
        description.parent.mkdir(parents=True, exist_ok=True)
        content = safetensors_save({k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()})
        about = {
            "format": FORMAT,
            **self.architecture,
            "provenance": self.provenance,
            "versions": _versions(),
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "digest": self.digest(),
        }
        write_bytes(weights, content)
        write_json(description, about)
        return description


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A copy by way of JSON: what cannot be saved fails here, not after hours of training."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(provenance), allow_nan=False))
    return plain


def load(path: str | Path) -> Encoder:
    """Open a saved encoder, on the CPU and in eval mode; the global random state stays as it is.

    Args:
        path: the folder, the JSON or the safetensors file that `Encoder.save` wrote.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: a file that is damaged, does not belong to the other, or describes something unknown.
    """
    description, weights = _files(Path(path))
    for file in (description, weights):
        if not file.is_file():
            raise FileNotFoundError(f"no encoder at {path}: {file} is missing")
    about = _read_description(description)
    content = weights.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != about["weights_sha256"]:
        raise ValueError(
            f"{weights} is damaged or not the file that {description} describes: "
            f"its SHA-256 is {found}, expected {about['weights_sha256']}; {_AGAIN}"
        )
    try:
        encoder = _build(about, safetensors_load(content))
    except (ValueError, TypeError, RuntimeError, OverflowError, SafetensorError) as error:
        raise ValueError(f"{description} cannot be loaded: {error}") from error
    if encoder.digest() != about["digest"]:
        raise ValueError(f"{description} was altered: it does not describe the encoder that was saved")
    return encoder.eval()


def _files(path: Path) -> tuple[Path, Path]:
    """Return where the JSON and the weights of an encoder lie."""
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path / "encoder"
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors")


def _read_description(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {_AGAIN}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise ValueError(f"{path} has format {found!r}; this version reads format {FORMAT}")
    needed = ("backbone", "input", "provenance", "weights_sha256", "digest")
    missing = [name for name in needed if name not in about]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    return about


def untrained(architecture: Mapping[str, Any]) -> Encoder:
    """Build the encoder that an `Encoder.architecture` describes; nothing in it is trusted.

    The global random state stays as it is.

    Raises:
        ValueError, TypeError, RuntimeError, OverflowError: what no encoder is built from.
    """
    for name, keys in (("backbone", ("class", "arguments")), ("input", ("name", "arguments"))):
        part = architecture.get(name)
        if not isinstance(part, dict) or set(part) != set(keys) or not isinstance(part["arguments"], dict):
            raise ValueError(f"{name!r} must hold {' and '.join(keys)}, got {part!r}")
    seen = inputs.build(architecture["input"]["name"], **architecture["input"]["arguments"])
    path, arguments = str(architecture["backbone"]["class"]), architecture["backbone"]["arguments"]
    with torch.random.fork_rng(devices=[]):  # initial weights, soon replaced, must not shift anybody's draws
        return Encoder(seen, backbones.build(path, arguments, seen.channels))


def _build(about: Mapping[str, Any], state: Mapping[str, Tensor]) -> Encoder:
    """Build the encoder that a JSON describes, with its weights; nothing in it is trusted."""
    with torch.device("meta"):  # without memory: absurd widths are refused before any is taken
        check(untrained(about), state)
    encoder = untrained(about)
    encoder.provenance = _plain(about["provenance"])
    # The file's types and values in the network's own layout, which decides how fast it is.
    laid = {
        k: torch.empty_like(v, dtype=state[k].dtype).copy_(state[k]) for k, v in encoder.state_dict().items()
    }
    encoder.load_state_dict(laid, assign=True)
    return encoder


def _versions() -> dict[str, str]:
    """Versions of what wrote a file; a library that is not installed as a package is left out."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
