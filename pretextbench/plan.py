"""`dry_run=true`: what would run, what is done already, and about how long it takes here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from downstream.judge.evaluate import evaluation_digest, stored
from downstream.judge.records import Record, Subject
from downstream.protocol import Protocol
from downstream.tuning.finetuning import Tuning
from pretext.data.dataset import DataSet
from pretext.data.loader import batches
from pretext.encoder import Encoder
from pretext.fit import Pretrained
from pretext.task import Images, Task
from pretextbench import members, plans, trial
from pretextbench.board import recorded
from pretextbench.members import Member
from pretextbench.plans import Plan, Planned, Step
from pretextbench.workbench import Workbench

PROBE_STEPS = 3
"""Training steps that are timed to estimate the rest; the first of all is not counted."""


def show_plan(benches: Sequence[Workbench], runs: Sequence[Sequence[Member]], judged: bool = True) -> None:
    """Say what there is to do for the runs of each bench. Nothing is written but packs of data."""
    found: list[Planned] = []
    for bench, own in zip(benches, runs, strict=True):
        found = plans.joined([Plan(found, ""), Plan(_planned_runs(bench, own, judged, found), "")])
    say(benches[0], found)


def say(bench: Workbench, runs: list[Planned]) -> None:
    """Print the plan; in a sweep leave it for the one table at its end."""
    plan = Plan(runs, f"{bench.device}, {bench.precision}")
    if bench.in_sweep:
        plans.write(bench.job_folder, plan)
    else:
        plans.show([plan])


def show_judging(benches: Sequence[Workbench], encoder: Encoder, subject: Subject) -> None:
    """Say what there is to do to judge an encoder that is at hand."""
    given = Step(subject.run, subject.pretext, "given", 0.0)
    steps: list[Step] = []
    for bench in benches:
        encoder.to(bench.device)
        images, _ = _sample(bench.target, bench.cfg.trainer.batch_size, bench.device)
        forward = _timed(lambda shown=images: encoder(shown), bench.device) / len(images)
        steps += _evaluations(bench, subject, recorded(bench.records).records, forward)
    say(benches[0], [Planned(given, steps, 0.0)])


def _planned_runs(
    bench: Workbench, runs: Sequence[Member], judged: bool, before: Sequence[Planned]
) -> list[Planned]:
    """Each run and what is missing before it, once; what was planned before counts."""
    past = recorded(bench.records).records if judged else []
    known = plans.joined(plans.read(bench.job_folder.parent)) if bench.in_sweep else []
    told = {run.run.key: run for run in (*known, *before)}
    found: dict[str, Planned] = {}
    for run in runs:
        for each in (*bench.missing_parents(run), run):
            if each.digest not in found:
                step, _, forward = told.get(each.digest) or _pretraining(bench, each)
                found[each.digest] = Planned(step, [], forward)
        if judged:
            subject, forward = members.subject(run, None), found[run.digest].forward
            found[run.digest].evaluations.extend(_evaluations(bench, subject, past, forward))
    return list(found.values())


def _evaluations(bench: Workbench, subject: Subject, past: Sequence[Record], forward: float) -> list[Step]:
    """The evaluations of one encoder."""
    where = f" on {bench.target.name}" if bench.cfg.target else ""
    steps = []
    for name, protocol in bench.protocols.items():
        digest = evaluation_digest(subject, protocol, bench.target, bench.runtime())
        done = bool(stored(bench.records, digest))
        seconds = 0.0 if done else _evaluation(bench, protocol, past, forward)
        steps.append(Step(digest, f"{name}{where}", "done" if done else "to do", seconds))
    return steps


def _pretraining(bench: Workbench, run: Member) -> Planned:
    """State of a run, seconds it still takes, and seconds that its encoder takes an image forward."""
    task = members.build_task(run).to(bench.device)
    images, labels = _sample(bench.data, run.spec["budget"]["batch_size"], bench.device)
    forward = _timed(lambda: task.encoder(images), bench.device) / len(images)

    def planned(state: str, seconds: float) -> Planned:
        return Planned(Step(run.digest, run.folder.name, state, seconds), [], forward)

    if Pretrained.read(run.folder) is not None:
        return planned("done", 0.0)
    first = [parent for parent in bench.missing_parents(run) if parent.spec["budget"]["epochs"]]
    after = "".join(f", trains {parent.name} first" for parent in first)
    if run.spec["calibration"]:
        return planned(f"to do (calibration{after})", 300 * forward)
    budget = run.spec["budget"]
    epochs = budget["epochs"]
    if not epochs:
        return planned("to do (no training)", forward * min(2048, len(bench.data.train)))
    trial.prepare(task, bench.data.train, len(images), bench.device)
    step = _timed(lambda: _step(task, Images(images, torch.arange(len(images)), labels)), bench.device)
    whole = len(bench.data.train) // len(images)
    steps = epochs * min(budget["epoch_batches"] or whole, whole)
    goes_on = ", goes on" if (run.folder / "last.ckpt").is_file() else ""
    said = f"{after}{goes_on}".removeprefix(", ")
    return planned(f"to do ({said})" if said else "to do", step * steps)


def _sample(data: DataSet, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    pixels = next(iter(batches(data.train, count))).to(device)
    labels = data.train.labels
    if labels is None:
        return pixels, None
    few = torch.from_numpy(labels[: len(pixels)].copy()).to(device)
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
