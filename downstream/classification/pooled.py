"""What protocols on pooled features of every stage have in common."""

from __future__ import annotations

import typing
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from downstream.classification.labels import check_against
from downstream.features.extraction import FeatureSet, Key, distinct, extract, map_sides
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
