"""Clustering frozen features by k-means, and how far the clusters are the classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from downstream.classification.agreement import (
    Homogeneity,
    adjusted_rand,
    matched_accuracy,
    normalized_mutual_information,
)
from downstream.classification.blind_features import BLIND_FEATURES, BlindFeatures, rgb_shares
from downstream.classification.family import Labelled
from downstream.classification.labels import check_against, fitted_classes, labels_of
from downstream.classification.pooled import Pooled, PooledHeads
from downstream.features.extraction import Key
from downstream.features.pooling import checked_pools
from downstream.protocol import (
    BlindPredictor,
    Measure,
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


@dataclass(frozen=True)
class Clusters:
    """k-means on features of unit length: `restarts` times from k-means++, the tightest is kept.

    count: number of clusters; as many as classes without it.
    """

    count: int | None = None
    restarts: int = 10

    def fit(self, features: NDArray[Any], classes: int, seed: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """Cluster (N, D) features; return what assigns (M, D) features to the nearest centre: (M,) int64."""
        k = self.count or classes
        means = KMeans(k, init="k-means++", n_init=self.restarts, random_state=seed)
        with warnings.catch_warnings():
            # Fewer distinct features than clusters, as of a dead stage: the score shows it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            means.fit(_unit(features))
        return lambda other: np.asarray(means.predict(_unit(other)), dtype=np.int64)


class Choice(NamedTuple):
    """What val chose for one stage."""

    trial: Trial
    key: Key
    assign: Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Clustering(Labelled):
    """k-means on the training images' features, as many clusters as classes; test images join the nearest.

    Features are each stage's pooled map scaled to unit length. Labels fit nothing: stage and pooling are
    chosen on val. Read are normalised mutual information, the adjusted Rand index (negative counts as 0) and
    accuracy under the best one-to-one match of clusters and classes. Where an image has several classes:
    homogeneity, the share of each label's entropy that the cluster explains.

    Args:
        clusters: number of clusters; as many as classes without it.
        restarts: runs of k-means, of which the tightest is kept.
        pools: pooling grids to choose among; 1 is global average pooling (see `GridPool`).
        train_limit: cluster that many training images, drawn by the split's digest; all without it.

    Raises:
        ValueError: a number below 1, or no pooling grid.
    """

    clusters: int | None = None
    restarts: int = 10
    pools: tuple[int, ...] = (1, 2)

    name = "clustering"
    version = 1
    trains_encoder = False
    trains_head = False
    headless = "its clusters have no names"

    def __post_init__(self) -> None:
        # Lists come from configuration files.
        object.__setattr__(self, "pools", checked_pools("Clustering", self.pools))
        ranges = {
            "clusters": self.clusters is None or self.clusters >= 1,
            "restarts": self.restarts >= 1,
        }
        for name, good in ranges.items():
            if not good:
                raise ValueError(f"Clustering: {name}={getattr(self, name)!r} is out of range")
        require_positive(self, "train_limit")

    @property
    def selects(self) -> tuple[str, ...]:
        """The stage, and the pooling where there are several."""
        return ("stage", *several(pool=self.pools))

    def requires(self, train: Split, *held: Split) -> None:
        """At most as many clusters as training images."""
        k = self.clusters or fitted_classes(train)
        if k > len(train):
            raise ValueError(f"clustering: {k} clusters, but split {train.name!r} has {len(train)} images")

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> FittedClustering:
        """Cluster every stage's features of train, and select on val.

        Raises:
            ValueError: labels that are missing, out of range or absent from train; more clusters than
                training images.
        """
        self.check(train, val)
        train = limit(train, self.train_limit)
        classes, labels = fitted_classes(train), labels_of(train)
        wanted = check_against(val, labels.ndim == 2, classes)
        k = self.clusters or classes
        pooled = Pooled.of(encoder, train, val, self.pools, runtime)
        metric = next(iter(_metrics(labels.ndim == 2).values()))

        def tried() -> Iterator[Choice]:
            for done, (key, features) in enumerate(pooled.train.items()):
                assign = Clusters(k, self.restarts).fit(features, classes, runtime.seed)
                value = metric({"cluster": assign(pooled.val[key]), "labels": wanted})
                yield Choice(Trial(key.stage, {"pool": pooled.grids[key.reduction]}, value), key, assign)
                runtime.progress("clusters", done + 1, len(pooled.train))

        chosen = choose_over_stages(tried(), len(val), pooled.finest)
        winner = chosen.winner
        return FittedClustering(
            stage=winner.trial.stage,
            trials=chosen.trials,
            at_edge=chosen.at_edge,
            train_score=metric({"cluster": winner.assign(pooled.train[winner.key]), "labels": labels}),
            encoder=encoder,
            runtime=runtime,
            classes=classes,
            multi_label=labels.ndim == 2,
            pools=tuple(pooled.grids),
            chosen=chosen.by_stage,
        )

    def metrics(self, split: Split) -> dict[str, Measure]:
        """NMI, ARI and matched accuracy; homogeneity where an image has several classes."""
        return _metrics(labels_of(split).ndim == 2)

    def blind(self) -> dict[str, BlindPredictor]:
        """Clusters by lot, one cluster, and clusters of histograms of the image."""
        clusters = Clusters(self.clusters, self.restarts)
        return {"random_clusters": RandomClusters(clusters)} | {
            name: BlindClusters(made, clusters, self.train_limit) for name, made in BLIND_FEATURES.items()
        }


@dataclass(frozen=True, kw_only=True)
class FittedClustering(PooledHeads[Choice]):
    """The clusters of each stage, pooled as val chose."""

    def rows(self, choice: Choice, features: NDArray[Any], labels: NDArray[Any]) -> Predictions:
        """Rows {"cluster": (N,) int64, "labels"}."""
        return {"cluster": choice.assign(features), "labels": labels}


@dataclass(frozen=True)
class BlindClusters(BlindPredictor):
    """Clusters of features that look at no encoder, of the images that encoders' are made of."""

    features: BlindFeatures
    clusters: Clusters
    train_limit: int | None

    @property
    def sees_color(self) -> bool:
        """As the features."""
        return self.features is rgb_shares

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Cluster train."""
        train = limit(train, self.train_limit)
        classes, several_classes = fitted_classes(train), labels_of(train).ndim == 2
        assign = self.clusters.fit(self.features(train), classes, runtime.seed)
        return lambda split: {
            "cluster": assign(self.features(split)),
            "labels": check_against(split, several_classes, classes),
        }


@dataclass(frozen=True)
class RandomClusters(BlindPredictor):
    """A cluster by lot for each image: what the size of the split gives for nothing."""

    clusters: Clusters

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        """Learn the number of classes."""
        classes, several_classes = fitted_classes(train), labels_of(train).ndim == 2
        k = self.clusters.count or classes
        return lambda split: {
            "cluster": np.random.default_rng(runtime.seed).integers(0, k, len(split)),
            "labels": check_against(split, several_classes, classes),
        }


def _metrics(multi_label: bool) -> dict[str, Measure]:
    if multi_label:
        return fractions({"homogeneity": Homogeneity()})
    return fractions(
        {
            "NMI": normalized_mutual_information,
            "ARI": adjusted_rand,
            "matched_accuracy": matched_accuracy,
        }
    )


def _unit(features: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(normalize(np.asarray(features, dtype=np.float32)))
