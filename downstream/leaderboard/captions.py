"""What stands around a table: the titles of sections, heads, and how to read it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from downstream.digest import short
from downstream.leaderboard.board import MACHINERY, Board, Cell, Column, Group, Verdict
from downstream.leaderboard.families import ENOUGH_SEEDS
from downstream.leaderboard.statistics import Kind
from downstream.leaderboard.units import LESS, lopsided, metric_name
from downstream.leaderboard.variances import Between
from downstream.protocol import FRACTION, Direction, Scale

IMAGES_ONLY = "i"
"""The footnote that every interval over test images alone carries."""
OWN_SPREAD = "v"
"""The footnote of an interval that rests on a row's own variance between seeds."""
OTHER_SETTINGS = "*"
"""The mark of a column whose settings are not those that its protocol's name stands for."""
NOT_APART = "≈"
"""The mark of a row that is not separated from the best, or from its random twin."""
BOTH_WAYS = "Value +a −b: the interval reaches further to one side, a up and b down"
"""How to read an interval that is no ±."""
TASKS = {"classification": "classify", "detection": "detect", "segmentation": "segment"}
MODES = {"frozen": "frozen", "fine-tuned": "tuned"}


def group_title(group: Group, groups: Sequence[Group], without: Collection[str] = ()) -> str:
    """What the rows of a group share; images of one name that are not the same are told by their digest.

    Args:
        without: names of fields of `Match` that are told elsewhere.
    """
    match = group.match
    parts = {
        "input": f"input {match.input}",
        "backbone": match.backbone,
        "pretraining": f"pretrained on {_images(group, groups)}" if match.pretraining else "",
        "budget": match.budget,
        "calibration": f"calibration {match.calibration}" if match.calibration != "none" else "",
    }
    return " · ".join(part for name, part in parts.items() if part and name not in without)


def _images(group: Group, groups: Sequence[Group]) -> str:
    match = group.match
    same = {other.match.images for other in groups if other.match.pretraining == match.pretraining}
    return match.pretraining + (f" {match.images[:6]}" if len(same) > 1 else "")


def apart(group: Group, groups: Sequence[Group]) -> str:
    """The input, and what else tells a group from the others."""
    match = group.match
    parts = [
        getattr(match, name) or f"no {name}"
        for name in ("backbone", "pretraining", "calibration", "budget")
        if len({getattr(other.match, name) for other in groups}) > 1
    ]
    return " · ".join([match.input, *parts])


def heads_of(board: Board) -> tuple[tuple[str, ...], ...]:
    """Heads of a few short lines each; no more is said than tells the columns apart.

    Columns of other settings than their protocol's own are marked, and so are a unit and a direction that are
    not the usual.
    """
    columns = board.columns
    several = len({column.data for column in columns}) > 1
    heads = []
    for column in columns:
        data = (column.data,) if several else ()
        metric = metric_name(column.metric, board.scales[column]) + OTHER_SETTINGS * (column in board.unlike)
        heads.append((*data, TASKS.get(column.task, column.task), MODES[column.mode], metric))
    if len(set(heads)) == len(heads):
        return tuple(heads)
    named = [(*head[:-1], column.protocol, head[-1]) for head, column in zip(heads, columns, strict=True)]
    return tuple((f"({i + 1})", *head) for i, head in enumerate(named))


def several_scales(board: Board) -> bool:
    """Whether any column is in another unit than %, or better where it is lower."""
    return any(map(_unusual, board.scales.values()))


def _unusual(scale: Scale) -> bool:
    return (scale.unit, scale.direction) != (FRACTION.unit, FRACTION.direction)


def on_gains(cells: Sequence[Cell]) -> tuple[str, ...]:
    """How to read the gains of these cells."""
    notes: tuple[str, ...] = (
        "First line: points above the random twin, ± half a 95 % interval paired by image, over the seeds "
        "that both have. Second line: share of the gap from random to supervised (0 % random, 100 % "
        "supervised), '–' where no supervised twin is above random by more than its interval. "
        f"[{IMAGES_ONLY}] one run: over test images only. [{OWN_SPREAD}] with the own variance between seeds "
        "of one of the rows, or of both.",
    )
    gains = [cell.gain for cell in cells]
    known = [(g.over_random, g.interval) for g in gains if g is not None]
    if any(lopsided(value, own) for value, own in known if value is not None and own is not None):
        notes += (f"{BOTH_WAYS}.",)
    if any(gain is not None and gain.separated is False for gain in gains):
        notes += (
            f"{NOT_APART} not separated from the random twin: over all rows of a section in the column "
            f"together (5 %, as Dunnett's), where both have {ENOUGH_SEEDS} seeds and the column ranks. The "
            "intervals are each row's own.",
        )
    if any(_unusual(cell.scale) for cell in cells if cell.gain is not None):
        notes += ("Where a head names a unit, in that unit; where less is better, points below the twin.",)
    return notes


