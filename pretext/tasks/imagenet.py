"""ImageNet (Russakovsky et al. 2015, arXiv:1409.0575): the weights that others have trained on its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pretext.encoder import Encoder
from pretext.foreign.published import check_network, load_imagenet
from pretext.task import Images, Loader, Step, Task


class ImageNet(Task):
    """Sets an encoder's weights to published ones, of the same network trained on ImageNet: no step is taken.

    Weights that cannot be had are an error; no others take their place. BatchNorm keeps the statistics that
    come with them. See `pretext.foreign.published`.

    Args:
        encoder: torchvision's ResNet, or a network of timm, that sees RGB normalised as the publisher did.
        weights: torchvision's name of weights (IMAGENET1K_V2), timm's tag (a1_in1k), or the name of a package
            that ships some; without it the publisher's default.
    """

    untrained = True
    trained_on = "imagenet"

    def __init__(self, encoder: Encoder, weights: str | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self._weights = weights

    def check(self, images: int, batch_size: int) -> None:
        """Refuse a network that nobody publishes weights of, before any are fetched."""
        check_network(self.encoder.backbone)

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Fetch the weights.

        Raises:
            ValueError: a network or an input that they are not for, or weights that nobody has.
            ConnectionError: weights that cannot be fetched.
        """
        load_imagenet(self.encoder, self._weights)

    def views(self, images: Images, generator: torch.Generator) -> Images:
        """Return the images as they are."""
        return images

    def loss(self, batch: Any) -> Step:
        """Raise RuntimeError: there is nothing to minimise."""
        raise RuntimeError("ImageNet has no loss: its budget is zero steps")

    def param_groups(self) -> list[dict[str, Any]]:
        """Return no group: nothing moves."""
        return []
