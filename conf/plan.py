"""`dry_run=true`: what would run, what is done already, and about how long it takes here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table

from conf import members
from conf.board import recorded
from conf.console import console
from conf.members import Member
from conf.workbench import Workbench
from downstream.evaluate import evaluation_digest, stored
from downstream.finetuning import Tuning
from downstream.protocol import Protocol
from downstream.records import Record
from pretext.data.loader import batches
from pretext.fit import Pretrained
from pretext.task import Images, Task

PROBE_STEPS = 3
"""Training steps that are timed to estimate the rest; the first of all is not counted."""


def show_plan(bench: Workbench, runs: Sequence[Member], judged: bool = True) -> None:
    """Print one line a run and an evaluation. Nothing is trained or written but the data's pack."""
    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "about"):
        table.add_column(column, justify="right" if column == "about" else "left", overflow="fold")
    total = 0.0
    past = recorded(bench.records).records if judged else []
    listed = {run.folder for run in runs}
    for run in runs:
        for parent in _missing_parents(run):
            if parent.folder not in listed:
                listed.add(parent.folder)
                state, seconds, _ = _pretraining(bench, parent)
                table.add_row(parent.folder.name, state, _clock(seconds))
                total += seconds
        state, seconds, forward = _pretraining(bench, run)
        table.add_row(run.folder.name, state, _clock(seconds))
        total += seconds
        for name, protocol in bench.protocols.items() if judged else ():
            digest = evaluation_digest(members.subject(run, None), protocol, bench.target, bench.runtime())
            done = bool(stored(bench.records, digest))
            seconds = 0.0 if done else _evaluation(bench, protocol, past, forward)
            table.add_row(f"  {name}", "done" if done else "to do", _clock(seconds))
            total += seconds
    console.print(table)
    console.print(f"about {_clock(total)} on {bench.device}, {bench.precision}")


def _missing_parents(run: Member) -> list[Member]:
    """What has to be trained before a run can start, first things first."""
    if run.parent is None or Pretrained.read(run.folder) is not None:
        return []
    own = [run.parent] if Pretrained.read(run.parent.folder) is None else []
    return _missing_parents(run.parent) + own


def _pretraining(bench: Workbench, run: Member) -> tuple[str, float, float]:
    """State of a run, seconds it still takes, and seconds that its encoder takes an image forward."""
    task = members.build_task(run).to(bench.device)
    images, labels = _sample(bench, run.spec["budget"]["batch_size"])
    forward = _timed(lambda: task.encoder(images), bench.device) / len(images)
    if Pretrained.read(run.folder) is not None:
        return "done", 0.0, forward
    if "calibration" in run.spec:
        return "to do (calibration)", 300 * forward, forward
    budget = run.spec["budget"]
    epochs = budget["epochs"]
    if not epochs:
        return "to do (no training)", forward * min(2048, len(bench.data.train)), forward
    step = _timed(lambda: _step(task, Images(images, torch.arange(len(images)), labels)), bench.device)
    whole = len(bench.data.train) // len(images)
    steps = epochs * min(budget.get("epoch_batches", whole), whole)
    partial = " (goes on)" if (run.folder / "last.ckpt").is_file() else ""
    return f"to do{partial}", step * steps, forward


def _sample(bench: Workbench, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    pixels = next(iter(batches(bench.data.train, count))).to(bench.device)
    labels = bench.data.train.labels
    if labels is None:
        return pixels, None
    few = torch.from_numpy(labels[: len(pixels)].copy()).to(bench.device)
    return pixels, few.float() if few.dim() == 2 else few.long()


def _step(task: Task, images: Images) -> None:
    torch.autograd.backward(task.loss(task.views(images, torch.Generator().manual_seed(0))).loss)


def _timed(work: Any, device: torch.device) -> float:
    """Median seconds of a few calls after one that is not counted."""
    taken = []
    for _ in range(1 + PROBE_STEPS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _evaluation(bench: Workbench, protocol: Protocol, past: Sequence[Record], forward: float) -> float:
    """Seconds of an evaluation: as long as it took before here, else by the images it handles."""
    device = "cpu" if bench.device.type == "cpu" else torch.cuda.get_device_name(bench.device)
    before = [
        record.cost.seconds
        for record in past
        if record.evaluation.protocol == protocol.name
        and record.evaluation.data == bench.target.name
        and record.cost.device == device
        and not record.subject.blind
    ]
    if before:
        return statistics.median(before)
    train = min(getattr(protocol, "train_limit", None) or len(bench.target.train), len(bench.target.train))
    once = train + len(bench.target.val) + len(bench.target.test)
    recipe = getattr(protocol, "recipe", None)
    trained = recipe.steps(train) * recipe.batch_size if isinstance(recipe, Tuning) else train
    return forward * (once + (3 if protocol.trains_encoder else 1) * trained)


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