def how_to_read(board: Board) -> list[str]:
    """The caption: only what this board needs."""
    return on_cells(cells_of(board)) + on_versions(board.columns) + _on_ranking(board)


def in_short(
    cells: Sequence[Cell], board: Board, columns: Sequence[Column], gained: bool = False
) -> list[str]:
    """The caption in a line: what each sign stands for, not why.

    Args:
        cells: that the table shows, in these columns of the board. gained: whether it shows the rows' gains.
    """
    intervals = [cell.interval for cell in cells if cell.interval is not None]
    signs = {
        "+a −b: a up and b down": any(lopsided(c.value, c.interval) for c in cells if c.interval is not None),
        f"[{IMAGES_ONLY}] one run, over test images only": any(i.kind is Kind.IMAGES for i in intervals),
        f"[{OWN_SPREAD}] the row's own variance between seeds": any(
            i.between is Between.OWN for i in intervals
        ),
        "bold: best of its section": any(cell.best for cell in cells),
        f"{NOT_APART} not separated from best": any(c.verdict is Verdict.NOT_SEPARATED for c in cells),
        "#: ranks it may have": any(cell.ranks is not None for cell in cells),
        "gain: mean share of the gap from random to supervised, by which rows are in order": gained,
        f"{LESS.strip()} less is better": any(cell.scale.direction is Direction.LOWER for cell in cells),
        f"{OTHER_SETTINGS} settings other than its protocol's": any(
            column in board.unlike for column in columns
        ),
    }
    told = ["± half a 95 % interval", "n: seeds", *(sign for sign, there in signs.items() if there)]
    return [
        f"{'; '.join(told)}.",
        *[f"Scores on {MACHINERY} check the machinery and rank nothing."] * (not _all_rank(columns)),
    ]


def on_columns(board: Board, columns: Iterable[Column]) -> str:
    """Which protocols on which data sets columns are of, in a line."""
    by_set: dict[str, dict[str, None]] = {}
    for column in columns:
        metric = metric_name(column.metric, board.scales[column])
        by_set.setdefault(column.data, {})[f"{column.protocol} v{column.version} ({metric})"] = None
    told = (f"{data}: {', '.join(own)}" for data, own in by_set.items())
    return f"On {'; on '.join(told)}."


def gains_in_short(cells: Sequence[Cell]) -> tuple[str, ...]:
    """How to read the gains of these cells, in a line."""
    apart = any(cell.gain is not None and cell.gain.separated is False for cell in cells)
    return (
        "± half a 95 % interval, paired by image; below: share of the gap from random to supervised"
        + f"; {NOT_APART} not separated from random" * apart
        + ".",
    )


def on_cells(cells: Sequence[Cell]) -> list[str]:
    """How to read these cells: values, intervals, marks."""
    kinds = {cell.interval.kind for cell in cells if cell.interval is not None}
    bases = {cell.interval.between for cell in cells if cell.interval is not None}
    verdicts = {cell.verdict for cell in cells}
    ranked = [cell.ranks for cell in cells if cell.ranks is not None]
    notes = ["Value ± half a 95 % interval; n: pretraining seeds."]
    if any(lopsided(cell.value, cell.interval) for cell in cells if cell.interval is not None):
        notes.append(f"{BOTH_WAYS}.")
    if Kind.IMAGES in kinds:
        notes.append(
            f"[{IMAGES_ONLY}] one run: the interval is over test images only; it says nothing of other seeds "
            "and is never compared with an interval over seeds."
        )
    if Kind.SEEDS in kinds:
        notes.append(
            "Intervals of n ≥ 2 are over seeds and images; the variance between seeds is pooled over the "
            "rows of a column, with the degrees of freedom (df) named below."
        )
    if Between.OWN in bases:
        notes.append(
            f"[{OWN_SPREAD}] the variance between seeds is the row's own (n − 1 degrees of freedom): it lies "
            "above that of the other rows by more than an F test at 2/(n + 1) lets pass, or there are none."
        )
    if any(cell.scale.direction is Direction.LOWER for cell in cells):
        notes.append(f"{LESS.strip()} less is better.")
    if any(cell.best for cell in cells):
        notes.append("Bold: best pretext task of its section.")
    if Verdict.NOT_SEPARATED in verdicts:
        notes.append(
            f"{NOT_APART} not separated from best: paired by image, n ≥ {ENOUGH_SEEDS}, over all pairs of a "
            "section's rows in the column together (5 %, as Tukey's)."
        )
    if ranked:
        notes.append(
            "#: the ranks a row may have among those of its section with "
            f"n ≥ {ENOUGH_SEEDS}, all of a column at once (95 %): behind rows that are separated from it and "
            "better, before those that are worse. Rows that cannot be told apart share a rank."
        )
    if Verdict.TOO_FEW in verdicts:
        notes.append(f"Rows of fewer than {ENOUGH_SEEDS} seeds beside the best: too few runs to say.")
    return notes


