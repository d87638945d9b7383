"""A tiny encoder that is what saved and opened ones are compared with."""

from __future__ import annotations

import torch
from safetensors.torch import save as safetensors_save
from torch import Tensor

from pretext import inputs
from pretext.backbones import SmallNet
from pretext.encoder import Encoder, recalibrate_batchnorm

PROVENANCE = {
    "task": "colorization",
    "data": "d1",
    "images_seen": 40000,
    "seed": 1,
    "calibration": None,
    "commit": "c0",
}


def save(state: dict[str, torch.Tensor]) -> bytes:
    return safetensors_save({name: value.contiguous() for name, value in state.items()})


def images(count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def small(name: str = "lightness", seed: int = 0, **arguments: object) -> Encoder:
    """A tiny encoder with BatchNorm statistics of its own."""
    torch.manual_seed(seed)
    seen = inputs.build(name, **arguments)
    encoder = Encoder(seen, SmallNet(seen.channels, widths=[4, 4, 6, 6, 8]), PROVENANCE)
    recalibrate_batchnorm(encoder, [images()])
    return encoder.eval()
