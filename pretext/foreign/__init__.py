"""Encoders not made here: torchvision's and timm's networks, and the checkpoints of other projects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pretext.encoder import Encoder
from pretext.foreign.checkpoint import open_checkpoint
from pretext.foreign.hugging_face import open_hugging_face
from pretext.foreign.layouts import LAYOUTS, Layout
from pretext.foreign.zoos import open_timm, open_torchvision
from pretext.inputs import Input

__all__ = ["LAYOUTS", "ZOOS", "Layout", "open_foreign"]

ZOOS = {"torchvision": open_torchvision, "timm": open_timm, "hf": open_hugging_face}
"""What stands before the colon of a network's name."""


def open_foreign(
    spec: str, seen: Input | None = None, arguments: Mapping[str, object] | None = None, seed: int = 0
) -> Encoder:
    """Open an encoder by the name of a network or the path of a checkpoint, on the CPU and in eval mode.

    Args:
        spec: `torchvision:resnet50`, `torchvision:resnet50@IMAGENET1K_V1`, `timm:vit_small_patch16_224`,
            `timm:resnet50.a1_in1k`; `@random` behind a network's name for random weights, which nothing else
            gives; `hf:OWNER/MODEL` or `hf:FOLDER` for transformers' image models; or the path of a file in
            one of the `LAYOUTS`.
        seen: what the network sees of an image; without it RGB, normalised as the weights' publisher says,
            or else by ImageNet's statistics.
        arguments: of the network, where a checkpoint's weights do not tell them (`heads`, `stem_padding`), or
            of one of timm's that is run as a whole (`every`, `image_size`).
        seed: of random weights.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError: weights that cannot be fetched.
        ValueError: an unknown network, weights or layout; entries that are missing, unexpected or misshapen.
    """
    zoo, colon, name = spec.partition(":")
    if colon and zoo in ZOOS and not Path(spec).exists():
        return ZOOS[zoo](name, seen, seed, arguments or {})
    return open_checkpoint(Path(spec), seen, arguments or {})
