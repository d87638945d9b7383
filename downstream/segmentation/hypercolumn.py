"""Hypercolumns: one linear head on place and the maps of all stages together, upsampled to the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from downstream.features.extraction import batches, frozen
from downstream.head import Form
from downstream.heads.linear_grid import LinearGrid, LinearHead, Standardisation
from downstream.protocol import (
    Predictions,
    Runtime,
    require_positive,
)
from downstream.segmentation.family import Segmentation
from downstream.segmentation.head import Segmenting
from downstream.segmentation.masks import fitted_classes, image_size
from downstream.segmentation.pictures import side_by_side
from downstream.segmentation.pixel_heads import Pixels, convolve, fit_heads, sampled, score
from downstream.selection import OneSetting, at_edge, best, best_by_stage, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

COLUMN = "hypercolumn"
"""Stands where records name a stage: all of them."""


@dataclass(frozen=True)
class Hypercolumn(Segmentation):
    """Softmax regression from what all stages say of a pixel, and its place, to its class (arXiv:1411.5752).

    Early stages know edges, late ones meaning; a column through all of them has both, which is why
    colorization itself was done from hypercolumns (arXiv:1603.06668). The maps are upsampled bilinearly and
    standardised by train. The paper fits a classifier for each cell of a grid; here each cell has a bias of
    its own, so that the head knows what a position prior knows, and the score says what features add to it.
    Fitted on a sample of pixels of each training image, chosen by the mIoU of a sample of pixels of val,
    scored on all pixels of test, all as in `SegmentationLinear`.

    Args:
        cell: side in pixels of the cells that have a bias of their own.
        grid, pixels, val_pixels, adjustments, train_limit: as in `SegmentationLinear`.

    Raises:
        ValueError: a number below one, or no adjustment.
    """

    grid: LinearGrid = field(
        default_factory=lambda: LinearGrid(
            lrs=(1e-3, 3e-3, 1e-2, 3e-2),
            weight_decays=(1e-4, 1e-3, 1e-2),
            epochs=8,
            batch_size=1024,
            least_steps=300,
        )
    )
    cell: int = 8
    pixels: int = 32
    val_pixels: int = 128
    adjustments: tuple[float, ...] = (0.0,)
    train_limit: int | None = field(default=2000, kw_only=True)
    name = "segmentation_hypercolumn"
    version = 2
    trains_encoder = False
    paper = "arXiv:1411.5752"

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "adjustments", tuple(float(tau) for tau in self.adjustments))
        if not self.adjustments:
            raise ValueError("Hypercolumn: adjustments is empty; (0,) leaves the logits as they are")
        for name in ("cell", "pixels", "val_pixels"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"Hypercolumn: {name} must be at least 1, got {value}")
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The setting, where there are several."""
        return several(lr=self.grid.lrs, weight_decay=self.grid.weight_decays, adjustment=self.adjustments)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedHypercolumn:
        """Fit all settings on train, select on val.

        Raises:
            ValueError: masks that are missing, of another size than the images, or with unknown classes.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        stages = encoder.stage_names
        on_train = sampled(encoder, train, self.pixels, stages, runtime)
        on_val = sampled(encoder, val, self.val_pixels, stages, runtime)
        cells = Cells(*image_size(train), self.cell)
        rows = _columns(on_train, stages, cells)  # (P, ΣC + cells)
        held = (_columns(on_val, stages, cells), on_val.classes)
        trials, chosen = best_by_stage(
            fit_heads(COLUMN, self.grid, self.adjustments, (rows, on_train.classes), held, classes, runtime)
        )
        trial, head = chosen[best(trials).stage]
        widths = [*(on_train.features[stage].shape[1] for stage in stages), cells.count]
        *heads, place = _cut(head, widths)
        return FittedHypercolumn(
            stage=COLUMN,
            trials=trials,
            at_edge=at_edge(trials, trial, len(val)),
            train_score=score(head, rows, on_train.classes),
            course=head.course,
            runtime=runtime,
            setting=trial.setting,
            column=Column(
                classes=classes,
                encoder=encoder,
                heads=dict(zip(stages, heads, strict=True)),
                place=cells.logits(place),
            ),
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> Column:
        """A layer on every stage, and what place says of images of that size."""
        heads = {
            s.name: LinearHead.unfitted(s.channels, form.classes, runtime.device) for s in encoder.stages
        }
        place = torch.zeros(form.classes, *form.size, device=runtime.device)
        return Column(classes=form.classes, encoder=encoder, heads=heads, place=place)


@dataclass(frozen=True, kw_only=True)
class Column(Segmenting):
    """One head, cut into the parts that belong to the stages and to place; their logits add up.

    Attributes:
        place: logits (K, H, W), for images of that size.
    """

    encoder: Encoder
    heads: dict[str, LinearHead]
    place: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Each part's."""
        parts = {
            f"{stage}.{name}": value
            for stage, head in self.heads.items()
            for name, value in head.tensors().items()
        }
        return parts | {"place": self.place}

    def masks(self, images: Split, runtime: Runtime) -> Iterator[tuple[slice, Tensor]]:
        """Classes (B, H, W) of images, batch by batch."""
        with frozen(self.encoder, runtime) as forward:
            for where, pixels in batches(images, runtime.device):
                maps = forward(pixels).maps
                # A 1×1 convolution and upsampling commute: the few logits are upsampled, not the many maps.
                logits = [
                    F.interpolate(
                        convolve(head, maps[stage]), pixels.shape[2:], mode="bilinear", align_corners=False
                    )
                    for stage, head in self.heads.items()
                ]
                yield where, torch.stack(logits).sum(0).add(self.place).argmax(1)
                runtime.progress(f"segment {images.name}", where.stop, len(images))


