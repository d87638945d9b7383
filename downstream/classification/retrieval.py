"""Image retrieval with frozen features: training images are ranked by their similarity to each query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.classification.blind_features import BLIND_FEATURES, BlindFeatures, rgb_shares
from downstream.classification.family import Labelled
from downstream.classification.labels import check_against, fitted_classes, labels_of
from downstream.classification.pooled import Pooled, PooledHeads
from downstream.classification.ranking import rank
from downstream.classification.voc_ap import one_hot
from downstream.features.extraction import Key
from downstream.features.pooling import checked_pools
from downstream.metrics.bootstrap import Additive
from downstream.protocol import (
    BlindPredictor,
    Measure,
    Metric,
    Predictions,
    Runtime,
    Trial,
    fractions,
    require_positive,
)
from downstream.selection import choose_over_stages, several
from pretext.data.dataset import Split
from pretext.data.split import limit
from pretext.encoder import Encoder

LEFT_OUT = 500
"""Training images that are queries for the score on train."""


class Choice(NamedTuple):
    """What val chose for one stage."""

    trial: Trial
    key: Key


@dataclass(frozen=True)
class Gallery:
    """Labelled images to retrieve: features by key, (N, D) each."""

    features: Mapping[Key, NDArray[Any]]
    labels: NDArray[Any]
    recalls: tuple[int, ...]
    device: torch.device

    def search(
        self, key: Key, queries: NDArray[Any], labels: NDArray[Any], own: NDArray[np.int64] | None = None
    ) -> Predictions:
        """Rank the gallery for queries (M, D) of these labels (see `rank`)."""
        return rank(queries, labels, self.features[key], self.labels, self.recalls, self.device, own)

    def search_itself(self, key: Key) -> Predictions:
        """Rank the rest of the gallery for evenly spaced images of its own."""
        own = np.unique(np.linspace(0, len(self.labels) - 1, LEFT_OUT).astype(np.int64))
        return self.search(key, self.features[key][own], self.labels[own], own)


@dataclass(frozen=True)
class Retrieval(Labelled):
    """Retrieve the training images that share a class with the query, by cosine similarity of features.

    Features are each stage's pooled map scaled to unit length; nothing is trained, and stage and pooling are
    chosen on val. mAP is the mean over queries of the average precision of the whole ranking; recall@k is
    the share of queries with a relevant image among the first k (arXiv:1511.06452). Queries without any
    relevant image are left out of both.

    Args:
        recalls: values of k, each below the number of training images.
        pools: pooling grids to choose among; 1 is global average pooling (see `GridPool`).
        train_limit: a gallery of that many training images, drawn by the split's digest; all without it.

    Raises:
        ValueError: an empty list or a value below 1.
    """

    recalls: tuple[int, ...] = (1, 5, 10)
    pools: tuple[int, ...] = (1, 2)

    name = "retrieval"
    version = 1
    trains_encoder = False
    trains_head = False
    headless = "it ranks the training images themselves"

    def __post_init__(self) -> None:
        for name in ("recalls", "pools"):  # lists come from configuration files
            values = tuple(int(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or min(values) < 1:
                raise ValueError(f"Retrieval: {name}={values!r} is out of range")
        checked_pools("Retrieval", self.pools)
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and the pooling where there are several."""
        return ("stage", *several(pool=self.pools))

    def requires(self, train: Split, *held: Split) -> None:
        """K below the number of training images, two of which share a class."""
        if max(self.recalls) >= len(train):
            raise ValueError(
                f"retrieval: recall@{max(self.recalls)}, but split {train.name!r} has {len(train)} images"
            )
        if one_hot(labels_of(train), fitted_classes(train)).sum(0).max() < 2:
            raise ValueError(f"retrieval: no two images of split {train.name!r} share a class")

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedRetrieval:
        """Retrieve for val from every stage, and select.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; k not below the number
                of training images.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        wanted = check_against(val, labels.ndim == 2, classes)
        pooled = Pooled.of(encoder, train, val, self.pools, runtime)
        gallery = Gallery(pooled.train, labels, self.recalls, runtime.device)
        tried = []
        for done, key in enumerate(pooled.train):
            value = mean_average_precision(gallery.search(key, pooled.val[key], wanted))
            tried.append(Choice(Trial(key.stage, {"pool": pooled.grids[key.reduction]}, value), key))
            runtime.progress("retrieval", done + 1, len(gallery.features))
        chosen = choose_over_stages(tried, len(val), pooled.finest)
        winner = chosen.winner
        return FittedRetrieval(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=mean_average_precision(gallery.search_itself(winner.key)),
            encoder=encoder,
            runtime=runtime,
            classes=classes,
            gallery=gallery,
            pools=tuple(pooled.grids),
            chosen=chosen.by_stage,
            multi_label=labels.ndim == 2,
        )

    def metrics(self, split: Split) -> dict[str, Measure]:
        """Mean average precision, then recall at each k."""
        return fractions(
            {"mAP": mean_average_precision, **{f"recall@{k}": recall_at(k) for k in self.recalls}}
        )

    def blind(self) -> dict[str, BlindPredictor]:
        """Retrieval by a constant, which is chance, and by histograms of the image."""
        return {
            name: BlindRetrieval(made, self.recalls, self.train_limit)
            for name, made in BLIND_FEATURES.items()
        }


@dataclass(frozen=True, kw_only=True)
class FittedRetrieval(PooledHeads[Choice]):
    """The gallery, and the pooling of each stage as val chose it."""

    gallery: Gallery

    def rows(self, choice: Choice, features: NDArray[Any], labels: NDArray[Any]) -> Predictions:
        """Rows of `rank`: "average_precision", "relevant", "recall@k"."""
        return self.gallery.search(choice.key, features, labels)


@dataclass(frozen=True)
class BlindRetrieval(BlindPredictor):
    """Retrieval by features that look at no encoder, from the gallery that encoders search."""

    features: BlindFeatures
    recalls: tuple[int, ...]
    train_limit: int | None

    @property
    def sees_color(self) -> bool:
        """As the features."""
        return self.features is rgb_shares

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Make the gallery."""
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        gallery = self.features(train)

        def predict(split: Split) -> Predictions:
            wanted = check_against(split, labels.ndim == 2, classes)
            return rank(self.features(split), wanted, gallery, labels, self.recalls, runtime.device)

        return predict


def _answered(name: str) -> Additive:
    """Mean of rows[name] over the queries that have a relevant image."""

    def parts(rows: Predictions) -> NDArray[np.float64]:
        answerable = rows["relevant"] > 0
        return np.stack([rows[name] * answerable, answerable], 1)

    def finish(total: NDArray[np.float64], examples: int) -> float:
        if total[1] == 0:
            raise ValueError(f"{name}: none of {examples} queries has a relevant image")
        return float(total[0] / total[1])

    return Additive(parts, finish)


mean_average_precision = _answered("average_precision")
"""mAP of rows of `rank`."""


def recall_at(k: int) -> Metric:
    """Recall@k of rows of `rank`."""
    return _answered(f"recall@{k}")
