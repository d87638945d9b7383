"""How often do the intervals of the leaderboard hold? Two-level data whose truth is known.

    python -m benchmarks.intervals

A score is a mean over test images: the row's own level, an effect of its seed, effects of the images (on all
rows, and on this one), and what seed and image do together. Six rows have the same truth; one of them has a
spread between seeds that is a multiple of the others'. The functions are those of the leaderboard. Writes
benchmarks/results/intervals.json after every point and skips the points that are in it: remove it to begin
again.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.leaderboard.statistics import Interval, Scores, difference, gap_share, interval
from downstream.leaderboard.variances import Pooled, pool
from pretext.atomic import write_json

RESULT = Path(__file__).parent / "results" / "intervals.json"
WORLDS = 2000
SEEDS = (1, 2, 3, 5, 9, 10, 20)
SPREADS = (1, 3, 6)
"""Spread between seeds of one row of six, beside the others'."""
ROWS, IMAGES, DRAWS = 6, 200, 300
GAPS = {"share": 20.0, "share, small gap": 5.0}
"""From random to supervised, in standard deviations between seeds of one row."""
BATCH = 50


class Effects(NamedTuple):
    """Standard deviations of a score (a mean over the test images), in units of that between seeds.

    `image` moves all rows, `own` all seeds of one row, `both` each seed of a row; `both` is part of what is
    seen between seeds, and `seed` the rest.
    """

    image: float
    own: float
    both: float

    @property
    def seed(self) -> float:
        """So that seeds differ by 1 in all."""
        return float(np.sqrt(1 - self.both**2))


EFFECTS = {"photographs": Effects(0.85, 0.5, 0.6), "scenes": Effects(0.2, 0.1, 0.15)}
"""As read off the recorded boards: images weigh as much as seeds, or a fifth."""


class Point(NamedTuple):
    """Effects by name, seeds a row, and the spread of the first row."""

    effects: str
    seeds: int
    spread: int


POINTS = tuple(
    Point(effects, seeds, spread)
    for effects in EFFECTS
    for seeds in SEEDS
    for spread in (SPREADS if seeds > 1 else SPREADS[:1])
)


class World(NamedTuple):
    """The first row with the spread of the point, two others, and one of `other_seeds`; the pool of all.

    `truth` of a row is 0, and with one seed what this seed has on all images: nothing is said of others.
    """

    rows: tuple[Scores, ...]
    truth: tuple[float, ...]
    pooled: Pooled | None


def other_seeds(seeds: int) -> int:
    """How many seeds the row has that is compared with one of so many."""
    return 1 if seeds == 1 else 5 if seeds == 3 else 3


def worlds(point: Point, count: int) -> Iterator[World]:
    """Worlds of a point, the same at every call."""
    name, seeds, spread = point
    effects = EFFECTS[name]
    generator = np.random.default_rng([list(EFFECTS).index(name), seeds, spread])
    draws = generator.multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=DRAWS) / IMAGES
    of_rows = [(seeds, spread), (seeds, 1), (seeds, 1), (other_seeds(seeds), 1)]
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        image = images_of(generator, effects.image, (size, 1, IMAGES))
        made = []
        for n, times in of_rows:
            own = images_of(generator, effects.own, (size, 1, IMAGES))
            both = images_of(generator, times * effects.both, (size, n, IMAGES))
            seed = generator.normal(0, times * effects.seed, (size, n, 1))
            examples = image + own + both + seed
            made.append((examples.mean(axis=2), examples @ draws.T, seed[:, 0, 0] if n == 1 else None))
        rest = generator.normal(0, 1, (size, ROWS - len(of_rows), seeds))
        for world in range(size):
            rows = tuple(Scores(values[world], resampled[world]) for values, resampled, _ in made)
            truth = tuple(0.0 if seed is None else float(seed[world]) for _, _, seed in made)
            yield World(rows, truth, pool([*(row.values for row in rows), *rest[world]]))


def images_of(
    generator: np.random.Generator, effect: float, shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Effects on single images, by which a mean over all of them has this standard deviation."""
    return generator.normal(0, effect * np.sqrt(IMAGES), shape)


class Held(NamedTuple):
    """How often an interval held the truth where it was given, and how often it was given, in [0, 1]."""

    held: float
    given: float


def measure(point: Point, count: int = WORLDS) -> dict[str, Held]:
    """What each interval holds."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for world in worlds(point, count):
        for name, found, truth in _intervals(world):
            hits[name] += [] if found is None else [truth in found]
    return {name: Held(sum(own) / len(own) if own else 0.0, len(own) / count) for name, own in hits.items()}


def _intervals(world: World) -> Iterator[tuple[str, Interval | None, float]]:
    """Every interval of a world, with what it should hold."""
    (first, second, third, other), truth, pooled = world
    yield "mean", interval(first, pooled), truth[0]
    yield "mean, another row", interval(second, pooled), truth[1]
    yield "difference", difference(first, second, pooled), truth[0] - truth[1]
    yield "difference, other rows", difference(second, third, pooled), truth[1] - truth[2]
    yield "difference, other number of seeds", difference(first, other, pooled), truth[0] - truth[3]
    if first.n == 1:
        yield "difference, over seeds", difference(first, second, pooled), 0.0
    for name, gap in GAPS.items():
        made = gap_share(moved(first, gap / 2), second, moved(third, gap), pooled)
        yield name, made.interval, (gap / 2 + truth[0] - truth[1]) / (gap + truth[2] - truth[1])
    gap = GAPS["share"]
    made = gap_share(moved(second, gap / 2), first, moved(third, gap), pooled)
    yield (
        "share, first row its twin",
        made.interval,
        (gap / 2 + truth[1] - truth[0]) / (gap + truth[2] - truth[0]),
    )


def moved(row: Scores, by: float) -> Scores:
    """The same row at another level."""
    return Scores(row.values + by, row.resampled + by)


def go_on(
    result: Path, settings: dict[str, Any], points: Sequence[Point], found: Callable[[Point], dict[str, Any]]
) -> None:
    """Measure the points that a file does not hold yet, and write it after each.

    Args:
        settings: that all points of the file share; others end the program.
        found: what is kept of a point.
    """
    kept = json.loads(result.read_text()) if result.is_file() else {"points": []}
    if kept["points"] and kept["settings"] != settings:
        sys.exit(f"{result} is of {kept['settings']}, not {settings}; remove it")
    rows = {Point(*(row[name] for name in Point._fields)): row for row in kept["points"]}
    for point in points:
        if point not in rows:
            rows[point] = {**point._asdict(), **found(point)}
            write_json(result, {"settings": settings, "points": [rows[p] for p in points if p in rows]})
            print(*point, flush=True)


def main() -> None:
    settings = {"worlds": WORLDS, "rows": ROWS, "images": IMAGES, "resamples": DRAWS, "gaps": GAPS}
    go_on(RESULT, settings, POINTS, lambda p: {"holds": {n: h._asdict() for n, h in measure(p).items()}})


if __name__ == "__main__":
    main()