@dataclass(frozen=True, kw_only=True)
class FittedHypercolumn(OneSetting):
    """The one head, with the setting that val chose."""

    runtime: Runtime
    column: Column

    @property
    def head(self) -> Column:
        """The head."""
        return self.column

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"confusion": (N, K, K) uint32}, from one pass over the images."""
        return {COLUMN: self.column.rows(test, self.runtime)}

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Image, true mask and prediction of each image."""
        return side_by_side(images, self.column.predict(images, self.runtime).masks, names)


@dataclass(frozen=True)
class Cells:
    """Squares of `side` pixels that cut up an image of (height, width); the last ones may be smaller."""

    height: int
    width: int
    side: int

    @property
    def count(self) -> int:
        """Number of cells."""
        return math.ceil(self.height / self.side) * math.ceil(self.width / self.side)

    def of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cells (P,) that these flat, row-major positions (P,) lie in."""
        y, x = np.divmod(positions, self.width)
        return np.asarray(y // self.side * math.ceil(self.width / self.side) + x // self.side)

    def one_hot(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cells as channels: (P, count)."""
        return np.asarray(np.eye(self.count, dtype=np.float32)[self.of(positions)])

    def logits(self, head: LinearHead) -> Tensor:
        """What a head on `one_hot` says at every pixel: (K, height, width)."""
        said = head.logits(np.eye(self.count, dtype=np.float32))  # once a cell: (count, K)
        everywhere = said[self.of(np.arange(self.height * self.width))].T
        return torch.from_numpy(everywhere).reshape(-1, self.height, self.width).to(head.weight.device)


def _columns(pixels: Pixels, stages: Sequence[str], cells: Cells) -> NDArray[np.float32]:
    """Features of all stages and the cell of each pixel, side by side: (P, ΣC + cells)."""
    place = cells.one_hot(pixels.positions)
    return np.concatenate([*(pixels.features[stage] for stage in stages), place], 1)


def _cut(head: LinearHead, widths: list[int]) -> list[LinearHead]:
    """Cut a head on concatenated channels into one a part, whose logits sum to its own."""
    means, inverses, weights = (
        torch.split(values, widths) for values in (head.scaling.mean, head.scaling.inverse, head.weight)
    )
    biases = [head.bias] + [torch.zeros_like(head.bias)] * (len(widths) - 1)
    return [
        LinearHead(Standardisation(mean, inverse), weight, bias)
        for mean, inverse, weight, bias in zip(means, inverses, weights, biases, strict=True)
    ]
