"""I-JEPA: predict a teacher's patch vectors of hidden blocks (Assran et al. 2023, arXiv:2301.08243)."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from pretext import views
from pretext.backbones import TokenBackbone
from pretext.backbones.positions import sincos_positions
from pretext.encoder import Encoder
from pretext.task import Images, Progress, Step, Task
from pretext.tasks import blind
from pretext.tasks.cropping import whole_patches
from pretext.tasks.mae import at
from pretext.tasks.teacher import follow, teacher_of

TRIES = 100
"""Draws for an image until enough of its context remains."""


class Blocks(NamedTuple):
    """An image, what of it is context, and the blocks that are asked for.

    pixels: (B, 3, S, S) in [0, 1]; context: (B, K) and targets: (M, B, N) int64, patches counted row by row.
    """

    pixels: Tensor
    context: Tensor
    targets: Tensor


class IJepa(Task):
    """From the patches of one large block predicts what a teacher makes of the patches of several small ones.

    The teacher, the moving average of the student, sees the whole image; its patch vectors are brought to
    mean 0 and deviation 1 each. A narrow transformer sees the student's vectors of the context, and tokens
    that say where a block's patches lie. Nothing is predicted in pixels, and nothing but crops is done to
    images: no mirror, no colour. The encoder that is kept is the teacher's; its momentum rises linearly to 1.

    Sizes of blocks are drawn for a batch, their places for each image. What remains of the context differs
    from image to image; each keeps as many patches as the least has, at random. Where too little remains, an
    image's blocks and context are placed anew: of 8 × 8 patches four blocks may hide all. (The release places
    the context alone anew, lets it show a block in the end, keeps the first patches in order, never lets a
    block reach the last row or column, and on small grids may look forever; one draw sets a block's area and
    its aspect.)

    Args:
        encoder: the teacher's, of a transformer; the student starts as its copy.
        area: least share of a training image that is cropped, in (0, 1].
        blocks: how many are asked for.
        block: least and largest area of one, as a share of the image's patches.
        aspect: least and largest height by width of one.
        context: least and largest area of the context's square.
        least: patches that remain of the context, at least.
        width, depth, heads: of the predictor.
        momentum: the teacher's at the start.
        crop: side of the square that is seen, a multiple of the patch; None for the largest in the image.

    Raises:
        TypeError: a network without tokens.
        ValueError: a value out of its range.
    """

    takes = TokenBackbone
    version = 2

    def __init__(
        self,
        encoder: Encoder,
        area: float = 0.3,
        blocks: int = 4,
        block: tuple[float, float] = (0.15, 0.2),
        aspect: tuple[float, float] = (0.75, 1.5),
        context: tuple[float, float] = (0.85, 1.0),
        least: int = 10,
        width: int = 384,
        depth: int = 12,
        heads: int = 12,
        momentum: float = 0.996,
        crop: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(encoder.backbone, TokenBackbone):
            raise TypeError(
                f"IJepa drops tokens: it takes a TokenBackbone, got {type(encoder.backbone).__name__}"
            )
        views.check_range("IJepa.block", block, 0, 1)
        views.check_range("IJepa.context", context, 0, 1)
        views.check_range("IJepa.aspect", aspect, 0, float("inf"))
        if not (0 < area <= 1 and 0 <= momentum <= 1):
            raise ValueError(f"IJepa takes area in (0, 1] and momentum in [0, 1], got {area} and {momentum}")
        if min(blocks, width, depth, heads) < 1 or width % 4 or width % heads:
            raise ValueError(
                "IJepa needs a block to predict, and a predictor of at least one block whose width is a "
                f"multiple of 4 and of heads, got {blocks}, {width}, {depth}, {heads}"
            )
        if least < 1:
            raise ValueError(f"IJepa.least is at least one patch of context, got {least}")
        self.patch = encoder.stages[-1].stride
        if crop is not None and (crop < 1 or crop % self.patch):
            raise ValueError(f"IJepa.crop is a multiple of the patch of {self.patch}, or None, got {crop}")
        self.encoder = encoder.requires_grad_(False)
        self.student = teacher_of(encoder).requires_grad_(True)
        self.reduce = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = LayerNorm(width)
        self.predict = nn.Linear(width, encoder.width)
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.normal_(self.predict.weight, std=0.1 * width**-0.5)  # starts close to zero, which is chance
        nn.init.zeros_(self.predict.bias)
        self._area, self._crop, self._count, self._least = area, crop, blocks, least
        self._block, self._aspect, self._context, self._momentum = block, aspect, context, momentum

    def initialise_from(self, parent: Task) -> None:
        """Start teacher and student from another task's encoder."""
        super().initialise_from(parent)
        self.student.load_state_dict(self.encoder.state_dict())

    def views(self, images: Images, generator: torch.Generator) -> Blocks:
        """Crop, and draw the context and the blocks.

        Raises:
            ValueError: an image smaller than a patch, or blocks that leave too little of the context.
        """
        pixels = whole_patches(
            images.pixels, generator, self.patch, self._crop, self._area, augment=self.training
        )
        side, count = pixels.shape[-1] // self.patch, len(pixels)
        size = _side(self._draw(self._context, generator), 1.0, side)
        shape = _side(self._draw(self._block, generator), self._draw(self._aspect, generator), side)
        asked, seen = self._masks(shape, size, side, count, generator)
        order = torch.where(seen, torch.rand(seen.shape, generator=generator), 2.0).flatten(1).argsort(dim=1)
        context = order[:, : int(seen.sum((1, 2)).min())]
        targets = asked.flatten(2).nonzero()[:, 2].view(self._count, count, -1)
        return Blocks(pixels, context.to(pixels.device), targets.to(pixels.device))

    def _masks(
        self,
        block: tuple[int, int],
        context: tuple[int, int],
        side: int,
        count: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """The blocks (M, B, side, side) of B images and what remains of the context (B, side, side), bool."""
        asked = torch.zeros(self._count, count, side, side, dtype=torch.bool)
        seen = torch.zeros(count, side, side, dtype=torch.bool)
        short = torch.ones(count, dtype=torch.bool)
        for _ in range(TRIES):
            again = int(short.sum())
            for one in asked:
                one[short] = _placed(block, side, again, generator)
            seen[short] = _placed(context, side, again, generator) & ~asked[:, short].any(0)
            short = seen.sum((1, 2)) < self._least
            if not bool(short.any()):
                return asked, seen
        raise ValueError(
            f"IJepa: {self._count} blocks of {block[0]} × {block[1]} patches leave an image of {side} × "
            f"{side} fewer than {self._least} patches of context, {TRIES} times; take fewer or smaller "
            "blocks, or smaller patches"
        )

    def loss(self, batch: Blocks) -> Step:
        """Return the smooth L1 distance of predicted and wanted vectors (β = 1)."""
        wanted = self._wanted(batch)
        loss = F.smooth_l1_loss(self._predicted(batch).float(), wanted)
        return Step(loss, {"loss": loss.detach()})

    def chance(self, batch: Blocks) -> dict[str, float]:
        """Return what zeros cost: about .42 where vectors are spread like a Gaussian."""
        wanted = self._wanted(batch)
        return {"loss": float(F.smooth_l1_loss(torch.zeros_like(wanted), wanted))}

    def blind(self, batch: Blocks) -> dict[str, float]:
        """Return what the mean of all wanted vectors costs."""
        wanted = self._wanted(batch)  # (M, B, N, D)

        def cost(answers: Tensor) -> Tensor:
            return F.smooth_l1_loss(answers[None, :, None].expand_as(wanted), wanted)

        return blind.level(wanted.mean(dim=(0, 2)), cost)

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        follow(self.encoder, self.student, 1 - (1 - self._momentum) * (1 - progress.step / progress.total))

    def show(self, images: Images) -> dict[str, Tensor]:
        """Return the image, its context, and the first block that is asked for."""
        batch = self.views(images, torch.Generator().manual_seed(0))
        return {
            "image": batch.pixels,
            "context": self._shown(batch.pixels, batch.context),
            "block": self._shown(batch.pixels, batch.targets[0]),
        }

    def _shown(self, pixels: Tensor, index: Tensor) -> Tensor:
        side = pixels.shape[-1] // self.patch
        mask = torch.zeros(len(pixels), side * side, device=pixels.device).scatter_(1, index, 1.0)
        return pixels * F.interpolate(mask.view(-1, 1, side, side), scale_factor=float(self.patch))

    @staticmethod
    def _draw(ends: tuple[float, float], generator: torch.Generator) -> float:
        return ends[0] + (ends[1] - ends[0]) * float(torch.rand((), generator=generator))

    @torch.no_grad()
    def _wanted(self, batch: Blocks) -> Tensor:
        """The teacher's vectors of each block, each of mean 0 and deviation 1: (M, B, N, D)."""
        backbone = cast(TokenBackbone, self.encoder.backbone)
        tokens = backbone.embed(self.encoder.seen(batch.pixels))
        (encoded,) = backbone.encode(tokens.values, tokens.positions)
        vectors = F.layer_norm(encoded[:, 1:].float(), encoded.shape[-1:])
        return torch.stack([at(vectors, index) for index in batch.targets])

    def _predicted(self, batch: Blocks) -> Tensor:
        """What is said of each block from the context: (M, B, N, D)."""
        backbone = cast(TokenBackbone, self.student.backbone)
        tokens = backbone.embed(self.student.seen(batch.pixels))
        (encoded,) = backbone.encode(at(tokens.values, batch.context), at(tokens.positions, batch.context))
        x = self.reduce(encoded[:, 1:])  # (B, K, W)
        places = sincos_positions(*tokens.grid, x.shape[-1]).to(x)[None]
        context = x + at(places, batch.context)
        count, asked = batch.targets.shape[0], batch.targets.flatten(0, 1)  # blocks of all images in a row
        hidden = self.mask_token.to(x) + at(places, asked)
        x = torch.cat([context.repeat(count, 1, 1), hidden], dim=1)  # (M · B, K + N, W)
        for block in self.blocks:
            x = block(x)
        said: Tensor = self.predict(self.norm(x[:, -asked.shape[1] :]))
        return said.view(*batch.targets.shape, -1)


def _side(area: float, aspect: float, side: int) -> tuple[int, int]:
    """Height and width of a block of that share of side² patches, within the grid."""
    count = area * side * side
    height, width = round((count * aspect) ** 0.5), round((count / aspect) ** 0.5)
    return min(max(height, 1), side), min(max(width, 1), side)


def _placed(shape: tuple[int, int], side: int, count: int, generator: torch.Generator) -> Tensor:
    """Where blocks of that shape lie, uniformly placed: (count, side, side) bool."""
    inside = []
    for length in shape:
        start = torch.randint(side - length + 1, (count, 1), generator=generator)
        steps = torch.arange(side)
        inside.append((steps >= start) & (steps < start + length))
    return inside[0][:, :, None] & inside[1][:, None, :]
