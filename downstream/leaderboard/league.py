"""Tables of systems that colour: a row each, a column a measure, by who may be ranked with whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from downstream.judge.flags import meaning
from downstream.judge.records import Record
from downstream.leaderboard.sheets import Line, Section, Sheet, Text
from downstream.leaderboard.statistics import Scores, difference, interval
from downstream.leaderboard.tables import flags_of
from downstream.leaderboard.units import LESS, metric_name, with_interval
from downstream.leaderboard.variances import Pooled, pool
from downstream.protocol import Scale

TASK = "colorization"
FULL = "colorization"
"""The system that the others are compared with: Zhang, Isola & Efros 2016, with rebalanced classes."""
NAME = "league_"
"""Beginning of the names of these tables."""
ORDER = ("automatic", "assisted", "oracle")
UNRANKED = {
    "assisted": "told more than lightness: not ranked with the others",
    "oracle": "told of the answer",
}
INTERVALS = (
    "Value ± half a 95 % interval, of one seed over test images; +a −b where it reaches further to one side. "
    "Bold: the best of the automatic division."
)
MEASURED = (
    "auc: 1 − mean of min(distance in ab, 150) / 150 over all pixels, exact; auc_balanced: every colour of "
    "the training set counts alike. psnr and ssim are of RGB in 8 bits and measure lightness mostly, which "
    "is the original's in all rows. colourfulness_gap: |mean − mean of the originals| (Hasler & "
    "Süsstrunk); magnitudes_gap: the variant that recent papers print. read_rightly, read_alike: share of "
    "images that a classifier trained on colours knows, or takes for what it takes the original for. "
    "frechet_distance: of as many images as there are; resampled images repeat, which raises it, so that its "
    "interval lies above it: read the differences.",
)
READ = (
    "imagenet_top1: share of coloured images whose first of ImageNet's thousand classes, by a classifier "
    "that others trained on its photographs, is their own; of ground_truth, what it knows of these at all. "
    "imagenet_alike: share of images that it takes for the same class, coloured and original. Published "
    "values are of another classifier and other images.",
)
DIFFERENCES = (
    "Below each value the difference to colorization, paired by image, marked ° where its interval holds 0."
)


class Told(NamedTuple):
    """What a table of one judgement is called and explained by; file: what its name has before the set's."""

    title: str
    notes: tuple[str, ...]
    file: str = ""


JUDGED = {
    "colour_league": Told("Colour league", MEASURED),
    "semantic_interpretability": Told("Semantic interpretability", READ, "imagenet_"),
}


class Row(NamedTuple):
    """A system on one set of images: its records by measure and seed."""

    division: str
    name: str
    recipe: str


Cells = Mapping[str, Mapping[Row, Scores]]
"""Scores by measure and row, of which more is better where the sign says so."""


def league_sheets(records: Sequence[Record]) -> list[Sheet]:
    """One table for each judgement of systems on a set of images; none without such records."""
    found = by_set(records)
    files = {key: NAME + _told(own).file + key[0] for key, own in found.items()}
    every = list(files.values())
    return [
        _sheet(key, found[key], files[key] + _mark(key) * (every.count(files[key]) > 1))
        for key in sorted(found, key=lambda key: (key[0], _told(found[key]).file, key))
    ]


def judged_by(records: Sequence[Record]) -> str:
    """The judgement that these are of."""
    return records[0].evaluation.protocol


def _told(records: Sequence[Record]) -> Told:
    name = judged_by(records)
    return JUDGED.get(name, Told(name, ()))


def _mark(key: tuple[str, str, str]) -> str:
    return f"_{key[1][:6]}{key[2][:6]}"


