"""What protocols on pooled features of every stage have in common."""

from __future__ import annotations

import typing
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from downstream.classification.labels import check_against
from downstream.features.extraction import FeatureSet, Key, distinct, extract, map_sides, of_blank
from downstream.features.pooling import GridPool, Reduction
from downstream.protocol import Predictions, Runtime, Trial
from downstream.selection import StageHeads
from pretext.data.dataset import Split
from pretext.encoder import Encoder


@dataclass(frozen=True)
class Pooled:
    """Every stage pooled to several grids: train's features without grids finer than their map, and val's.

    Attributes:
        grids: of each pooling, the cells a side.
        sides: of each stage's map.
    """

    grids: Mapping[Reduction, int]
    sides: Mapping[str, int]
    train: FeatureSet
    val: FeatureSet

    @staticmethod
    def of(encoder: Encoder, train: Split, val: Split, pools: Sequence[int], runtime: Runtime) -> Pooled:
        """Extract both splits."""
        grids: dict[Reduction, int] = {GridPool(pool): pool for pool in pools}
        sides = map_sides(encoder, train, runtime)
        on_train = distinct(extract(encoder, train, tuple(grids), runtime), sides)
        return Pooled(grids, sides, on_train, extract(encoder, val, tuple(grids), runtime))

    def finest(self, stage: str) -> dict[str, float]:
        """The grid from which on a stage's features are the same."""
        return {"pool": self.sides.get(stage, 1)}


def features_of(encoder: Encoder, images: Split, key: Key, runtime: Runtime) -> NDArray[Any]:
    """The features (N, D) of one key alone."""
    stages = (key.stage,) if key.stage in encoder.stage_names else None  # or a vector of the encoder's
    return extract(encoder, images, (key.reduction,), runtime, stages)[key]


def width_of(encoder: Encoder, key: Key, size: tuple[int, int], runtime: Runtime) -> int:
    """D of the features of one key, of images of (height, width).

    Raises:
        ValueError: no stage and no vector of the encoder; the message lists them.
    """
    maps, vectors = of_blank(encoder, size, runtime)
    if key.stage in maps:
        return key.reduction(maps[key.stage], torch.arange(1)).shape[1]
    if key.stage in vectors:
        return vectors[key.stage].shape[1]
    raise ValueError(f"the encoder has no stage {key.stage!r}; it has {', '.join([*maps, *vectors])}")


class PooledChoice(typing.Protocol):
    """What val chose for one stage: at least the pooling."""

    @property
    def trial(self) -> Trial:
        """Stage, setting and score."""
        ...

    @property
    def key(self) -> Key:
        """Stage and pooling."""
        ...


C = TypeVar("C", bound=PooledChoice)


@dataclass(frozen=True, kw_only=True)
class PooledHeads(StageHeads[C]):
    """Fitted on pooled features, which those of test are as well.

    Attributes:
        pools: every pooling, as they are extracted together.
        multi_label, classes: of train's labels.
    """

    pools: tuple[Reduction, ...]
    multi_label: bool
    classes: int

    @abstractmethod
    def rows(self, choice: C, features: NDArray[Any], labels: NDArray[Any]) -> Predictions:
        """Rows of one stage from its features (N, D) and labels (N,) or (N, C)."""

    def predict(self, test: Split) -> dict[str, Predictions]:
        """See `rows`, of every stage."""
        labels = check_against(test, self.multi_label, self.classes)
        features = extract(self.encoder, test, self.pools, self.runtime)
        return {
            stage: self.rows(choice, features[choice.key], labels) for stage, choice in self.chosen.items()
        }
