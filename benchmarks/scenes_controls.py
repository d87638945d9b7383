"""Does colour teach what is in the picture, and only then? The controls of the embedded scenes.

    python -m benchmarks.scenes_controls [CACHE]

Pretrains colorization on scenes whose colours follow the class (`semantic`), are drawn for each object
(`object_random`) or come from another scene (`image_permuted`), and probes each encoder, with the random and
the supervised one, on the same lightness. Everything is read on val; test is not touched. Writes
benchmarks/results/scenes_controls.json.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from downstream.classification.linear import LinearProbe
from downstream.judge.provenance import provenance
from downstream.protocol import Runtime
from pretext import inputs
from pretext.atomic import write_json
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet
from pretext.data.embedded import scenes
from pretext.encoder import Encoder, load
from pretext.fit import Optimisation, Validation, pretrain
from pretext.task import Task
from pretext.tasks.colorization import Colorization
from pretext.tasks.random import Random
from pretext.tasks.supervised import Supervised

EPOCHS, BATCH, LR = 8, 16, 4e-3
RESULT = Path(__file__).parent / "results" / "scenes_controls.json"


class Row(NamedTuple):
    """A pretraining: the task and the colours of the scenes it sees."""

    task: str
    colour: str


ROWS = (
    Row("random", "semantic"),
    Row("supervised", "semantic"),
    Row("colorization", "semantic"),
    Row("colorization", "object_random"),
    Row("colorization", "image_permuted"),
)


def measure(row: Row, folder: Path, train: int = 5000, val: int = 1000, epochs: int = EPOCHS) -> float:
    """Return the mAP in % on val of the best linear probe on the row's encoder, all stages tried."""
    data = scenes(str(folder / "data"), train=train, val=val, test=8, colour=row.colour)
    torch.manual_seed(0)
    task = build(row.task, Encoder(inputs.build("lightness"), SmallNet(1)), data)
    run = folder / f"{row.task}_{row.colour}_{train}_{epochs}"
    pretrain(
        task,
        data.train,
        data.val,
        folder=run,
        cache=folder / "pretext",
        name=row.task,
        seed=0,
        epochs=0 if task.untrained else epochs,
        batch_size=BATCH,
        optimisation=Optimisation(
            partial(torch.optim.AdamW, lr=LR, weight_decay=0.01, betas=(0.9, 0.99)), clip=1.0
        ),
        validation=Validation(every=epochs),
    )
    judged = scenes(str(folder / "data"), train=train, val=val, test=8)
    probe = LinearProbe(pools=(1, 2))
    fitted = probe.fit(load(run), judged.train, judged.val, Runtime(cache=folder / "features"))
    return 100 * max(trial.val for trial in fitted.trials)


def build(name: str, encoder: Encoder, data: DataSet) -> Task:
    """Build the task of a row."""
    if name == "random":
        return Random(encoder)
    if name == "supervised":
        return Supervised(encoder, classes=len(data.label_names), multilabel=True)
    return Colorization(encoder)


def shares(scores: dict[Row, float]) -> dict[Row, float]:
    """Share of the gap from random (0) to supervised (1) that each row recovers."""
    low, high = scores[ROWS[0]], scores[ROWS[1]]
    return {row: (score - low) / (high - low) for row, score in scores.items()}


def main() -> None:
    """Measure all rows and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        scores = {row: measure(row, folder) for row in ROWS}
    recovered = shares(scores)
    made = provenance({}, "")
    rows = [
        {"task": r.task, "colour": r.colour, "val_map": round(scores[r], 2), "share": round(recovered[r], 3)}
        for r in ROWS
    ]
    about = {"commit": made.commit, "dirty": made.dirty, "versions": made.versions, "utc": made.utc}
    write_json(RESULT, {"epochs": EPOCHS, "scenes": 5000, "rows": rows, **about})
    for line in rows:
        print(line)


if __name__ == "__main__":
    main()