def by_set(records: Iterable[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Records of systems that coloured the same images and were judged alike: name, digest, settings."""
    found: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.evaluation.task == TASK:
            e = record.evaluation
            found[e.data, record.data.digests[e.split], e.settings].append(record)
    return dict(found)


def _sheet(key: tuple[str, str, str], records: Sequence[Record], name: str) -> Sheet:
    first = records[0]
    scales = {r.evaluation.metric: r.result.scale for r in records}
    cells, seconds = _scores(records), {_row(r): r for r in records}
    pooled = {name: pool(scores.values for scores in rows.values()) for name, rows in cells.items()}
    rows = sorted(seconds, key=lambda row: (_place(row.division), -_merit(cells, scales, row), row.name))
    labels = _labels(rows)
    best = {name: _best(scales[name], cells[name]) for name in cells}
    sections = []
    for division in sorted({row.division for row in rows}, key=_place):
        lines = tuple(
            Line(
                labels[row],
                (
                    *(_text(row, name, cells, scales, pooled, best) for name in cells),
                    *_effort(seconds[row]),
                ),
            )
            for row in rows
            if row.division == division
        )
        title = f"{division}: {UNRANKED[division]}" if division in UNRANKED else division
        sections.append(Section(title, lines))
    heads = [_head(name, scales[name]) for name in cells]
    heads += [("seconds", "a megapixel"), ("memory", "MiB"), ("parameters",)]
    height, width = first.data.resolution
    images = first.data.counts[first.evaluation.split]
    told = _told(records)
    title = f"{told.title}: {images} images of {key[0]}, {height}×{width}"
    flags = dict.fromkeys(flag for r in records for flag in flags_of(r))
    said = [f"{meaning(flag)}: {', '.join(_flagged(records, flag))}." for flag in flags]
    compared = len(rows) > 1 and [row.name for row in rows].count(FULL) == 1
    short = (INTERVALS, *[DIFFERENCES] * compared, *said)
    notes = (INTERVALS, *[DIFFERENCES] * compared, *told.notes, *said)
    return Sheet(name, title, tuple(heads), tuple(sections), notes, short=short)


def _head(metric: str, scale: Scale) -> tuple[str, ...]:
    """A measure's name in lines, its unit where that is not %, and which way is better."""
    words = metric_name(metric, scale).removeprefix(metric)
    first, _, rest = metric.partition("_")
    return (
        (first, rest + words)
        if rest
        else (first + LESS * words.endswith(LESS), words.removesuffix(LESS).strip())
    )


def _scores(records: Iterable[Record]) -> dict[str, dict[Row, Scores]]:
    """Values and resamples of each measure and row, by seed in order."""
    found: dict[str, dict[Row, dict[int, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        found[record.evaluation.metric][_row(record)][record.subject.seed] = record
    return {
        name: {row: _together([own[seed] for seed in sorted(own)]) for row, own in rows.items()}
        for name, rows in found.items()
    }


def _together(seeds: Sequence[Record]) -> Scores:
    width = min(len(record.result.resampled) for record in seeds)
    drawn = np.array([record.result.resampled[:width] for record in seeds], np.float64)
    return Scores(np.array([record.result.value for record in seeds]), drawn.reshape(len(seeds), width))


def _row(record: Record) -> Row:
    s = record.subject
    return Row(s.budget, s.pretext, s.recipe)


def _place(division: str) -> int:
    return ORDER.index(division) if division in ORDER else len(ORDER)


def _merit(cells: Cells, scales: Mapping[str, Scale], row: Row) -> float:
    """Of the first measure."""
    name = next(iter(cells))
    return scales[name].merit(cells[name][row].mean)


def _best(scale: Scale, rows: Mapping[Row, Scores]) -> Row | None:
    automatic = [row for row in rows if row.division == ORDER[0]]
    return max(automatic, key=lambda row: scale.merit(rows[row].mean)) if automatic else None


def _labels(rows: Sequence[Row]) -> dict[Row, str]:
    """The name; where several recipes share it, with the start of the recipe."""
    names = [row.name for row in rows]
    return {row: row.name + f" {row.recipe[:4]}" * (names.count(row.name) > 1) for row in rows}


def _text(
    row: Row,
    name: str,
    cells: Cells,
    scales: Mapping[str, Scale],
    pooled: Mapping[str, Pooled | None],
    best: Mapping[str, Row | None],
) -> Text:
    if row not in cells[name]:
        return Text("–")
    scores, scale = cells[name][row], scales[name]
    own = interval(scores, pooled[name])
    body = with_interval(scores.mean, own, scale)
    full = [other for other in cells[name] if other.name == FULL]
    under = ""
    if len(full) == 1 and full[0] != row:
        other = cells[name][full[0]]
        between = difference(scores, other, pooled[name])
        apart = scores.mean - other.mean
        under = "+" * (apart >= 0) + with_interval(apart, between, scale)
        under += "°" * (between is not None and 0 in between)
    return Text(body, under, bold=best[name] == row)


def _effort(record: Record) -> tuple[Text, Text, Text]:
    """Seconds of one worker a megapixel, peak memory of its process, parameters."""
    height, width = record.data.resolution
    each = 1e6 / (record.cost.images_per_second * height * width)
    parameters = f"{record.cost.parameters:,}" if record.cost.parameters else "–"
    return Text(f"{each:.3g}"), Text(f"{record.cost.peak_memory_mib:,.0f}"), Text(parameters)


def _flagged(records: Iterable[Record], flag: str) -> list[str]:
    return sorted({record.subject.pretext for record in records if flag in flags_of(record)})
