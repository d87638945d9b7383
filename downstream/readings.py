"""What linear heads are shown of an encoder: pooled stages, or the class tokens of its last blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import Block
from torch import Tensor

from downstream.map_resize import AverageResize
from downstream.reductions import GridPool, Reduction
from downstream.sgd_heads import Source
from pretext.backbones import Features
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import Encoder

Forward = Callable[..., Features]


@dataclass(frozen=True)
class EveryStage:
    """The maps of all stages, reduced: (B, C, L), normalised by channel where a recipe says so."""

    pool: Reduction

    def __call__(self, encoder: Encoder, forward: Forward, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W)."""
        return {Source(name): _cells(self.pool, x) for name, x in forward(images).maps.items()}


@dataclass(frozen=True)
class LastStage:
    """The last stage's map, averaged over its cells: (B, C, 1)."""

    def __call__(self, encoder: Encoder, forward: Forward, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W)."""
        name = encoder.stage_names[-1]
        return {Source(name): _cells(GridPool(1), forward(images).maps[name])}


@dataclass(frozen=True)
class LastClassTokens:
    """Class tokens of a transformer's last blocks, side by side; of another network, its averaged last map.

    Args:
        blocks: how many blocks.
    """

    blocks: int

    def __call__(self, encoder: Encoder, forward: Forward, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W): (B, blocks · D, 1)."""
        if not isinstance(encoder.backbone, VisionTransformer):
            return LastStage()(encoder, forward, images)
        tokens = last_tokens(encoder.backbone, lambda: forward(images), self.blocks)
        return {Source(encoder.stage_names[-1]): _class_tokens(tokens).unsqueeze(2)}


@dataclass(frozen=True)
class LastBlocks:
    """The readings of DINOv2 (arXiv:2304.07193): the last blocks, each choice with an average and without.

    Of a transformer the class tokens of the last n blocks side by side, and those with the average of the
    last block's patches. A convolutional network has no class token: of its last n stages the averaged maps
    side by side, or the maps averaged over as many cells as make at most `dimension` numbers each.

    Args:
        blocks: values of n.
        dimension: of one stage's cells.
    """

    blocks: tuple[int, ...]
    dimension: int

    def __call__(self, encoder: Encoder, forward: Forward, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W): (B, D, 1) a reading, all under the last stage's name."""
        last = encoder.stage_names[-1]
        if isinstance(encoder.backbone, VisionTransformer):
            read = self._of_tokens(encoder.backbone, forward, images)
        else:
            read = self._of_maps(forward(images).maps)
        return {Source(last, name): x.unsqueeze(2) for name, x in read.items()}

    def _of_tokens(self, backbone: VisionTransformer, forward: Forward, images: Tensor) -> dict[str, Tensor]:
        tokens = last_tokens(backbone, lambda: forward(images), max(self.blocks))
        average = tokens[-1][:, 1:].mean(1)  # (B, D)
        found = {}
        for n in self.blocks:
            found[f"class tokens of {n}"] = classes = _class_tokens(tokens[-n:])
            found[f"class tokens of {n} + average"] = torch.cat([classes, average], 1)
        return found

    def _of_maps(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        if max(self.blocks) > len(maps):
            raise ValueError(f"the encoder has {len(maps)} stages, too few for the last {max(self.blocks)}")
        averages = [x.float().mean((2, 3)) for x in maps.values()]
        cells = [AverageResize(self.dimension)(x, torch.arange(len(x))) for x in maps.values()]
        found = {}
        for n in self.blocks:
            found[f"averages of {n}"] = torch.cat(averages[-n:], 1)
            found[f"cells of {n}"] = torch.cat(cells[-n:], 1)
        return found


def last_tokens(backbone: VisionTransformer, run: Callable[[], object], count: int) -> list[Tensor]:
    """Tokens (B, 1 + N, D) behind each of the last `count` blocks and the final LayerNorm, float32.

    The class token comes first; the order is the network's.

    Args:
        run: runs the network once, its last block included.

    Raises:
        ValueError: fewer blocks than `count`.
    """
    blocks = [module for module in backbone.modules() if isinstance(module, Block)]
    if count > len(blocks):
        raise ValueError(f"the transformer has {len(blocks)} blocks, too few for the last {count}")
    kept: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda module, inputs, output: kept.append(output))
        for block in blocks[-count:]
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    norm = backbone.blocks[backbone.stage_names[-1]].get_submodule("norm")
    return [norm(tokens.float()) for tokens in kept]


def _class_tokens(tokens: list[Tensor]) -> Tensor:
    return torch.cat([x[:, 0] for x in tokens], 1)


def _cells(pool: Reduction, features: Tensor) -> Tensor:
    """Reduce maps (B, C, h, w) to (B, C, L)."""
    reduced = pool(features, torch.arange(len(features)))
    return reduced.view(len(features), features.shape[1], -1)
