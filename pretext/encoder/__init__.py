"""Encoders: what pretraining makes and evaluation takes."""

from __future__ import annotations

from pretext.backbones.base import Backbone
from pretext.backbones.batchnorm import norm_eval, recalibrate_batchnorm
from pretext.backbones.calibration import calibrate_magnitudes, chain, without_batchnorm
from pretext.backbones.cost import macs, parameter_count
from pretext.backbones.kmeans import initialise_by_kmeans
from pretext.encoder.encoder import Encoder, load, untrained
from pretext.encoder.foreign import from_state_dict, open_encoder, to_torchvision
from pretext.encoder.weights import read_state_dict

__all__ = [
    "Backbone",
    "Encoder",
    "calibrate_magnitudes",
    "chain",
    "from_state_dict",
    "initialise_by_kmeans",
    "load",
    "macs",
    "norm_eval",
    "open_encoder",
    "parameter_count",
    "read_state_dict",
    "recalibrate_batchnorm",
    "to_torchvision",
    "untrained",
    "without_batchnorm",
]
