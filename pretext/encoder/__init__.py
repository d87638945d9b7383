"""Encoders: what pretraining makes and evaluation takes."""

from __future__ import annotations

from pretext.backbones.batchnorm import norm_eval, recalibrate_batchnorm
from pretext.backbones.cost import macs, parameter_count
from pretext.encoder.encoder import Encoder, load
from pretext.encoder.foreign import from_state_dict, open_encoder, to_torchvision
from pretext.encoder.weights import read_state_dict

__all__ = [
    "Encoder",
    "from_state_dict",
    "load",
    "macs",
    "norm_eval",
    "open_encoder",
    "parameter_count",
    "read_state_dict",
    "recalibrate_batchnorm",
    "to_torchvision",
]
