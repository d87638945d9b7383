"""What linear heads are shown of an encoder: pooled stages, or the class tokens of its last blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from downstream.features.extraction import Frozen
from downstream.features.pooling import AverageResize, GridPool, Reduction
from downstream.heads.sgd_heads import Source


@dataclass(frozen=True)
class EveryStage:
    """The maps of all stages, reduced: (B, C, L), normalised by channel where a recipe says so."""

    pool: Reduction

    def __call__(self, frozen: Frozen, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W)."""
        return {Source(name): _cells(self.pool, x) for name, x in frozen(images).maps.items()}


@dataclass(frozen=True)
class LastStage:
    """The last stage's map, averaged over its cells: (B, C, 1)."""

    def __call__(self, frozen: Frozen, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W)."""
        name = frozen.encoder.stage_names[-1]
        return {Source(name): _cells(GridPool(1), frozen(images).maps[name])}


@dataclass(frozen=True)
class LastClassTokens:
    """Class tokens of a transformer's last blocks, side by side; of another network, its averaged last map.

    Args:
        blocks: how many blocks.
    """

    blocks: int

    def __call__(self, frozen: Frozen, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W): (B, blocks · D, 1)."""
        if not frozen.encoder.backbone.has_class_token:
            return LastStage()(frozen, images)
        tokens = frozen.last_tokens(images, self.blocks)
        return {Source(frozen.encoder.stage_names[-1]): _class_tokens(tokens).unsqueeze(2)}


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

    def __call__(self, frozen: Frozen, images: Tensor) -> dict[Source, Tensor]:
        """Read images (B, 3, H, W): (B, D, 1) a reading, all under the last stage's name."""
        last = frozen.encoder.stage_names[-1]
        if frozen.encoder.backbone.has_class_token:
            read = self._of_tokens(frozen.last_tokens(images, max(self.blocks)))
        else:
            read = self._of_maps(frozen(images).maps)
        return {Source(last, name): x.unsqueeze(2) for name, x in read.items()}

    def _of_tokens(self, tokens: list[Tensor]) -> dict[str, Tensor]:
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


def _class_tokens(tokens: list[Tensor]) -> Tensor:
    return torch.cat([x[:, 0] for x in tokens], 1)


def _cells(pool: Reduction, features: Tensor) -> Tensor:
    """Reduce maps (B, C, h, w) to (B, C, L)."""
    reduced = pool(features, torch.arange(len(features)))
    return reduced.view(len(features), features.shape[1], -1)
