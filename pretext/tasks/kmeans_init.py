"""k-means initialisation: patches as filters, no training (Krähenbühl et al. 2016, arXiv:1511.06856)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pretext.encoder import Encoder, initialise_by_kmeans
from pretext.spacing import evenly_spaced
from pretext.task import Images, Loader, Step, Task
from pretext.tasks.cropping import square


class KMeansInit(Task):
    """Sets an encoder's weights by clusters of patches, layer by layer: a task of zero steps.

    A row of its own, and what trained runs can start from. `pretext.backbones.kmeans` has the method.

    Args:
        encoder: of convolutions alone.
        images: taken evenly from the training images, all in one batch; the release takes 160.
        patches: drawn of each layer's input.
        crop: larger images are cut to a square of this side at their centre.

    Raises:
        ValueError: not at least one image, patch and pixel.
    """

    untrained = True

    def __init__(self, encoder: Encoder, images: int = 160, patches: int = 10_000, crop: int = 176) -> None:
        super().__init__()
        if min(images, patches, crop) < 1:
            raise ValueError(
                f"KMeansInit takes images, patches and crop from 1, got {images}, {patches}, {crop}"
            )
        self.encoder = encoder
        self._images, self._patches, self._crop = images, patches, crop

    def prepare(self, loader: Loader, cache: Path) -> None:
        """Initialise the encoder on training images, as torch's random state says."""
        seed = int(torch.randint(2**31, ()))
        initialise_by_kmeans(self.encoder, self._few(loader), self._patches, seed)

    def _few(self, loader: Loader) -> Tensor:
        """At most so many images (N, 3, S, S), evenly spaced over the split."""
        chosen = set(evenly_spaced(len(loader), self._images).tolist())
        each = -(-self._images // len(chosen))
        taken = []
        for position, images in enumerate(loader):
            if position in chosen:
                few = images.pixels[evenly_spaced(len(images.pixels), each)]
                side = min(self._crop, *few.shape[-2:])
                # Nothing is drawn: the square is the centre's.
                taken.append(square(few, torch.Generator(), size=side, padding=0, augment=False))
        pixels = torch.cat(taken)
        return pixels[evenly_spaced(len(pixels), self._images)]

    def views(self, images: Images, generator: torch.Generator) -> Images:
        """Return the images as they are."""
        return images

    def loss(self, batch: Any) -> Step:
        """Raise RuntimeError: there is nothing to minimise."""
        raise RuntimeError("KMeansInit has no loss: its budget is zero steps")

    def param_groups(self) -> list[dict[str, Any]]:
        """Return no group: nothing moves."""
        return []
