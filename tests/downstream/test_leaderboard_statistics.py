"""Intervals hold what they promise on synthetic scores whose truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from downstream.leaderboard.statistics import (
    Interval,
    Kind,
    Pooled,
    Scores,
    Verdict,
    against_best,
    difference,
    gap_share,
    interval,
    pool,
    seed_bootstrap,
    t_interval,
)

IMAGES, RESAMPLES = 150, 200


class World:
    """Scores that are means over images: row mean + seed effect + image effect + what both do together."""

    def __init__(self, seed: int, image: float = 0.3, between: float = 0.02, both: float = 0.1) -> None:
        self.generator = np.random.default_rng(seed)
        self.between, self.both = between, both
        self.common = self.generator.normal(0, image, IMAGES)
        counts = self.generator.multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=RESAMPLES)
        self.counts = counts / IMAGES  # (B, N)

    def row(self, mean: float, seeds: int, image: float = 0.1) -> Scores:
        """`image` is the row's own image effect; `common` is shared by all rows."""
        own = self.generator.normal(0, image, IMAGES)
        effect = self.generator.normal(0, self.between, (seeds, 1))
        noise = self.generator.normal(0, self.both, (seeds, IMAGES))
        examples = mean + effect + self.common + own + noise  # (S, N)
        return Scores(examples.mean(axis=1), examples @ self.counts.T)


def scores(*values: float, resampled: NDArray[np.float64] | None = None) -> Scores:
    made = np.array(values)
    if resampled is None:
        resampled = made[:, None] + np.linspace(-0.01, 0.01, 41)[None]
    return Scores(made, resampled)


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_pooled_variance_by_hand() -> None:
    # (.1, .3): squares 2·.01; (.2, .4, .9): mean .5, squares .09 + .01 + .16; one seed adds nothing.
    found = pool([np.array([0.1, 0.3]), np.array([0.2, 0.4, 0.9]), np.array([0.7])])
    assert found is not None
    assert found.df == 3
    assert found.variance == pytest.approx((0.02 + 0.26) / 3)
    assert pool([np.array([0.7]), np.array([0.1])]) is None


def test_pooled_variance_is_the_mean_square_within_of_the_analysis_of_variance() -> None:
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=4) for _ in range(3)]
    found = pool(rows)
    assert found is not None
    between = 4 * np.var([r.mean() for r in rows], ddof=1)
    assert between / found.variance == pytest.approx(stats.f_oneway(*rows).statistic)


def test_one_seed_is_over_images_and_several_over_seeds() -> None:
    single = interval(scores(0.5), None)
    assert single is not None
    assert single.kind is Kind.IMAGES
    assert (single.low, single.high) == pytest.approx((0.4905, 0.5095))
    several = interval(scores(0.5, 0.6), Pooled(0.01, 8))
    assert several is not None
    assert (several.kind, several.df) == (Kind.SEEDS, 8)
    assert several.low < 0.55 - np.sqrt(0.01 / 2) * stats.t.ppf(0.975, 100)
    assert interval(scores(0.5, resampled=np.zeros((1, 0))), None) is None
    with pytest.raises(ValueError, match="pooled variance"):
        interval(scores(0.5, 0.6), None)


def test_the_t_interval_by_hand_without_image_noise() -> None:
    flat = scores(0.5, 0.7, resampled=np.array([[0.5] * 30, [0.7] * 30]))
    found = t_interval([flat], [1.0], Pooled(0.02, 5))
    half = 2.5705818356363146 * np.sqrt(0.02 / 2)  # t(.975, 5) from a printed table: 2.571
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half))
    two = t_interval([flat, scores(0.1, 0.3, resampled=flat.resampled - 0.4)], [1.0, -1.0], Pooled(0.02, 5))
    half = 2.5705818356363146 * np.sqrt(0.02)
    assert (two.low, two.high) == pytest.approx((0.4 - half, 0.4 + half))


def test_an_interval_without_width_says_so() -> None:
    flat = interval(scores(1.0, resampled=np.ones((1, 50))), None)
    assert flat is not None
    assert flat.zero_width
    assert not Interval(0.1, 0.2, Kind.IMAGES).zero_width


