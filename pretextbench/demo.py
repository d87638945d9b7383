"""`job=demo`: what is measured, in under a minute: a gain, and where it goes when the signal is destroyed.

Colorization is pretrained twice on the same scenes, once with their own colours and once with those of other
scenes. Both see the same lightness, and both are judged on it.
"""

from __future__ import annotations

import shutil
from typing import NamedTuple

import numpy as np
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from rich.table import Table

from downstream.judge.records import Record
from downstream.leaderboard.statistics import Scores, difference
from downstream.leaderboard.units import with_interval
from pretextbench.console import console
from pretextbench.context import Context
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


def show_demo() -> list[str]:
    """Pretrain and judge three encoders, print their scores and gains, name the picture.

    Raises:
        ValueError: settings that leave no score to show.
    """
    line = [*SMALL, *HydraConfig.get().overrides.task]
    context = Context(compose("config", overrides=line))
    destroyed = Context(compose("config", overrides=[*line, DESTROYED]))
    asked, twin, *_ = context.runs
    wanted = [
        ("random weights", context, twin),
        (asked.title, context, asked),
        (f"{asked.title}, colours of other scenes", destroyed, destroyed.runs[0]),
    ]
    for _, each, run in wanted:
        each.check([run], judged=True)
    if context.cfg.dry_run:
        show_plan([each for _, each, _ in wanted], [[run] for *_, run in wanted])
        return []
    rows = [Row(name, run, _score(pretrain_and_judge(each, run))) for name, each, run in wanted]
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
