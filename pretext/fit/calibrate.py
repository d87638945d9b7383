"""Calibration of a finished run: a run of its own, made from the trained encoder without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pretext.atomic import remove_leftovers
from pretext.data.dataset import Split
from pretext.data.loader import fetch
from pretext.encoder import Backbone, Encoder, calibrate_magnitudes, chain, load, without_batchnorm
from pretext.fit.result import Pretrained
from pretext.fit.runtime import choose_device
from pretext.fit.seeding import Stream, derive
from pretext.spacing import evenly_spaced


@dataclass(frozen=True)
class Magnitude:
    """Takes BatchNorm into the weights, then brings all layers to one rate of change (arXiv:1511.06856).

    Attributes:
        images: evenly spaced training images, all in one batch.
        rounds, tolerance: as in `calibrate_magnitudes`.
    """

    images: int = 160
    rounds: int = 10
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if min(self.images, self.rounds, self.tolerance) <= 0:
            raise ValueError(f"Magnitude takes positive images, rounds and tolerance, got {self}")

    @property
    def name(self) -> str:
        """How encoders and records name it."""
        return "magnitude"

    def check(self, backbone: Backbone) -> None:
        """Raise ValueError for a network that cannot be calibrated, whatever its weights."""
        chain(without_batchnorm(backbone))

    def __call__(self, encoder: Encoder, rgb: Tensor, seed: int) -> Encoder:
        """Return a calibrated copy of an encoder in eval mode.

        Args:
            encoder: trained. rgb: (B, 3, H, W) in [0, 1], on its device. seed: of the Gaussian gradients.

        Raises:
            ValueError: a network that is no chain of convolutions with BatchNorm right behind each.
        """
        plain = without_batchnorm(encoder.backbone.eval())
        with torch.no_grad():
            seen = encoder.input(rgb)  # (B, C, H, W)
        calibrate_magnitudes(plain, seen, self.rounds, self.tolerance, seed)
        return Encoder(encoder.input, plain, encoder.provenance).eval()


def calibrate(
    parent: Path,
    train: Split,
    calibration: Magnitude,
    *,
    folder: Path,
    seed: int,
    device: str = "auto",
    provenance: Mapping[str, Any] | None = None,
) -> Pretrained:
    """Calibrate the encoder of a finished run; a finished calibration returns at once.

    Args:
        parent: folder of the run. train: its training images; labels are not looked at.
        folder: of the calibrated run; gets encoder.json, encoder.safetensors, last result.json, which says
            what the parent's does. Heads stay with the parent: what they read has changed its scale.
        seed: of the Gaussian gradients.
        device: auto, cpu, cuda.
        provenance: plain values that replace the parent's.

    Raises:
        ValueError: a parent that is not finished, or a network that cannot be calibrated.
    """
    remove_leftovers(folder)
    finished = Pretrained.read(folder)
    if finished is not None:
        return finished
    trained = Pretrained.read(parent)
    if trained is None:
        raise ValueError(f"{parent} holds no finished run to calibrate")
    where = choose_device(device)
    rgb = fetch(train.pixels, evenly_spaced(len(train), calibration.images), where)
    encoder = calibration(load(parent).to(where), rgb, derive(seed, Stream.PREPARE)).cpu()
    encoder.provenance = {**encoder.provenance, "calibration": calibration.name, **(provenance or {})}
    encoder.save(folder)
    result = replace(trained, folder=folder, identity={**trained.identity, "calibration": calibration.name})
    result.write()
    return result