@pytest.mark.parametrize(
    ("bad", "shape"), [(np.zeros(0), (0, 3)), (np.zeros(2), (1, 3)), (np.zeros(2), (6,))]
)
def test_scores_refuse_other_shapes(bad: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        Scores(bad, np.zeros(shape))


def test_coverage_over_images() -> None:
    hits = []
    for seed in range(400):
        world = World(seed, between=0.0)
        found = interval(world.row(0.5, seeds=1), None)
        assert found is not None
        hits.append(0.5 in found)
    assert share(hits) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage_over_seeds_and_images(seeds: int) -> None:
    hits = []
    for seed in range(300):
        world = World(seed)
        rows = [world.row(0.5, seeds) for _ in range(5)]
        found = interval(rows[0], pool([r.values for r in rows]))
        assert found is not None
        hits.append(0.5 in found)
    assert share(hits) == pytest.approx(0.95, abs=0.04)


def test_coverage_of_the_bootstrap_over_many_seeds() -> None:
    hits = []
    for seed in range(200):
        found = seed_bootstrap([World(seed).row(0.5, 12)], [1.0], repeats=5)
        hits.append(0.5 in found)
    assert share(hits) == pytest.approx(0.95, abs=0.05)


def test_the_two_intervals_over_many_seeds_agree() -> None:
    rows = [World(3).row(0.5, 30)]
    pooled = pool([rows[0].values])
    assert pooled is not None
    a, b = t_interval(rows, [1.0], pooled), seed_bootstrap(rows, [1.0])
    assert b.half == pytest.approx(a.half, rel=0.15)


def test_equal_rows_are_called_different_one_time_in_twenty() -> None:
    several, single = [], []
    for seed in range(400):
        world = World(seed)
        rows = [world.row(0.5, 3) for _ in range(6)]
        pooled = pool([r.values for r in rows])
        found = difference(rows[0], rows[1], pooled)
        assert found is not None
        several.append(0 not in found)
        still = World(seed, between=0.0)
        alone = difference(still.row(0.5, 1), still.row(0.5, 1), None)
        assert alone is not None
        single.append(0 not in alone)
    assert share(several) == pytest.approx(0.05, abs=0.035)
    assert share(single) == pytest.approx(0.05, abs=0.035)


def test_pairing_by_image_narrows_a_difference() -> None:
    world, other = World(0), World(1)
    a, b = world.row(0.6, 1), world.row(0.5, 1)
    paired = difference(a, b, None)
    unpaired = difference(a, other.row(0.5, 1), None)
    assert paired is not None
    assert unpaired is not None
    assert paired.half < 0.6 * unpaired.half
    assert 0.1 in paired


def test_one_seed_is_never_compared_with_several() -> None:
    assert difference(scores(0.5), scores(0.5, 0.6), Pooled(0.01, 3)) is None
    assert gap_share(scores(0.5), scores(0.1, 0.2), scores(0.9, 0.8), Pooled(0.01, 3)) == (None, None)


def test_marks_need_three_seeds() -> None:
    world = World(0)
    best, near, far = world.row(0.7, 3), world.row(0.7, 3), world.row(0.3, 3)
    pooled = pool([r.values for r in (best, near, far)])
    assert against_best(near, best, pooled) is Verdict.NOT_SEPARATED
    assert against_best(far, best, pooled) is Verdict.BELOW
    assert against_best(world.row(0.3, 2), best, pooled) is Verdict.TOO_FEW
    assert against_best(world.row(0.3, 1), world.row(0.7, 1), None) is Verdict.TOO_FEW


def test_share_of_the_gap() -> None:
    found = gap_share(scores(0.5), scores(0.3), scores(0.7), None)
    assert found.value == pytest.approx(0.5)
    assert found.interval is not None
    assert found.interval.kind is Kind.IMAGES
    assert gap_share(scores(0.5), scores(0.7), scores(0.3), None) == (None, None)
    unclear = gap_share(scores(0.5), World(0).row(0.3, 1), World(1).row(0.31, 1), None)
    assert unclear == (None, None)  # the gap is not above its own interval


def test_coverage_of_the_share_of_the_gap() -> None:
    hits = []
    for seed in range(200):
        world = World(seed)
        row, low, high = world.row(0.5, 3), world.row(0.3, 3), world.row(0.7, 3)
        pooled = pool([r.values for r in (row, low, high)])
        found = gap_share(row, low, high, pooled)
        assert found.interval is not None
        hits.append(0.5 in found.interval)
    assert share(hits) == pytest.approx(0.95, abs=0.05)


def test_statistics_are_deterministic() -> None:
    world = World(0)
    rows = [world.row(m, 3) for m in (0.5, 0.3, 0.7)]
    pooled = pool([r.values for r in rows])
    assert gap_share(*rows, pooled) == gap_share(*rows, pooled)
    many = World(1).row(0.5, 12)
    assert interval(many, None) == interval(many, None)
