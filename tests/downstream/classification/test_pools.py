"""Pooling grids up to the map's own size: finer ones are not fitted, and choosing the last is no edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import SIZE, small_encoder

from downstream.classification.clustering import Clustering
from downstream.classification.knn import NearestNeighbours
from downstream.classification.linear import LinearProbe
from downstream.classification.retrieval import Retrieval
from downstream.features.extraction import Key, distinct, map_sides
from downstream.features.pooling import GridPool, Maps
from downstream.heads.linear_grid import LinearGrid
from downstream.protocol import Protocol, Runtime
from pretext.data.dataset import Split
from pretext.data.split import make_split

POOLS = (1, 2, 3, 4, 6)
GRID = LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=2, batch_size=32)


def split(name: str, images: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 255, (images, SIZE, SIZE, 3), dtype=np.uint8)
    return make_split(name, pixels, labels=np.arange(images) % 3)


def test_sides_are_those_of_the_maps() -> None:
    sides = map_sides(small_encoder(), split("train", 3, 0), Runtime())
    assert sides == {"conv1": 8, "conv2": 4, "conv3": 4, "conv4": 2, "conv5": 2}


def test_distinct_keeps_the_first_grid_that_keeps_the_whole_map() -> None:
    values = np.zeros((1, 1))
    features = {Key(stage, GridPool(pool)): values for pool in (1, 2, 3, 6) for stage in ("a", "b")}
    features[Key("cls", GridPool(1))] = values
    features[Key("a", Maps())] = values
    kept = distinct(features, {"a": 2, "b": 5})
    assert [(key.stage, getattr(key.reduction, "grid", 0)) for key in kept] == [
        ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("b", 3), ("b", 6), ("cls", 1), ("a", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "protocol",
    [
        LinearProbe(POOLS, GRID),
        NearestNeighbours(ks=(5,), temperatures=(0.1,), pools=POOLS),
        Clustering(restarts=1, pools=POOLS),
        Retrieval(recalls=(1,), pools=POOLS),
    ],
    ids=lambda protocol: protocol.name,
)
def test_grids_finer_than_the_map_are_not_tried(protocol: Protocol, tmp_path: Path) -> None:
    train, val = split("train", 60, 0), split("val", 30, 1)
    fitted = protocol.fit(small_encoder(), train, val, Runtime(cache=tmp_path))
    tried = {stage: [t.setting["pool"] for t in fitted.trials if t.stage == stage] for stage in
             ("conv1", "conv3", "conv5")}  # fmt: skip
    assert tried == {"conv1": list(POOLS), "conv3": [1, 2, 3, 4], "conv5": [1, 2]}
    assert fitted.predict(split("test", 30, 2)).keys() == {f"conv{i}" for i in range(1, 6)}
    if fitted.selected["pool"] == max(tried.get(fitted.stage, [0])) and fitted.stage != "conv1":
        assert "pool" not in fitted.at_edge
