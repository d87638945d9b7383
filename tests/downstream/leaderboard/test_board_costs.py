"""Scores against what pretraining took."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from PIL import Image

from benchmarks.committed import SUITES
from downstream.judge.record_files import import_jsonl
from downstream.leaderboard import build
from pretextbench import costs
from pretextbench.costs import Point


def test_points_are_the_ranked_rows_with_their_mean_flops() -> None:
    records = import_jsonl(SUITES / "tiny64.v1.jsonl.gz")
    board = build(records)
    points = {(point.label, point.group.split(", ")[-1]): point for point in costs.points(board, records)}
    rows = [row for group in board.groups for row in group.pretext if row.gain is not None]
    for row in rows:
        at = row.label, row.key.match.input
        own = {
            r.subject.seed: r.cost.pretraining.flops
            for r in records
            if (r.subject.pretext, r.subject.input) == at and r.cost.pretraining and r.cost.pretraining.flops
        }
        assert (at in points) == bool(own)  # k-means initialisation takes no step
        if own:
            assert points[at].gain == row.gain
            assert points[at].flops == pytest.approx(sum(own.values()) / len(own))
    assert len(points) > 4
    assert not {name for name, _ in points} & {"random", "supervised", "kmeans_init"}


def test_names_keep_apart_and_in_order() -> None:
    heights = [0.5, 0.5, 0.52, 0.99, 0.99, 0.1]
    moved = costs.spread(heights, 0.1)
    order = sorted(range(len(heights)), key=lambda i: (heights[i], i))
    apart = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert min(apart) >= 0.1 - 1e-9
    assert max(moved) <= 1
    assert moved[5] == 0.1  # nothing is near it


def test_a_picture_has_a_marker_a_group() -> None:
    rows = [Point(f"task {i}", f"group {i % 2}", i / 10, 1e12 * (i + 1)) for i in range(40)]
    assert Image.open(io.BytesIO(costs.picture(rows))).height > 900
