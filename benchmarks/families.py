"""How often is anything wrong in a column of the leaderboard? Two-level data whose truth is known.

    python -m benchmarks.families

Six rows, made as in `benchmarks/intervals.py`, are compared by the functions of the leaderboard: all pairs,
and the last five with the first as their twin. Where all have one truth, any pair that is called different is
an error of the whole column. Where they have not, the ranks that a row may have must hold its true one, for
all rows. Writes benchmarks/results/families.json after every point and skips the points that are in it:
remove it to begin again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.intervals import BATCH, DRAWS, EFFECTS, IMAGES, ROWS, Point, go_on, images_of
from downstream.leaderboard.families import all_pairs, common_level, errors_of, p_values, ranks
from downstream.leaderboard.statistics import Scores

RESULT = Path(__file__).parent / "results" / "families.json"
WORLDS = 2000
SEEDS = (2, 3, 5, 10, 20)
SPREADS = (1, 3)
"""Spread between seeds of the first row, beside the others'."""
LEVELS = (0.0, 0.0, 0.0, 2.0, 4.0, 8.0)
"""True levels of the rows where they differ, in standard errors of a mean over the seeds of one row."""
TESTED = 999
"""Draws of the errors of each world; tables take more, and hold the same on average."""
FEWER = (3, 10)
"""Of these numbers of seeds, where images weigh little."""
POINTS = tuple(
    Point(effects, seeds, spread)
    for effects, numbers in zip(EFFECTS, (SEEDS, FEWER), strict=True)
    for seeds in numbers
    for spread in SPREADS
)
PAIRS = all_pairs(ROWS)
TWINS = [(0, i) for i in range(1, ROWS)]


def worlds(point: Point, count: int) -> Iterator[list[Scores]]:
    """Rows of one truth, of which the first has the spread of the point; the same at every call."""
    effects, n = EFFECTS[point.effects], point.seeds
    generator = np.random.default_rng([list(EFFECTS).index(point.effects), n, point.spread, ROWS])
    draws = generator.multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=DRAWS) / IMAGES
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        image = images_of(generator, effects.image, (size, 1, IMAGES))
        values, resampled = [], []
        for times in [point.spread] + [1] * (ROWS - 1):
            own = images_of(generator, effects.own, (size, 1, IMAGES))
            both = images_of(generator, times * effects.both, (size, n, IMAGES))
            seed = generator.normal(0, times * effects.seed, (size, n, 1))
            examples = image + own + both + seed
            values.append(examples.mean(axis=2))
            resampled.append(examples @ draws.T)
        for world in range(size):
            yield [Scores(values[row][world], resampled[row][world]) for row in range(ROWS)]


def wrong(rows: list[Scores], point: Point, draws: int = TESTED) -> dict[str, bool]:
    """Whether anything is wrong in a world: of all pairs, beside the best or the twin, in ranks."""
    errors, found = errors_of(rows, [row.values for row in rows])
    means = np.array([row.mean for row in rows])
    p = p_values(errors, PAIRS, means[None], found)[0]
    level = common_level(errors, PAIRS, draws)
    best = int(means.argmax())
    moved = means + np.array(LEVELS) / np.sqrt(point.seeds)
    apart = (p_values(errors, PAIRS, moved[None], found)[0] < level).tolist()
    return {
        "all pairs": bool((p < level).any()),
        "beside the best": any(own < level for own, pair in zip(p, PAIRS, strict=True) if best in pair),
        "beside the twin": bool(
            (p_values(errors, TWINS, means[None], found)[0] < common_level(errors, TWINS, draws)).any()
        ),
        "ranks": not all(
            own.low <= low and high <= own.high
            for own, (low, high) in zip(ranks(moved.tolist(), PAIRS, apart), true_ranks(), strict=True)
        ),
        "each pair at 5 %": bool((p < 0.05).any()),
    }


def true_ranks() -> list[tuple[int, int]]:
    """The first and the last rank of each row by `LEVELS`; equal ones share theirs."""
    levels = np.array(LEVELS)
    return [(1 + int((levels > own).sum()), int((levels >= own).sum())) for own in levels]


def measure(point: Point, count: int = WORLDS) -> dict[str, float]:
    """In which share of the worlds anything is wrong, by what."""
    found = [wrong(rows, point) for rows in worlds(point, count)]
    return {name: float(np.mean([world[name] for world in found])) for name in found[0]}


def main() -> None:
    settings = {"worlds": WORLDS, "rows": ROWS, "levels": list(LEVELS), "draws": TESTED}
    go_on(RESULT, settings, POINTS, lambda point: {"wrong": measure(point)})


if __name__ == "__main__":
    main()
