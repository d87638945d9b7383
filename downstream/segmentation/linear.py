"""Linear segmentation: a 1×1 convolution on frozen maps of every stage, upsampled to the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from downstream.features.extraction import batches, frozen
from downstream.head import Form
from downstream.heads.linear_grid import LinearGrid, LinearHead
from downstream.protocol import (
    Predictions,
    Runtime,
    require_positive,
)
from downstream.segmentation.family import Segmentation
from downstream.segmentation.head import Segmenting
from downstream.segmentation.masks import (
    check_against,
    confusion_of,
    fitted_classes,
    upsampled_classes,
)
from downstream.segmentation.pictures import side_by_side
from downstream.segmentation.pixel_heads import Choice, convolve, fit_heads, sampled, score
from downstream.selection import StageHeads, choose_over_stages, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder


@dataclass(frozen=True)
class SegmentationLinear(Segmentation):
    """Softmax regression from a stage's map to the classes of the mask's pixels.

    The head is a 1×1 convolution on features standardised by train, its logits upsampled bilinearly to the
    mask. It is fitted on a fixed sample of pixels of each training image, where features are interpolated
    instead of logits, which is the same (see `PixelSample`). The setting of each stage, and the stage, are
    chosen by the mIoU of a sample of pixels of val. Test is scored on all pixels.

    Args:
        grid: learning rates, weight decays and the budget; an example is a pixel.
        pixels, val_pixels: sampled pixels of a training and of a validation image.
        adjustments: values of τ to choose among; τ · log(share of the class in train) is taken off its logit
            (logit adjustment, arXiv:2007.07314). 0 is the plain head, 1 makes all classes equally likely
            beforehand: where one class covers most pixels, mIoU is best between the two.
        deepest: use the last so many stages, where the sample of all would take too much room.
        train_limit: fit on that many training images, drawn by the split's digest; on all without it.

    Raises:
        ValueError: a number below one, or no adjustment.
    """

    grid: LinearGrid = field(
        default_factory=lambda: LinearGrid(
            lrs=(3e-2, 1e-1, 3e-1), weight_decays=(0.0, 1e-3), epochs=4, batch_size=1024, least_steps=180
        )
    )
    pixels: int = 32
    val_pixels: int = 128
    adjustments: tuple[float, ...] = (0.0,)
    deepest: int | None = None
    train_limit: int | None = field(default=2000, kw_only=True)
    name = "segmentation_linear"
    version = 1
    trains_encoder = False

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "adjustments", tuple(float(tau) for tau in self.adjustments))
        if not self.adjustments:
            raise ValueError("SegmentationLinear: adjustments is empty; (0,) leaves the logits as they are")
        for name in ("pixels", "val_pixels", "deepest"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"SegmentationLinear: {name} must be at least 1, got {value}")
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and its setting where there are several."""
        return (
            *(() if self.deepest == 1 else ("stage",)),
            *several(lr=self.grid.lrs, weight_decay=self.grid.weight_decays, adjustment=self.adjustments),
        )

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedSegmenter:
        """Fit all settings of all stages on train, select on val.

        Raises:
            ValueError: masks that are missing, of another size than the images, or with unknown classes.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes = fitted_classes(train)
        stages = encoder.stage_names if self.deepest is None else encoder.stage_names[-self.deepest :]
        on_train = sampled(encoder, train, self.pixels, stages, runtime)
        on_val = sampled(encoder, val, self.val_pixels, stages, runtime)

        def heads() -> Iterator[Choice]:
            for done, stage in enumerate(stages):
                rows = (on_train.features[stage], on_train.classes)
                held = (on_val.features[stage], on_val.classes)
                yield from fit_heads(stage, self.grid, self.adjustments, rows, held, classes, runtime)
                runtime.progress("linear heads", done + 1, len(stages))

        chosen = choose_over_stages(heads(), len(val))
        winner = chosen.winner
        return FittedSegmenter(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=score(winner.head, on_train.features[winner.trial.stage], on_train.classes),
            course=winner.head.course,
            encoder=encoder,
            runtime=runtime,
            chosen=chosen.by_stage,
        )

    def untrained_head(self, encoder: Encoder, form: Form, runtime: Runtime) -> StageLinear:
        """A 1×1 convolution on the stage.

        Raises:
            ValueError: a stage that the encoder has not.
        """
        stage = encoder.backbone.stage(form.stage)
        layer = LinearHead.unfitted(stage.channels, form.classes, runtime.device)
        return StageLinear(classes=form.classes, encoder=encoder, stage=stage.name, layer=layer)


@dataclass(frozen=True, kw_only=True)
class StageLinear(Segmenting):
    """A 1×1 convolution on one stage, its logits upsampled to the image."""

    encoder: Encoder
    stage: str
    layer: LinearHead

    def tensors(self) -> dict[str, Tensor]:
        """The convolution's, and the statistics that it standardises by."""
        return self.layer.tensors()

    def masks(self, images: Split, runtime: Runtime) -> Iterator[tuple[slice, Tensor]]:
        """Classes (B, H, W) of images, batch by batch."""
        for where, found in _predictions(self.encoder, {self.stage: self.layer}, images, runtime):
            yield where, found[self.stage]


@dataclass(frozen=True, kw_only=True)
class FittedSegmenter(StageHeads[Choice]):
    """One head a stage, each with the setting that val chose."""

    @property
    def head(self) -> StageLinear:
        """That of the selected stage."""
        layer = self.chosen[self.stage].head
        return StageLinear(classes=len(layer.bias), encoder=self.encoder, stage=self.stage, layer=layer)

    def predict(self, test: Split) -> dict[str, Predictions]:
        """Rows {"confusion": (N, K, K) uint32} of every stage, from one pass over the images."""
        heads = {stage: choice.head for stage, choice in self.chosen.items()}
        classes = len(heads[self.stage].bias)
        masks = check_against(test, classes)
        rows: dict[str, list[NDArray[np.uint32]]] = {stage: [] for stage in heads}
        for where, predicted in _predictions(self.encoder, heads, test, self.runtime):
            for stage, prediction in predicted.items():
                rows[stage].append(confusion_of(prediction, masks[where], classes))
        return {stage: {"confusion": np.concatenate(parts)} for stage, parts in rows.items()}

    def show(self, images: Split, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """Image, true mask and the selected stage's prediction of each image."""
        return side_by_side(images, self.head.predict(images, self.runtime).masks, names)


def _predictions(
    encoder: Encoder, heads: Mapping[str, LinearHead], split: Split, runtime: Runtime
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Classes (B, H, W) by stage, batch by batch; stages in order."""
    with frozen(encoder, runtime) as forward:
        for where, pixels in batches(split, runtime.device):
            maps = forward(pixels, list(heads)[-1]).maps
            size = (pixels.shape[2], pixels.shape[3])
            yield (
                where,
                {
                    stage: upsampled_classes(convolve(head, maps[stage]), size)
                    for stage, head in heads.items()
                },
            )
            runtime.progress(f"segment {split.name}", where.stop, len(split))
