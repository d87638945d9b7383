"""MAE: all of an image from a quarter of its patches (He et al. 2021, arXiv:2111.06377)."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pretext.backbones import TokenBackbone
from pretext.backbones.positions import sincos_positions
from pretext.encoder import Encoder
from pretext.task import Images, Step, Task
from pretext.tasks.cropping import whole_patches

EPSILON = 1e-6
"""Added to a patch's variance, as in the release."""


class Masked(NamedTuple):
    """An image, and which of its patches are shown.

    seen: (B, C, S, S), what the encoder would see of the whole image;
    visible: (B, K) and hidden: (B, N − K) int64, patches counted row by row, in the order of the draw.
    """

    seen: Tensor
    visible: Tensor
    hidden: Tensor


class MaskedAutoencoder(Task):
    """Predicts hidden patches of the encoder's own input (for `lightness` L from L) from the visible ones.

    The encoder runs over the visible patches alone. A light decoder of the same kind sees what it made of
    them, and for each hidden patch a learned token, all with fixed positions, and predicts each hidden
    patch's pixels, divided by its own mean and deviation. The loss is their mean squared error, which is
    close to 1 for a prediction of zero. Each image gets a mask of its own, on validation images as well.

    Training images are cropped to a random rectangle, resized and mirrored; of validation images the central
    square is seen.

    Args:
        encoder: what is trained; of a transformer.
        ratio: share of the patches that are hidden, in (0, 1); as many are visible as whole ones fit in the
            rest.
        width, depth, heads: of the decoder.
        area: least share of a training image that is cropped, in (0, 1]; 1 for the whole image.
        crop: side of the square that is seen, a multiple of the patch; None for the largest that is not
            larger than the image.

    Raises:
        TypeError: a network without tokens.
        ValueError: a share out of range, or sizes that do not divide.
    """

    takes = TokenBackbone

    def __init__(
        self,
        encoder: Encoder,
        ratio: float = 0.75,
        width: int = 512,
        depth: int = 8,
        heads: int = 16,
        area: float = 0.2,
        crop: int | None = None,
    ) -> None:
        super().__init__()
        _check(encoder, ratio, width, depth, heads, area, crop)
        self.encoder = encoder
        self.patch = encoder.stages[-1].stride
        self.reduce = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = LayerNorm(width)
        self.predict = nn.Linear(width, self.patch**2 * encoder.input.channels)
        for module in (self.reduce, *self.blocks.modules()):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.normal_(self.predict.weight, std=0.1 * width**-0.5)  # starts close to zero, which is chance
        nn.init.zeros_(self.predict.bias)
        self._ratio, self._area, self._crop = ratio, area, crop

    def views(self, images: Images, generator: torch.Generator) -> Masked:
        """Crop, flip, convert to the encoder's input and draw which patches are visible.

        Raises:
            ValueError: a crop that is no multiple of the patch, or none visible or hidden.
        """
        seen = self.encoder.input(
            whole_patches(
                images.pixels, generator, self.patch, self._crop, self._area, augment=self.training, p=0.5
            )
        )  # (B, C, S, S)
        count = (seen.shape[-1] // self.patch) ** 2
        kept = int(count * (1 - self._ratio))
        if not 0 < kept < count:
            raise ValueError(
                f"MaskedAutoencoder.ratio={self._ratio} shows {kept} of the {count} patches of "
                f"{self.patch} pixels of an image of {seen.shape[-1]}: some must be visible and some hidden"
            )
        order = torch.rand(len(seen), count, generator=generator).argsort(dim=1).to(seen.device)
        return Masked(seen, order[:, :kept], order[:, kept:])

    def loss(self, batch: Masked) -> Step:
        """Return the mean squared error of the hidden patches, each in units of its own deviation."""
        error = (self._predicted(batch).float() - self._wanted(batch)).square().mean()
        return Step(error, {"loss": error.detach()})

    def chance(self, batch: Masked) -> dict[str, float]:
        """Return what each hidden patch's own mean scores: (n − 1) / n for n numbers a patch, or less."""
        return {"loss": float(self._wanted(batch).square().mean())}

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return the input as gray, its visible patches, and those with the predicted ones in their places.

        Predictions are brought to the mean and deviation of the patches that they stand for.
        """
        batch = self.views(images, torch.Generator().manual_seed(0))
        whole = patches(batch.seen, self.patch)
        hidden = at(whole, batch.hidden)
        mean, deviation = _moments(hidden)
        predicted = self._predicted(batch).float() * deviation + mean
        gray = whole.mean(dim=(1, 2), keepdim=True).expand_as(hidden)
        return {
            name: _gray(unpatched(values, self.patch, batch.seen.shape), batch.seen)
            for name, values in (
                ("seen", whole),
                ("masked", put(whole, batch.hidden, gray)),
                ("reconstructed", put(whole, batch.hidden, predicted)),
            )
        }

    def _wanted(self, batch: Masked) -> Tensor:
        """The hidden patches, normalised: (B, N − K, P)."""
        hidden = at(patches(batch.seen, self.patch), batch.hidden).float()
        mean, deviation = _moments(hidden)
        return (hidden - mean) / deviation

    def _predicted(self, batch: Masked) -> Tensor:
        """What the decoder says of the hidden patches: (B, N − K, P)."""
        backbone = cast(TokenBackbone, self.encoder.backbone)
        tokens = backbone.embed(batch.seen)
        (encoded,) = backbone.encode(at(tokens.values, batch.visible), at(tokens.positions, batch.visible))
        x = self.reduce(encoded)  # (B, 1 + K, W)
        places = sincos_positions(*tokens.grid, x.shape[-1]).to(x)[None]  # (1, N, W)
        visible = x[:, 1:] + at(places, batch.visible)
        hidden = self.mask_token.to(x) + at(places, batch.hidden)
        # Attention does not care for the order of its tokens: hidden patches may stay at the end.
        x = torch.cat([x[:, :1], visible, hidden], dim=1)  # (B, 1 + N, W)
        for block in self.blocks:
            x = block(x)
        predicted: Tensor = self.predict(self.norm(x[:, -batch.hidden.shape[1] :]))
        return predicted


def patches(images: Tensor, side: int) -> Tensor:
    """Cut (B, C, H, W) into squares, row by row: (B, N, side² · C), pixels of each row by row, channels last.

    H and W are multiples of `side`.
    """
    count, channels, height, width = images.shape
    cut = images.reshape(count, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatched(squares: Tensor, side: int, shape: torch.Size) -> Tensor:
    """Put what `patches` gave together again, to images of `shape`."""
    count, channels, height, width = shape
    cut = squares.reshape(count, height // side, width // side, side, side, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(shape)


def at(values: Tensor, index: Tensor) -> Tensor:
    """Take rows `index` (B, K) out of (B or 1, N, D): (B, K, D)."""
    wide = index[:, :, None].expand(-1, -1, values.shape[2])
    return values.expand(len(index), -1, -1).gather(1, wide)


def put(values: Tensor, index: Tensor, rows: Tensor) -> Tensor:
    """Replace rows `index` (B, K) of (B, N, D) by (B, K, D)."""
    return values.scatter(1, index[:, :, None].expand_as(rows), rows.to(values))


def _moments(squares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch of (B, N, P), with its variance unbiased: (B, N, 1) each."""
    variance, mean = torch.var_mean(squares, dim=2, keepdim=True)
    return mean, (variance + EPSILON).sqrt()


def _gray(x: Tensor, like: Tensor) -> Tensor:
    """The mean of the channels of (B, C, H, W) as a picture, black and white being the ends of `like`."""
    level = like.float().mean(dim=1, keepdim=True)
    low, high = level.amin(dim=(2, 3), keepdim=True), level.amax(dim=(2, 3), keepdim=True)
    gray = (x.float().mean(dim=1, keepdim=True) - low) / (high - low).clamp(min=EPSILON)
    return gray.clamp(0, 1).expand(-1, 3, -1, -1)


def _check(
    encoder: Encoder, ratio: float, width: int, depth: int, heads: int, area: float, crop: int | None
) -> None:
    if not isinstance(encoder.backbone, TokenBackbone):
        raise TypeError(
            f"MaskedAutoencoder drops tokens: it takes a TokenBackbone, got {type(encoder.backbone).__name__}"
        )
    if not 0 < ratio < 1:
        raise ValueError(f"MaskedAutoencoder.ratio is a share in (0, 1), got {ratio}")
    if not 0 < area <= 1:
        raise ValueError(f"MaskedAutoencoder.area is a share in (0, 1], got {area}")
    patch = encoder.stages[-1].stride
    if crop is not None and (crop < 1 or crop % patch):
        raise ValueError(f"MaskedAutoencoder.crop is a multiple of the patch of {patch}, or None, got {crop}")
    if min(width, depth, heads) < 1 or width % 4 or width % heads:
        raise ValueError(
            "MaskedAutoencoder needs a decoder of at least one block whose width is a multiple of 4 and of "
            f"heads, got width={width}, depth={depth}, heads={heads}"
        )
