"""A classifier of ImageNet's thousand classes whose weights come in an installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretext.backbones.timm_whole import TimmWhole
from pretext.encoder import Encoder
from pretext.foreign.published import PACKAGES, packaged, put
from pretext.inputs import RGB


class ImageNetClassifier(nn.Module):
    """EfficientNet-Lite0 (after arXiv:1905.11946) with its classes, from one of `PACKAGES`.

    An image's shorter side is brought to 224 pixels (bicubic) and the central square is seen, normalised to
    [-1, 1]. Its publisher sees 87.5 % of that square; sets of small images are cut already, and on Tiny
    ImageNet it knows more of the whole.

    Args:
        package: that is installed.

    Raises:
        ValueError: a package that is not known or not installed, or a file that is not the published one.

    Attributes:
        source: the package and the beginning of its file's SHA-256.
    """

    def __init__(self, package: str) -> None:
        super().__init__()
        if package not in PACKAGES:
            raise ValueError(f"packages with ImageNet weights are {', '.join(PACKAGES)}; not {package!r}")
        model, _ = PACKAGES[package]
        with torch.random.fork_rng(devices=[]):  # all that is drawn is replaced
            backbone = TimmWhole(3, model)
            published = packaged(backbone, package)
            weight, bias = (published.state[f"classifier.{part}"] for part in ("weight", "bias"))
            self.head = nn.Linear(weight.shape[1], len(weight))
        made_for = published.made_for
        self.encoder = Encoder(RGB(made_for["mean"], made_for["std"]), backbone)
        put(self.encoder, published)
        self.head.load_state_dict({"weight": weight, "bias": bias})
        self._side = int(made_for["size"][0])
        self.source = published.source
        self.eval().requires_grad_(False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Scores (B, 1000) of RGB (B, 3, H, W) in [0, 1], of any size."""
        scores: Tensor = self.head(self.encoder.vector(self.seen(rgb)))
        return scores

    def seen(self, rgb: Tensor) -> Tensor:
        """The part of images that is seen, (B, 3, 224, 224) in [0, 1]."""
        height, width = rgb.shape[-2:]
        scale = self._side / min(height, width)
        size = [max(self._side, round(length * scale)) for length in (height, width)]
        x = F.interpolate(rgb, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        top, left = ((length - self._side) // 2 for length in size)
        return x[..., top : top + self._side, left : left + self._side]


def is_installed(package: str) -> bool:
    """Whether a package is there."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