def cells_of(board: Board) -> list[Cell]:
    """Every cell of a board."""
    rows = [*(row for group in board.groups for row in group.rows), *board.blind]
    return [cell for row in rows for cell in row.cells.values()]


def on_versions(columns: Iterable[Column]) -> list[str]:
    """Protocols that stand there in several versions."""
    found: dict[tuple[str, str], set[int]] = {}
    for column in columns:
        found.setdefault((column.protocol, column.data), set()).add(column.version)
    return [
        f"{protocol} on {data} is there in versions {' and '.join(map(str, sorted(versions)))}: a "
        "column each, whose scores are not compared."
        for (protocol, data), versions in found.items()
        if len(versions) > 1
    ]


def _on_ranking(board: Board) -> list[str]:
    notes = []
    if board.ranked:
        notes.append(
            "In order of gain within a section, the share of the gap from random to supervised (0 % random, "
            "100 % supervised), or else of the mean rank; both averaged over the columns of a data set, then "
            "over data sets. Rows that lack a column are not ranked."
        )
    notes += [_on_sets(group, board) for group in board.groups if group.over_sets is not None]
    return notes + on_machinery(board.columns)


def _all_rank(columns: Iterable[Column]) -> bool:
    return all(column.ranks for column in columns)


def on_machinery(columns: Iterable[Column]) -> list[str]:
    """Of scores that rank nothing, where there are any."""
    if _all_rank(columns):
        return []
    return [
        f"Scores on {MACHINERY} check that the machinery works. They never rank pretext tasks, since the "
        "generator of the images decides who wins; they enter no average, no bold and no mark."
    ]


def _on_sets(group: Group, board: Board) -> str:
    found = group.over_sets
    assert found is not None
    where = f" of {group_title(group, board.groups)}" if len(board.groups) > 1 else ""
    rows = len(found.means)
    return (
        f"rank: mean over {found.sets} independent image sets{where}. Friedman's test of {rows} rows: χ² "
        f"{found.chi2:.1f}, F {found.f:.1f} ({rows - 1}, {(rows - 1) * (found.sets - 1)} df), p = "
        f"{found.p:.2g}; mean ranks that differ by {found.difference:.2f} or less are not told apart "
        "(Nemenyi, 5 %)" + (", nor is anything where p is above .05." if found.p > 0.05 else ".")
    )


def legend(board: Board) -> list[str]:
    """What each column is."""
    return [
        f"({place}) {described(board, column, spread_of([board], column))}"
        for place, column in enumerate(board.columns, start=1)
    ]


def spread_of(boards: Sequence[Board], column: Column) -> str:
    """The degrees of freedom of the variance between seeds that these boards pool over a column."""
    found = [pooled for board in boards if (pooled := board.pooled.get(column)) is not None]
    if not found:
        return ""
    df, outside = sorted({pooled.df for pooled in found}), sum(pooled.outside for pooled in found)
    ends = " to ".join(map(str, dict.fromkeys((df[0], df[-1]))))
    return f", df {ends}" + (f" ({outside} rows of larger variance left out)" if outside else "")


def described(board: Board, column: Column, more: str = "") -> str:
    """What a column is."""
    return (
        f"{column.data} · {column.task} · {column.mode}: {column.protocol} v{column.version} "
        f"{short(column.settings)}, {column.metric}, {column.images} test images, {column.precision}{more}"
        + (f"; {board.options[column]}" if column in board.options else "")
        + (f"; {OTHER_SETTINGS} {board.unlike[column]}" if column in board.unlike else "")
        + (f"; scored by {board.codes[column]} versions of the code" if board.codes[column] > 1 else "")
    )
