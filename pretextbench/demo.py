"""`job=demo`: what is measured, in under a minute: a gain, and where it goes when the signal is destroyed.

Colorization is pretrained twice on the same scenes, once with their own colours and once with those of other
scenes. Both see the same lightness, and both are judged on it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from rich.table import Table

from downstream.judge.records import Record
from downstream.leaderboard.statistics import Scores, difference
from downstream.leaderboard.units import with_interval
from pretextbench import schema
from pretextbench.beside import on_half
from pretextbench.composed import composed
from pretextbench.console import console
from pretextbench.context import Context, opened
from pretextbench.plan import show_plan
from pretextbench.running import pretrain_and_judge
from pretextbench.runs import Run

SMALL = (
    "data@target=scenes", "downstream=[linear]", "data.train=1500", "data.val=300", "data.test=500",
    *(f"target.{key}=${{data.{key}}}" for key in ("train", "val", "test", "size", "seed", "workers")),
    "trainer.epochs=2", "trainer.validate_every=2", "trainer.batch_size=12", "logger.enabled=false",
)  # fmt: skip
"""What makes it short, judged on the scenes as they are; what is typed has the last word.

The gain takes steps more than images: 250 steps of twelve show it, 140 of 32 for three epochs do not surely.
"""

DESTROYED = "data.colour=image_permuted"


class Row(NamedTuple):
    """One line of the table: who, its run, and its score on test."""

    name: str
    run: Run
    score: Record


class Wanted(NamedTuple):
    """An encoder of the table: its name there, and what makes it."""

    name: str
    context: Context
    run: Run


def show_demo(wait: Callable[[], object]) -> list[str]:
    """Pretrain and judge three encoders, print their scores and gains, name the picture.

    Args:
        wait: for `judge_destroyed`, which another process may do meanwhile.

    Raises:
        ValueError: settings that leave no score to show.
    """
    context = _context()
    if context.cfg.dry_run:
        every = [*_own(context), _destroyed()]
        show_plan([each.context for each in every], [[each.run] for each in every])
        return []
    with on_half():
        rows = [_row(each) for each in _own(context)]
    wait()
    rows.append(_row(_destroyed()))
    console.print(_table(rows))
    console.print(
        "mAP of a linear probe on frozen features of lightness, on test; gains with their 95 % "
        "interval over test images, one seed. Colours of other scenes tell nothing, and nothing is learned "
        "from them: a score that does not move when its signal is destroyed measures nothing."
    )
    picture = context.output / "demo.png"
    shutil.copyfile(sorted((rows[1].run.folder / "samples").glob("*.png"))[-1], picture)
    console.print(f"Gray, coloured by the network, original: {picture}", soft_wrap=True)
    return [row.score.evaluation.digest for row in rows]


def judge_destroyed(words: list[str]) -> None:
    """Make the last row in a process that does nothing else; not on an accelerator, which one has for itself.

    Args:
        words: that compose the configuration, see `composed.typed`.
    """
    schema.register()
    with composed(words) as cfg, opened(cfg) as context:
        if context.device.type == "cpu":
            _row(_destroyed())


def _context(*more: str) -> Context:
    return Context(compose("config", overrides=[*SMALL, *HydraConfig.get().overrides.task, *more]))


def _own(context: Context) -> list[Wanted]:
    """Random weights, and the task with its own signal; checked before the first step."""
    asked, twin, *_ = context.runs
    return _checked([Wanted("random weights", context, twin), Wanted(asked.title, context, asked)])


def _destroyed() -> Wanted:
    context = _context(DESTROYED)
    asked = context.runs[0]
    return _checked([Wanted(f"{asked.title}, colours of other scenes", context, asked)])[0]


def _checked(wanted: list[Wanted]) -> list[Wanted]:
    for each in wanted:
        each.context.check([each.run], judged=True)
    return wanted


def _row(wanted: Wanted) -> Row:
    return Row(wanted.name, wanted.run, _score(pretrain_and_judge(wanted.context, wanted.run)))


def _score(records: list[Record]) -> Record:
    found = [r for r in records if r.evaluation.primary and r.result.selected]
    if len(found) != 1:
        raise ValueError("job=demo shows one score an encoder: choose one protocol, as downstream=[linear]")
    return found[0]


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("pretrained by", "mAP", "above random"):
        table.add_column(column, justify="left" if column == "pretrained by" else "right")
    for row in rows:
        gain = "" if row is rows[0] else _gain(row.score, rows[0].score)
        table.add_row(row.name, f"{100 * row.score.result.value:.1f}", gain)
    return table


def _gain(score: Record, twin: Record) -> str:
    """Difference in points with its interval, paired by test image."""
    values = np.array([score.result.value, twin.result.value])
    pairs = np.array([score.result.resampled, twin.result.resampled], np.float64)  # (2, resamples)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    own, other = (Scores(value[None], pair[None]) for value, pair in zip(values, pairs, strict=True))
    gain, interval = float(values[0] - values[1]), difference(own, other, None)
    return "+" * (gain >= 0) + with_interval(gain, interval, score.result.scale)
