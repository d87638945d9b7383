"""Encoders by name of a file, weights from elsewhere, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from pretext.backbones.resnet import ResNet, to_torchvision_names
from pretext.encoder.encoder import Encoder, load
from pretext.encoder.weights import fill


def open_encoder(spec: str) -> Encoder:
    """Open what a command line names as an encoder: a path that `load` takes.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: as `load`.
    """
    if not Path(spec).exists():
        raise FileNotFoundError(
            f"no encoder at {spec!r}: give the folder that pretraining wrote, or its encoder.json or "
            "encoder.safetensors"
        )
    return load(spec)


def from_state_dict(encoder: Encoder, state: Mapping[str, Tensor], ignore: Sequence[str] = ()) -> Encoder:
    """Fill an encoder's backbone with foreign weights; either all of it, or an error and nothing is changed.

    Args:
        encoder: changed in place.
        state: keyed as `encoder.backbone.state_dict()`, with or without `backbone.` in front; torchvision's
            ResNets go through `pretext.backbones.resnet.from_torchvision_names` first.
        ignore: beginnings of the names in `state` that are left out knowingly (`fc.`).

    Returns:
        The encoder itself.

    Raises:
        ValueError: names the missing, the unexpected and the misshapen entries.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(ignore))}
    fill(encoder.backbone, {name.removeprefix("backbone."): value for name, value in kept.items()})
    return encoder


def to_torchvision(encoder: Encoder) -> dict[str, Tensor]:
    """Export a ResNet as the state dict of torchvision's network of that depth, without `fc`.

    The maps agree where torchvision's network is fed what the encoder's input makes of the image. With one
    input channel or the small stem, `conv1` has another shape than torchvision's own.

    Raises:
        ValueError: another backbone.
    """
    if not isinstance(encoder.backbone, ResNet):
        raise ValueError(
            f"torchvision's ResNet layout takes a ResNet18 or ResNet50, got {type(encoder.backbone).__name__}"
        )
    return to_torchvision_names(encoder.backbone.state_dict())
