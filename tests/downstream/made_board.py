"""Records of a made-up benchmark: tasks × columns × seeds whose true scores are known."""

import numpy as np
from made_records import record

from downstream.judge.records import Record
from downstream.leaderboard.board import Board, Cell, Row

COLUMNS = tuple(
    (task, mode, metric)
    for task, metric in (("classification", "mAP"), ("detection", "AP50"), ("segmentation", "mIoU"))
    for mode in ("frozen", "tuned")
)
TRUTH = {"random": 0.2, "supervised": 0.7, "rotation": 0.45, "colorization": 0.5, "autoencoder": 0.25}
RESAMPLES = 60


def one(pretext: str, task: str, mode: str, metric: str, seed: int, data: str, **fields: object) -> Record:
    """The record of one selected stage; noise depends on row, column and seed alone."""
    column = COLUMNS.index((task, mode, metric))
    generator = np.random.default_rng([sum(map(ord, pretext)), column, seed])  # hash() changes by process
    images = np.random.default_rng(column).normal(0, 0.01, RESAMPLES)  # what a resample does to every row
    value = TRUTH.get(pretext, 0.3) + 0.01 * column + generator.normal(0, 0.005)
    resampled = value + images + generator.normal(0, 0.003, RESAMPLES)
    usual: dict[str, object] = {
        "pretext": pretext,
        "recipe": f"{pretext}-recipe",
        "run": f"{pretext}-{seed}",
        "seed": seed,
        "data": data,
        "task": task,
        "protocol": f"{mode}_{task}",
        "trains_encoder": mode == "tuned",
        "metric": metric,
        "value": float(value),
        "resampled": tuple(float(v) for v in resampled),
        "digests": {"train": "a", "val": "b", "test": data},
        "counts": {"train": 10, "val": 10, "test": 500},
        "calibration": "batchnorm" if pretext == "random" else "none",
        "budget": "" if pretext == "random" else "4 epochs",
    }
    return record(f"{pretext}-{task}-{mode}-{seed}-{data}-{fields}", **usual | fields)


def benchmark(
    seeds: int = 3, data: str = "photos", pretexts: tuple[str, ...] = tuple(TRUTH), **fields: object
) -> list[Record]:
    """All tasks on all columns."""
    return [
        one(p, *column, seed, data, **fields) for p in pretexts for column in COLUMNS for seed in range(seeds)
    ]


def blind(data: str = "photos") -> list[Record]:
    """An encoder-blind row on every column."""
    nothing = {"backbone": "", "input": "", "pretraining": "", "images_seen": 0, "stage": "", "budget": ""}
    return [one("blind:label_prior", *column, 0, data, **nothing) for column in COLUMNS]


def rows(board: Board) -> dict[str, Row]:
    """The rows of a board of one section, by their labels."""
    assert len(board.groups) == 1
    return {row.label: row for row in board.groups[0].rows}


def cells(row: Row) -> list[Cell]:
    """The cells of a row."""
    return list(row.cells.values())


def without(records: list[Record], pretext: str, task: str) -> list[Record]:
    """All records but those of a pretext task on a downstream task."""
    return [r for r in records if (r.subject.pretext, r.evaluation.task) != (pretext, task)]
